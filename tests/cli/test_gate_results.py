"""What a gate takes from last time: a result that still holds, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gate.stand_in import loads, write_interpreter, write_site
from tests.model_directories import MODEL, edit_json

from .conftest import Doctor

Start = Callable[..., subprocess.Popen[bytes]]


def test_a_result_that_still_holds_is_taken(doctor: Doctor, site: Path, python: Path) -> None:
    doctor("gate", "talk", cwd=site)
    done = doctor("gate", "talk", cwd=site)
    assert done.code == 0
    assert done.out.startswith("open: talk: m0 is ready; checked ")
    assert done.out.endswith("nothing changed since\n")
    assert loads(python) == 1


def test_what_sessions_leave_behind_is_looked_at_every_time(doctor: Doctor, site: Path, python: Path) -> None:
    with (site / "sage-doctor.toml").open("a", encoding="utf-8") as file:
        file.write('[state.s]\npath = "state.json"\ncounter = "n"\nroles = ["talk"]\n')
    for count, code in ((7, 0), (8, 0), (6, 1), (8, 0)):
        (site / "state.json").write_text(json.dumps({"n": count}), encoding="utf-8")
        done = doctor("gate", "talk", cwd=site)
        assert done.code == code
        assert code == 0 or done.out.startswith("blocked: talk: state:s: state-regressed: n is 6")
    assert loads(python) == 1  # the model's own result holds all the while


def test_a_red_result_is_never_taken_again(doctor: Doctor, site: Path) -> None:
    weights = site / "zoo" / "m0" / MODEL
    kept = weights.read_bytes()
    weights.unlink()
    assert doctor("gate", "talk", cwd=site).code == 1
    weights.write_bytes(kept)
    assert doctor("gate", "talk", cwd=site).code == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda site: os.utime(site / "zoo/m0/config.json", (1, 1)),
        lambda site: (site / "zoo/m0/model.safetensors").write_bytes((site / "zoo/m0/model.safetensors").read_bytes()),
        lambda site: (site / "zoo/m0/added.txt").write_text("x"),
        lambda site: (site / "zoo/m0/tokenizer.json").chmod(0o600),
    ],
    ids=["touched", "written anew", "a new file", "another mode"],
)
def test_whatever_changes_in_a_model_has_it_loaded_again(
    doctor: Doctor, site: Path, python: Path, change: Callable[[Path], object]
) -> None:
    doctor("gate", "talk", cwd=site)
    change(site)
    assert doctor("gate", "talk", cwd=site).code == 0
    assert loads(python) == 2


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_noticed(doctor: Doctor, site: Path, python: Path) -> None:
    doctor("gate", "talk", cwd=site)
    path = site / "zoo" / "m0" / MODEL
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)
    doctor("gate", "talk", cwd=site)
    assert loads(python) == 2


def test_only_the_changed_model_is_loaded_again(doctor: Doctor, tmp_path: Path, python: Path) -> None:
    site = write_site(tmp_path / "site", python, models=3)
    doctor("gate", "talk", cwd=site)
    assert loads(python) == 3
    edit_json(site / "zoo" / "m1" / "config.json", note="x")
    assert doctor("gate", "talk", cwd=site).code == 0
    assert loads(python) == 4


def test_a_change_of_the_manifest_that_concerns_no_load_loads_nothing(doctor: Doctor, site: Path, python: Path) -> None:
    doctor("gate", "talk", cwd=site)
    manifest = site / "sage-doctor.toml"
    manifest.write_text(manifest.read_text() + "# a remark\n")
    done = doctor("gate", "talk", cwd=site)
    assert (done.code, loads(python)) == (0, 1)
    assert "sage-doctor.toml" in done.err
    manifest.write_text(manifest.read_text().replace('kind = "full"', 'kind = "full"\nprompt = "What now?"'))
    assert doctor("gate", "talk", cwd=site).code == 0
    assert loads(python) == 2


@pytest.mark.parametrize("words", [["--no-cache"], ["--fresh"], ["--max-age", "0.001s"]])
def test_a_result_that_is_not_wanted_is_not_taken(doctor: Doctor, site: Path, python: Path, words: list[str]) -> None:
    doctor("gate", "talk", cwd=site)
    done = doctor("gate", "talk", *words, cwd=site)
    assert done.code == 0
    assert ("`--fresh` is now `--no-cache`" in done.err) == (words == ["--fresh"])
    assert loads(python) == 2


def test_a_deeper_question_is_not_answered_by_a_shallow_result(doctor: Doctor, site: Path, python: Path) -> None:
    doctor("gate", "talk", "--level", "static", cwd=site)
    assert loads(python) == 0
    doctor("gate", "talk", cwd=site)
    assert loads(python) == 1
    doctor("gate", "talk", "--level", "static", cwd=site)
    assert loads(python) == 1


def test_a_new_package_in_the_sessions_environment_has_models_loaded_again(tmp_path: Path, doctor: Doctor) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    packages = next((tmp_path / "env").glob("lib/python*/site-packages"))
    site = write_site(tmp_path / "site", python)
    assert doctor("gate", "talk", "--level", "static", cwd=site).code == 0
    assert "checked" in doctor("gate", "talk", "--level", "static", cwd=site).out
    (packages / "something-1.0.dist-info").mkdir()
    done = doctor("gate", "talk", "--level", "static", cwd=site)
    assert "found" not in done.out
    assert "site-packages" in done.err


def test_settings_that_choose_other_files_are_another_question(doctor: Doctor, site: Path, python: Path) -> None:
    doctor("gate", "talk", cwd=site)
    doctor("gate", "talk", cwd=site, HF_HOME="/elsewhere")
    assert loads(python) == 2
    doctor("gate", "talk", cwd=site, EDITOR="ed")
    assert loads(python) == 2


def test_a_model_of_two_roles_is_loaded_once(doctor: Doctor, tmp_path: Path, python: Path) -> None:
    site = write_site(tmp_path / "site", python, more='[roles.walk]\nmodels = ["m0"]\n')
    doctor("gate", "talk", cwd=site)
    done = doctor("gate", "walk", "-f", "json", cwd=site)
    assert (done.code, loads(python)) == (0, 1)
    reasons = {c["id"]: c.get("reason", "") for c in done.report["checks"] if c["level"] in ("load", "generate")}
    assert "nothing it depends on has changed" in reasons["generate.generates"]
    assert done.report["answers"] == {"m0": "I am here."}


def test_two_gates_at_once_load_once(begin: Start, tmp_path: Path) -> None:
    python = write_interpreter(tmp_path / "env", pause="import time; time.sleep(1.5)")
    site = write_site(tmp_path / "site", python)
    gates = [begin("gate", "talk", cwd=site) for _ in range(5)]
    ended = [g.communicate(timeout=60) for g in gates]
    assert [g.returncode for g in gates] == [0] * 5, ended
    assert loads(python) == 1


def test_a_second_gate_takes_a_red_result_that_it_waited_for(begin: Start, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    python = write_interpreter(tmp_path / "env", probe=f"echo x >> {calls}; sleep 1.5; kill -SEGV $$")
    site = write_site(tmp_path / "site", python)
    gates = [begin("gate", "talk", cwd=site) for _ in range(3)]
    ended = [g.communicate(timeout=60) for g in gates]
    assert [g.returncode for g in gates] == [1] * 3, ended
    assert calls.read_text() == "x\n"
