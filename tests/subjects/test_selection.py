import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.errors import ManifestError, NothingSelected, UsageError
from sage_doctor.subjects.selection import Request, Selection, select
from tests.model_directories import write_tensors, write_tokenizer

MANIFEST = """
schema = 1

[machines.thor]
roles = ["raising"]

[machines.desk]
roles = ["writing", "raising"]

[machines.idle]
roles = ["nothing"]

[roles.raising]
models = ["voice"]

[roles.writing]
models = ["merged"]

[roles.nothing]
models = []

[models.merged]
kind = "merged"
path = "zoo/merged"
merge = { base = "base", adapter = "voice" }

[models.voice]
kind = "adapter"
path = "zoo/voice"
base = "base"

[models.spare]
kind = "full"
path = "zoo/spare"

[models.base]
kind = "full"
path = "zoo/base"
"""


def make_model(path: Path, **config: Any) -> None:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"model_type": "llama", **config}))


def make_adapter(path: Path, base: str | None = None) -> None:
    path.mkdir(parents=True)
    (path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": base}))


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SAGE_DOCTOR_MANIFEST", "XDG_CONFIG_HOME", "SAGE_MACHINE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    top = tmp_path / "repository"
    for name in ("merged", "spare", "base"):
        make_model(top / "zoo" / name)
    make_adapter(top / "zoo/voice", base="named/elsewhere")
    (top / "sage-doctor.toml").write_text(MANIFEST)
    monkeypatch.chdir(top)
    return top


Ask = Callable[..., Selection]


@pytest.fixture
def ask(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    def asked(*targets: str, machine: str | None = "desk", cwd: Path = zoo, **more: Any) -> Selection:
        if machine is not None:
            monkeypatch.setenv("SAGE_MACHINE", machine)
        return select(Request(targets=targets, cwd=str(cwd), **more), os.environ)

    return asked


def names(selection: Selection) -> list[str]:
    return [m.name for m in selection.models]


def required(selection: Selection) -> set[str]:
    return {m.name for m in selection.models if m.required}


def test_all_models_and_what_this_machine_needs(ask: Ask) -> None:
    desk = ask()
    assert names(desk) == ["base", "voice", "merged", "spare"]  # what others are built on comes first
    assert required(desk) == {"merged", "voice", "base"}
    assert (set(desk.load_targets), desk.level, desk.roles) == ({"merged", "voice"}, "generate", ("writing", "raising"))
    thor = ask(machine="thor")
    assert (required(thor), set(thor.load_targets)) == ({"voice", "base"}, {"voice"})
    assert thor.host.name == "thor"


def test_a_machine_that_no_table_matches_needs_what_any_role_needs(ask: Ask, zoo: Path) -> None:
    text = MANIFEST.replace("[machines.thor]", '[machines.thor]\nmatch.hostname = "no-such-host"')
    text = text.replace("[machines.desk]", '[machines.desk]\nmatch.hostname = "nor-this"')
    (zoo / "sage-doctor.toml").write_text(text)
    found = ask(machine=None)
    assert found.host.manifest is not None
    assert found.host.manifest.machine is None
    assert required(found) == {"merged", "voice", "base"}


def test_without_machines_every_model_is_needed_and_deep(ask: Ask, zoo: Path) -> None:
    text = MANIFEST[: MANIFEST.index("[machines")] + MANIFEST[MANIFEST.index("[models") :]
    (zoo / "sage-doctor.toml").write_text(text)
    found = ask(machine=None)
    assert required(found) == found.load_targets == {"merged", "voice", "base", "spare"}


def test_a_model_by_name_with_what_it_is_built_on(ask: Ask) -> None:
    found = ask("voice", machine="thor")
    assert names(found) == ["base", "voice"]
    assert required(found) == {"base", "voice"}
    assert found.load_targets == {"voice"}
    assert names(ask("spare")) == ["spare"]
    assert required(ask("spare")) == {"spare"}  # asked for: it is needed now


def test_a_role_by_name(ask: Ask) -> None:
    assert names(ask("writing")) == ["merged"]
    assert names(ask("writing", "spare", "voice")) == ["base", "voice", "merged", "spare"]


def test_where_there_is_nothing_to_examine(ask: Ask, zoo: Path) -> None:
    with pytest.raises(
        NothingSelected, match=r"no role of this machine needs a model \(machine idle, roles: nothing\)"
    ):
        ask(machine="idle")
    with pytest.raises(NothingSelected, match="nothing to examine on this machine for nothing: no model, runner"):
        ask("nothing")
    (zoo / "sage-doctor.toml").write_text("schema = 1\n")
    with pytest.raises(NothingSelected, match="names no model"):
        ask(machine=None)


@pytest.mark.parametrize("typo, meant", [("voise", "voice"), ("writting", "writing")])
def test_an_unknown_name_is_answered_with_the_nearest(ask: Ask, typo: str, meant: str) -> None:
    for targets in ((typo,), ("voice", typo)):
        with pytest.raises(UsageError, match=rf"named {typo}; did you mean {meant}\?") as caught:
            ask(*targets)
        assert caught.value.exit_code == 2


def test_a_name_like_nothing_is_answered_with_the_models(ask: Ask) -> None:
    with pytest.raises(UsageError, match="models: merged, voice, spare, base"):
        ask("completely-different")


def test_a_broken_manifest(ask: Ask, zoo: Path) -> None:
    (zoo / "sage-doctor.toml").write_text("schema = 1\n[models.x\n")
    with pytest.raises(ManifestError, match=r"sage-doctor\.toml:2: "):
        ask(machine=None)
    assert names(ask("./zoo/base", machine=None)) == ["."]  # a path asks for no manifest


def test_a_manifest_by_name(ask: Ask, zoo: Path, tmp_path: Path) -> None:
    (zoo / "sage-doctor.toml").rename(zoo / "other.toml")
    assert names(ask(manifest="other.toml")) == ["base", "voice", "merged", "spare"]
    assert names(ask(manifest="repository/other.toml", cwd=tmp_path)) == ["base", "voice", "merged", "spare"]


def test_a_directory_target(ask: Ask, zoo: Path) -> None:
    for target, cwd in (
        ("./zoo/base", zoo),
        (".", zoo / "zoo/base"),
        (str(zoo / "zoo/base"), zoo),
        ("..", zoo / "zoo/base/x"),
    ):
        cwd.mkdir(exist_ok=True)
        found = ask(target, cwd=cwd)
        assert [(m.name, m.path.resolve()) for m in found.models] == [(".", zoo / "zoo/base")]
        assert (found.level, set(found.load_targets), required(found)) == ("static", {"."}, {"."})


def test_models_below_a_directory_target(ask: Ask, zoo: Path) -> None:
    make_model(zoo / "zoo/base/checkpoint-5")
    assert sorted(names(ask("./zoo"))) == ["base", "base/checkpoint-5", "merged", "spare", "voice"]
    assert {m.name: m.kind for m in ask("zoo").models}["voice"] == "adapter"
    assert names(ask("./zoo/base", "./zoo/spare")) == ["zoo/base", "zoo/spare"]
    assert ask("./zoo", level="load").level == "load"


def test_an_adapter_comes_after_its_base(ask: Ask, tmp_path: Path) -> None:
    make_adapter(tmp_path / "run/a-first", base=str(tmp_path / "run/z-last"))
    make_model(tmp_path / "run/z-last")
    found = ask("./run", cwd=tmp_path)
    assert names(found) == ["z-last", "a-first"]
    assert {found.group_of(m) for m in found.models} == {"z-last"}


def test_adapters_built_on_each_other_end_somewhere(ask: Ask, tmp_path: Path) -> None:
    make_adapter(tmp_path / "run/a", base=str(tmp_path / "run/b"))
    make_adapter(tmp_path / "run/b", base=str(tmp_path / "run/a"))
    found = ask("./run", cwd=tmp_path)
    assert sorted(names(found)) == ["a", "b"]
    assert {found.group_of(m) for m in found.models} <= {"a", "b"}


def test_a_directory_beside_models_of_the_manifest(ask: Ask, zoo: Path) -> None:
    make_model(zoo / "loose")
    found = ask("spare", "./loose")
    assert names(found) == ["spare", "."]
    assert found.load_targets == set(names(found))


def test_a_directory_named_like_a_model_is_examined_beside_it(ask: Ask, zoo: Path) -> None:
    make_model(zoo / "spare")
    make_model(zoo / "other")
    found = ask("spare", "./spare", "./other")
    assert {m.name for m in found.models} == {"spare", "./spare", "other"}


def test_the_working_directory_where_there_is_no_manifest(ask: Ask, tmp_path: Path) -> None:
    make_model(tmp_path / "loose/one")
    assert names(ask(cwd=tmp_path / "loose")) == ["one"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingSelected, match=r"no model directory at or below \.; .*sage-doctor demo") as caught:
        ask(cwd=tmp_path / "empty")
    assert caught.value.exit_code == 3


def test_a_directory_without_a_model_says_what_it_holds(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    (tmp_path / "g/m.Q4_K_M.gguf").touch()
    with pytest.raises(NothingSelected, match=r"what is there is for llama\.cpp \(GGUF\)"):
        ask("./g", cwd=tmp_path)
    lora = {"lora_unet_mid_block_proj.lora_down.weight": (2, 2)}
    (tmp_path / "style").mkdir()
    write_tensors(tmp_path / "style/mine.safetensors", lora)
    with pytest.raises(NothingSelected, match="a LoRA for pictures"):
        ask("./style", cwd=tmp_path)


def test_a_tokenizer_alone_in_a_tree_of_models_is_needed_by_no_one(ask: Ask, tmp_path: Path) -> None:
    make_model(tmp_path / "zoo/whole")
    (tmp_path / "zoo/words").mkdir()
    write_tokenizer(tmp_path / "zoo/words")
    found = ask("./zoo", cwd=tmp_path)
    assert {m.name: m.required for m in found.models} == {"whole": True, "words": False}


@pytest.mark.parametrize("target", ["./absent", "a/b", "~/absent"])
def test_a_path_that_is_not_there(ask: Ask, tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError, match=f"there is nothing at .?{target}"):
        ask(target, cwd=tmp_path)


@pytest.mark.parametrize("target", ["{top}/x", "./x", "../{top.name}/x", "x", "./y/../x"])
def test_a_target_is_the_same_however_it_is_written(ask: Ask, tmp_path: Path, target: str) -> None:
    make_model(tmp_path / "x")
    (tmp_path / "y").mkdir()
    selected = ask(target.format(top=tmp_path), cwd=tmp_path)
    assert [(m.name, m.title, m.path) for m in selected.models] == [(".", "x", tmp_path / "x")]
    assert selected.host.root == tmp_path / "x"


def test_a_bare_name_that_is_not_there(ask: Ask, tmp_path: Path) -> None:
    make_model(tmp_path / "Qwen2.5")
    with pytest.raises(UsageError, match=r"named qwen2\.5; did you mean Qwen2\.5\?"):
        ask("qwen2.5", cwd=tmp_path)


def test_home(ask: Ask, tmp_path: Path) -> None:
    make_model(tmp_path / "home/models/one")
    assert names(ask("~/models", cwd=tmp_path)) == ["one"]
    assert ask("~", cwd=tmp_path).models[0].path == tmp_path / "home/models/one"


def test_a_file_as_target_is_left_to_its_check(ask: Ask) -> None:
    (model,) = ask("./sage-doctor.toml").models
    assert (model.name, model.location.node.kind) == (".", "file")


def test_a_request_travels_as_json() -> None:
    request = Request(targets=("a", "b"), manifest="m.toml", level="load", cwd="/x", deadline=1.5, run_directory="/r")
    assert Request.from_json(json.loads(json.dumps(request.to_json()))) == request


WATCHED = """
schema = 1
[machines.thor]
roles = ["raising"]
[machines.idle]
roles = ["nothing"]
[roles.raising]
[roles.nothing]
[heartbeats.h]
path = "x"
max_age = "1d"
roles = ["raising"]
"""


def test_what_sessions_leave_behind_can_be_examined_without_a_model(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (zoo / "sage-doctor.toml").write_text(WATCHED)
    for targets in ((), ("raising",)):
        monkeypatch.setenv("SAGE_MACHINE", "thor")
        found = select(Request(targets=targets))
        assert (found.models, found.load_targets, found.roles) == ((), frozenset(), ("raising",))
        monkeypatch.setenv("SAGE_MACHINE", "idle")
        with pytest.raises(NothingSelected):
            select(Request(targets=targets))
    monkeypatch.setenv("SAGE_MACHINE", "thor")
    assert select(Request(role="raising")).models == ()
    monkeypatch.setenv("SAGE_MACHINE", "idle")
    with pytest.raises(NothingSelected):
        select(Request(role="nothing"))


@pytest.mark.parametrize("needs", ['runners = ["run_*.py"]', 'accelerator = "cpu"'])
@pytest.mark.parametrize("asked", [{}, {"targets": ("raising",)}, {"role": "raising"}])
def test_a_role_without_models_is_examined_by_every_command(zoo: Path, needs: str, asked: dict[str, Any]) -> None:
    (zoo / "sage-doctor.toml").write_text(f"schema = 1\n[roles.raising]\n{needs}\n")
    found = select(Request(**asked))
    assert (found.models, found.roles) == ((), ("raising",))


@pytest.mark.parametrize("needs", ['runners = ["run_*.py"]', 'accelerator = "cpu"'])
def test_what_another_machine_s_role_needs_is_nothing_here(
    zoo: Path, needs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGE_MACHINE", "idle")
    machines = '[machines.idle]\nroles = ["nothing"]\n[roles.nothing]\n'
    (zoo / "sage-doctor.toml").write_text(f"schema = 1\n{machines}[roles.raising]\n{needs}\n")
    for targets in ((), ("raising",), ("nothing",)):
        with pytest.raises(NothingSelected):
            select(Request(targets=targets))
