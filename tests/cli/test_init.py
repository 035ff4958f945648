"""`sage-doctor init` as a user meets it: a tree of models becomes a manifest, and a manifest is only ever completed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import tomllib

from sage_doctor.demo.incident import write_incident
from sage_doctor.manifest.specs import Manifest
from tests.model_directories import write_adapter, write_cached, write_full, write_json, write_tokenizer
from tests.other_hosts import load_manifest

from .conftest import Doctor

RUNNER = '''"""A session."""
from transformers import AutoModelForCausalLM
MODEL = "{}"
model = AutoModelForCausalLM.from_pretrained(MODEL)
if __name__ == "__main__":
    print(model)
'''


def loaded(place: Path, machine: str = "") -> Manifest:
    path = place / "sage-doctor.toml"
    environ = {"SAGE_MACHINE": machine} if machine else {}
    hostname = os.uname().nodename
    return load_manifest(path, environ=environ, hostname=hostname, device_tree=None, home=place.parent / "home")


def test_the_demos_tree_gives_the_findings_of_the_manifest_written_by_hand(doctor: Doctor, tmp_path: Path) -> None:
    base = write_full(tmp_path / "base")
    it = write_incident(tmp_path, base)
    by_hand = it.manifest.rename(tmp_path / "by-hand.toml")
    assert doctor("init", "--yes", cwd=it.root, SAGE_MACHINE="thor").code == 0
    theirs = it.root / "hand.toml"

    def findings(manifest: Path) -> list[tuple[str, str, str]]:
        words = ("check", "-l", "static", "-f", "json", "-m", str(manifest))
        report = doctor(*words, cwd=it.root, SAGE_MACHINE="thor").report
        return sorted((f["code"], f["subject"].lower(), f["severity"]) for f in report["findings"])

    ours = findings(it.manifest)
    it.manifest.rename(tmp_path / "ours.toml")
    by_hand.rename(theirs)
    expected = findings(theirs)
    assert ours == expected
    assert {"weights-missing", "adapter-base-missing", "runner-hardcoded-path"} <= {code for code, _, _ in ours}


def test_a_second_run_has_nothing_to_add(doctor: Doctor, place: Path) -> None:
    write_full(place / "qwen2.5-0.5b")
    write_full(place / "of-no-script")
    (place / "run_session.py").write_text(RUNNER.format("/home/sprout/zoo/qwen2.5-0.5b"))
    assert doctor("init", "--yes", cwd=place).code == 0
    first = (place / "sage-doctor.toml").read_bytes()
    assert b'[models."qwen2.5-0.5b"]' in first
    assert tomllib.loads(first.decode())["machines"]["sprout"]["home"] == "/home/sprout"
    done = doctor("init", "--yes", cwd=place)
    assert (done.code, (place / "sage-doctor.toml").read_bytes()) == (0, first)
    assert "nothing to add" in done.out
    assert "left out 1 model that no launcher names: of-no-script (--all adds them)" in done.err
    for words in (["--all"], ["of-no-script"]):
        assert "[models.of-no-script]" in doctor("init", "--dry-run", *words, cwd=place).out


def test_a_relative_path_may_count_from_the_repository_of_its_script(doctor: Doctor, place: Path) -> None:
    adapter, base = place / "models/voice", write_full(place / "models/base")
    write_adapter(adapter, base)
    config = json.loads((adapter / "adapter_config.json").read_text())
    write_json(adapter / "adapter_config.json", {**config, "base_model_name_or_path": "./gone"})
    write_full(place / "models/voice-new")
    (place / "models/voice-new/sage-doctor-merge.json").write_text("{}")
    runner = RUNNER.format("../models/voice").replace("AutoModelForCausalLM.from", "AutoPeftModelForCausalLM.from")
    (place / "chat/scripts").mkdir(parents=True)
    (place / "chat/scripts/run_session.py").write_text(runner)
    out = doctor("init", "--dry-run", cwd=place).out
    assert '[roles.chat]\n+models = ["voice"]' in out
    out = doctor("init", "--dry-run", "--all", cwd=place).out
    assert '# base = "base"' in out  # and not voice-new, which was merged from an adapter


def test_scripts_that_are_left_out_are_told(doctor: Doctor, place: Path) -> None:
    write_full(place / "m")
    for number in range(301):
        (place / f"run_{number:03}.py").write_text(RUNNER.format("m"))
    (place / "run_000.py").write_text(RUNNER.format("m") + "def broken(:\n")
    done = doctor("init", "--dry-run", cwd=place)
    assert done.code == 0
    assert "read 300 of 301 scripts that may start sessions, the others not: name narrower directories" in done.err
    assert "left out, not valid Python: run_000.py" in done.err


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_a_person_wrote_stays_byte_for_byte(doctor: Doctor, place: Path, end: str) -> None:
    write_full(place / "b")
    write_adapter(place / "a", place / "b")
    mine = "\ufeff# mine\nschema=1\n\n[models . x]   # odd, and mine\npath = './b'\nkind='full'\n# the end".replace(
        "\n", end
    )
    (place / "sage-doctor.toml").write_bytes(mine.encode())
    assert doctor("init", "--yes", cwd=place).code == 0
    new = (place / "sage-doctor.toml").read_bytes().decode()
    assert new.startswith(mine)
    assert new.count("\n") == new.count(end)
    manifest = loaded(place)
    assert set(manifest.models) == {"x", "a"}
    assert manifest.models["a"].base == "x"


def test_the_mode_of_the_file_stays_and_nothing_else_is_written(doctor: Doctor, place: Path) -> None:
    write_full(place / "b")
    (place / "sage-doctor.toml").write_text("schema = 1\n")
    (place / "sage-doctor.toml").chmod(0o640)
    before = {p: p.stat().st_mtime_ns for p in place.rglob("*") if p.is_file() and p.suffix != ".toml"}
    assert doctor("init", "--yes", cwd=place).code == 0
    assert (place / "sage-doctor.toml").stat().st_mode & 0o777 == 0o640
    assert {p: p.stat().st_mtime_ns for p in place.rglob("*") if p.is_file() and p.suffix != ".toml"} == before


def test_another_manifest_may_be_named_and_paths_hold_from_there(doctor: Doctor, place: Path) -> None:
    write_full(place / "zoo" / "b")
    (place / "etc").mkdir()
    done = doctor("init", "--yes", "-m", "etc/mine.toml", "zoo", cwd=place)
    assert done.code == 0, done.err
    (place / "etc" / "mine.toml").rename(place / "sage-doctor.toml")
    assert 'path = "' in (place / "sage-doctor.toml").read_text()
    assert not (place / "zoo" / "sage-doctor.toml").exists()
    assert doctor("check", "-l", "static", "-f", "json", cwd=place).report["verdict"] == "healthy"


@pytest.mark.parametrize("words", [["--dry-run"], ["--dry-run", "--yes"]])
def test_a_dry_run_shows_the_diff_and_writes_nothing(doctor: Doctor, place: Path, words: list[str]) -> None:
    write_full(place / "b")
    done = doctor("init", *words, cwd=place)
    assert done.code == 0
    assert "+++ b/sage-doctor.toml" in done.out
    assert "+[models.b]" in done.out
    assert not (place / "sage-doctor.toml").exists()


def test_without_a_terminal_nothing_is_written_unless_yes_says_so(doctor: Doctor, place: Path) -> None:
    write_full(place / "b")
    done = doctor("init", cwd=place)
    assert done.code == 2
    assert "--yes" in done.err
    assert not (place / "sage-doctor.toml").exists()


def test_an_empty_directory_says_what_to_name(doctor: Doctor, place: Path) -> None:
    done = doctor("init", "--yes", cwd=place)
    assert (done.code, done.out) == (3, "")
    assert "sage-doctor init DIR" in done.err
    assert not list(place.iterdir())
    assert doctor("init", "gone", cwd=place).code == 2


@pytest.mark.parametrize(
    "text, says",
    [
        ("schema = 1\n[models.x\n", "sage-doctor.toml:2: not valid TOML"),
        ("schema = 1\n[models.x]\nkind = 'fulll'\npath = 'b'\n", "sage-doctor.toml:3: "),
        ("schema = 2\n", "sage-doctor.toml:1: schema must be 1"),
        ("schema = 1\nmodels = { x = { kind = 'full', path = 'c' } }\n", "sage-doctor.toml:2: models is an inline"),
    ],
)
def test_a_broken_manifest_is_told_by_line_and_left_alone(doctor: Doctor, place: Path, text: str, says: str) -> None:
    write_full(place / "b")
    (place / "sage-doctor.toml").write_text(text)
    done = doctor("init", "--yes", cwd=place)
    assert done.code == 2
    assert says in done.err
    assert (place / "sage-doctor.toml").read_text() == text


@pytest.mark.parametrize("make", ["directory", "dangling", "pipe"])
def test_a_manifest_that_is_no_file_is_refused(doctor: Doctor, place: Path, make: str) -> None:
    write_full(place / "b")
    path = place / "sage-doctor.toml"
    if make == "directory":
        path.mkdir()
    elif make == "dangling":
        path.symlink_to(place.parent / "elsewhere.toml")
    else:
        os.mkfifo(path)
    done = doctor("init", "--yes", cwd=place)
    assert done.code == 2
    assert "not a manifest file" in done.err
    assert not (place.parent / "elsewhere.toml").exists()


def test_hostile_names_become_plain_ones_that_lead_to_the_same_place(doctor: Doctor, place: Path) -> None:
    odd = [
        'a"b',
        "c\nd",
        "e\x1b[31mf",
        "g'h\\i",
        "{zoo}",
        "~x",
        "-rf",
        "machine",
        "k]\n[machines.evil",
        "\u202eq",
    ]
    for name in (*odd, ".hidden"):
        write_full(place / "zoo" / name)
    done = doctor("init", "--yes", cwd=place)
    assert done.code == 0, done.err
    assert all(line.isprintable() for line in (done.out + done.err).splitlines())
    manifest = loaded(place)
    assert {str(m.path.path) for m in manifest.models.values()} == {str(place / "zoo" / name) for name in odd}
    assert "evil" not in manifest.machines
    assert doctor("check", "-l", "static", "-f", "json", cwd=place).report["verdict"] == "healthy"


def test_hostile_scripts_and_directories_stay_text(doctor: Doctor, place: Path) -> None:
    write_full(place / "b")
    odd = place / "x\n[machines.evil]\n#"
    odd.mkdir()
    (odd / "run_{a}[b]*.py").write_text(RUNNER.format("/home/spr/b/b"))
    (odd / "run_{a}\n.py").write_text(RUNNER.format("b"))
    assert doctor("init", "--yes", cwd=place).code == 0
    manifest = loaded(place)
    assert "evil" not in manifest.machines
    report = doctor("check", "-l", "static", "-f", "json", cwd=place).report
    assert "runner-missing" not in {f["code"] for f in report["findings"]}


def test_thousands_of_directories_are_searched_in_bounded_time(doctor: Doctor, place: Path) -> None:
    for number in range(60):
        for inner in range(60):
            (place / f"d{number}" / f"e{inner}").mkdir(parents=True)
    write_full(place / "d59" / "qwen")
    begun = time.monotonic()
    assert doctor("init", "--yes", cwd=place).code == 0
    assert time.monotonic() - begun < 30
    assert list(loaded(place).models) == ["qwen"]


def test_links_are_models_once_and_loops_end(doctor: Doctor, place: Path) -> None:
    real = write_full(place.parent / "outside" / "qwen")
    (place / "qwen").symlink_to(real)
    (place / "again").symlink_to(real)
    (place / "loop").symlink_to(place)
    (place / "round").symlink_to("round")
    assert doctor("init", "--yes", cwd=place).code == 0
    assert [m.path.text for m in loaded(place).models.values()] == ["again"]


# Everything is imported before the user is changed: who runs the tests may keep the checkout where nobody else reads.
AS_NOBODY = """
import os, sys
import sage_doctor.cli.app, sage_doctor.cli.init, sage_doctor.init.additions, sage_doctor.facts.hub_cache
from sage_doctor.cli import main
from sage_doctor.manifest.json_schema import schema_faults
schema_faults({})  # imports what it needs
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
main(["init", "--dry-run", "."])
"""


def test_a_directory_that_may_not_be_read_is_told(environment: dict[str, str]) -> None:
    """Run as nobody where the tests run as root, who reads everything; in a place that nobody may enter as well."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        write_full(place / "b")
        (place / "secret").mkdir(mode=0o000)
        words = [sys.executable, "-c", AS_NOBODY]
        done = subprocess.run(
            words, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        (place / "secret").chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "+[models.b]" in done.stdout
    assert "secret" in done.stderr


def test_repositories_are_named_where_something_refers_to_them(doctor: Doctor, place: Path) -> None:
    hub = place.parent / "hub"
    for repository in ("org/base", "org/asked", "org/idle"):
        write_cached(hub, repository)
    write_adapter(place / "tuned", "org/base")
    (place / "run_it.py").write_text(RUNNER.format("org/asked"))
    assert doctor("init", "--yes", "--all", cwd=place, HF_HUB_CACHE=str(hub)).code == 0
    manifest = loaded(place)
    assert {n: m.path.text for n, m in manifest.models.items() if m.path.hub} == {
        "base": "hf:org/base",
        "asked": "hf:org/asked",
    }
    assert manifest.models["tuned"].base == "base"
    assert manifest.roles["sessions"].models == ("asked",)


def test_models_far_away_get_a_variable_of_this_machine(doctor: Doctor, place: Path) -> None:
    zoo = place.parent / "zoo"
    write_full(zoo / "one")
    write_full(zoo / "two")
    assert doctor("init", "--yes", str(zoo), cwd=place).code == 0
    manifest = loaded(place)
    assert "{zoo}/one" in (place / "sage-doctor.toml").read_text()
    assert manifest.machine is not None
    assert manifest.machine.vars == {"zoo": str(zoo)}


def test_a_new_machine_joins_a_manifest_that_has_machines(doctor: Doctor, place: Path) -> None:
    write_full(place / "b")
    text = "schema = 1\n[machines.sprout]\nmatch.hostname='sprout-*'\nhome='/home/sprout'\n"
    text += "[models.b]\nkind='full'\npath='b'\n"
    (place / "sage-doctor.toml").write_text(text)
    (place / "run.py").write_text(RUNNER.format("/home/sprout/zoo/b"))
    assert doctor("init", "--yes", cwd=place).code == 0
    manifest = loaded(place)
    assert len(manifest.machines) == 2
    assert manifest.machine is not None
    assert manifest.machine.name != "sprout"
    assert not manifest.roles  # a manifest without roles means that everything counts


def test_a_merged_model_without_weights_gets_its_recipe_from_its_record(doctor: Doctor, place: Path) -> None:
    base, adapter = write_full(place / "b"), write_adapter(place / "lora-x", place / "b")
    merged = place / "x-merged"
    merged.mkdir()
    write_tokenizer(merged)
    write_json(merged / "sage-doctor-merge.json", {"base": {"path": str(base)}, "adapter": {"path": str(adapter)}})
    assert doctor("init", "--yes", cwd=place).code == 0
    spec = loaded(place).models["x-merged"]
    assert spec.kind == "merged"
    assert spec.merge is not None
    assert (spec.merge.base, spec.merge.adapter) == ("b", "lora-x")


def test_guesses_are_comments_that_no_repair_acts_on(doctor: Doctor, place: Path) -> None:
    write_full(place / "qwen-0.5b")
    write_adapter(place / "zoo" / "qwen-0.5b" / "intro-v2", "./gone/final")
    (place / "zoo" / "qwen-0.5b" / "intro-merged").mkdir()
    write_tokenizer(place / "zoo" / "qwen-0.5b" / "intro-merged")
    assert doctor("init", "--yes", cwd=place).code == 0
    text = (place / "sage-doctor.toml").read_text()
    manifest = loaded(place)
    assert manifest.models["intro-v2"].base is None
    assert manifest.models["intro-merged"].merge is None
    for line in ('# base = "qwen-0.5b"', '# merge = { base = "qwen-0.5b", adapter = "intro-v2" }'):
        assert line in text
        text = text.replace(line, line[2:])
    (place / "sage-doctor.toml").write_text(text)
    assert loaded(place).models["intro-merged"].merge is not None


@pytest.mark.parametrize("words", [["check", "-l", "static"], ["gate", "r", "-l", "static"], ["where", "m"]])
def test_only_init_needs_the_library_of_schemas(environment: dict[str, str], place: Path, words: list[str]) -> None:
    """It is not there: a check, the first decision of a gate and a recorded one do not ask for it."""
    write_full(place / "m")
    text = 'schema = 1\n[roles.r]\nmodels = ["m"]\n[models.m]\nkind = "full"\npath = "m"\n'
    (place / "sage-doctor.toml").write_text(text)
    code = "import sys; sys.modules['jsonschema'] = None; from sage_doctor.cli import main; main(sys.argv[1:])"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    for _ in range(2):
        done = run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    write_full(place / "new")
    assert "jsonschema" in run("init", "--dry-run", ".").stderr
