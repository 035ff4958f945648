import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.facts.bases import SAME_TAIL, WRITTEN_DOWN
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Request, select
from tests.other_hosts import load_manifest

EMPTY = (2).to_bytes(8, "little") + b"{}"


def write_model(path: Path, *, weights: bool = True, **config: Any) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    if weights:
        (path / "model.safetensors").write_bytes(EMPTY)
    return path


def write_adapter(path: Path, base: str | None, **config: Any) -> Path:
    path.mkdir(parents=True)
    values = {"peft_type": "LORA", "r": 4, "base_model_name_or_path": base, **config}
    (path / "adapter_config.json").write_text(json.dumps(values))
    return path


Examine = Callable[..., Mapping[str, Model]]


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    """Return the models of a manifest or directory as a run has them; home and cache lie below tmp_path."""
    environ = {"HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "home/hf")}
    (tmp_path / "home").mkdir()

    def found(manifest: str | None = None, target: str = "./zoo") -> Mapping[str, Model]:
        if manifest is not None:
            (tmp_path / "sage-doctor.toml").write_text("schema = 1\n" + manifest)
        targets = () if manifest is not None else (target,)
        return {m.name: m for m in select(Request(targets=targets, cwd=str(tmp_path)), environ).models}

    return found


def test_a_whole_model(examine: Examine, tmp_path: Path) -> None:
    write_model(tmp_path / "zoo/one", hidden_size=64)
    (model,) = examine().values()
    assert (model.found, model.kind, model.config.hidden_size, model.weights.form) == (True, "full", 64, "single")
    assert model.tensors == {}
    assert model.depends_on() == []
    assert model.tokenizer_model is model
    assert repr(model) == f"Model('one', full, '{tmp_path}/zoo/one')"


def test_what_is_not_there_has_facts_without_raising(examine: Examine, tmp_path: Path) -> None:
    (tmp_path / "absent").symlink_to("nowhere")
    (model,) = examine(target="./absent").values()
    assert not model.found
    assert (model.tree.names, model.config_file.missing, model.weights.form) == (frozenset(), True, "none")
    assert (model.adapter_config.peft_type, model.adapter_weights.name, model.tokenizer.source) == (None, None, None)
    assert model.depends_on() == []
    assert model.candidates("anything") == []


def test_the_base_that_the_config_names_by_path_is_the_run_s_own_model(examine: Examine, tmp_path: Path) -> None:
    base = write_model(tmp_path / "zoo/base")
    (tmp_path / "zoo/link").symlink_to("base")
    write_adapter(tmp_path / "zoo/voice", str(tmp_path / "zoo/link"))
    models = examine()
    assert models["voice"].base.model is models["base"]
    assert models["voice"].base.source == "adapter_config.json"
    assert models["voice"].depends_on() == [models["base"]]
    assert models["voice"].tokenizer_model is models["base"]
    (tmp_path / "zoo/voice/tokenizer.json").write_text('{"model": {}}')
    again = examine()["voice"]
    assert again.tokenizer_model is again
    assert base.exists()


def test_a_base_outside_the_run_is_a_model_of_its_own(examine: Examine, tmp_path: Path) -> None:
    base = write_model(tmp_path / "elsewhere/base")
    write_adapter(tmp_path / "zoo/voice", str(base))
    (voice,) = examine().values()
    assert voice.base.model is not None
    assert (voice.base.model.path, voice.base.model.siblings) == (base, {})


def test_a_base_in_the_hub_cache(examine: Examine, tmp_path: Path) -> None:
    repo = tmp_path / "home/hf/hub/models--org--name"
    commit = "a" * 40
    snapshot = write_model(repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text(commit)
    write_adapter(tmp_path / "zoo/voice", "org/name")
    write_adapter(tmp_path / "zoo/other", "org/other")
    write_adapter(tmp_path / "zoo/pinned", "org/name", revision=commit)
    models = examine()
    for name in ("voice", "pinned"):
        found = models[name].base.model
        assert found is not None
        assert found.path == snapshot
    other = models["other"].base
    assert other.model is None
    assert other.hub is not None
    assert other.hub.status == "not-cached"


def test_bases_that_lead_nowhere(examine: Examine, tmp_path: Path) -> None:
    write_model(tmp_path / "home/m/base")
    for name, text in {"unset": None, "relative": "./final/model", "tilde": "~/m/base", "foreign": "/home/x/m"}.items():
        write_adapter(tmp_path / "zoo" / name, text)
    models = examine()
    assert {n: (m.base.text, m.base.model) for n, m in models.items()} == {
        "unset": (None, None),
        "relative": ("./final/model", None),
        "tilde": ("~/m/base", None),
        "foreign": ("/home/x/m", None),
    }
    best = models["tilde"].candidates("~/m/base")[0]
    assert (best.path, best.rank) == (tmp_path / "home/m/base", SAME_TAIL)


MANIFEST = """
[models.base]
kind = "full"
path = "zoo/base"
[models.voice]
kind = "adapter"
path = "zoo/voice"
{base}
[models.merged]
kind = "merged"
path = "zoo/merged"
merge = {{ base = "base", adapter = "voice" }}
"""


@pytest.mark.parametrize("word", ['base = "base"', 'base = "./zoo/base"', 'base = "zoo/../zoo/base"'])
def test_the_manifest_s_word_about_the_base_counts_more(examine: Examine, tmp_path: Path, word: str) -> None:
    write_model(tmp_path / "zoo/base")
    write_adapter(tmp_path / "zoo/voice", "org/other")
    models = examine(MANIFEST.format(base=word))
    assert models["voice"].base.source == "manifest"
    assert models["voice"].base.model is models["base"]


def test_a_recipe_that_names_the_base_is_the_best_candidate(examine: Examine, tmp_path: Path) -> None:
    base = write_model(tmp_path / "zoo/base")
    write_model(tmp_path / "zoo/other")
    write_adapter(tmp_path / "zoo/voice", "org/other")
    voice = examine(MANIFEST.format(base=""))["voice"]
    best = voice.candidates("org/other")[0]
    assert (best.path, best.rank, best.why) == (base, WRITTEN_DOWN, "the base in the merge recipe of merged")


def test_neighbours_that_could_not_be_loaded_are_no_candidates(examine: Examine, tmp_path: Path) -> None:
    whole = write_model(tmp_path / "near/qwen")
    write_model(tmp_path / "near/qwen-hollow", weights=False)
    write_adapter(tmp_path / "near/qwen-adapter", None)
    (voice,) = examine(target=str(write_adapter(tmp_path / "near/voice", "org/qwen"))).values()
    assert [c.path for c in voice.candidates("org/qwen")] == [whole]


def test_manifests_load_as_the_fixture_assumes(tmp_path: Path) -> None:
    path = tmp_path / "sage-doctor.toml"
    path.write_text("schema = 1\n" + MANIFEST.format(base=""))
    manifest = load_manifest(path, environ={}, hostname="h", device_tree=None, home=tmp_path)
    assert list(manifest.models) == ["base", "voice", "merged"]
