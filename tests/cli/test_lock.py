"""`sage-doctor lock` as a user meets it: recorded, checked, compared with another machine's, and never forgetful."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gate.stand_in import write_interpreter, write_site
from tests.model_directories import (
    MODEL,
    WEIGHTS,
    edit_json,
    write_adapter,
    write_full,
    write_json,
    write_tensors,
)

from .conftest import Doctor

MANIFEST = """\
schema = 1
[roles.talk]
models = ["tuned"]
[roles.draw]
models = ["other"]
[machines.here]
match.hostname = "*"
roles = ["talk"]
[models.tuned]
kind = "adapter"
path = "tuned"
base = "b"
[models.b]
kind = "full"
path = "base"
[models.other]
kind = "full"
path = "other"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "repo"
    write_adapter(place / "tuned", write_full(place / "base"))
    (place / "sage-doctor.toml").write_text(MANIFEST)
    return place


def lock_of(place: Path) -> str:
    return (place / "sage-doctor.lock").read_text()


def test_what_a_role_needs_is_recorded_with_its_base(doctor: Doctor, place: Path) -> None:
    done = doctor("lock", cwd=place)
    assert (done.code, done.err) == (0, "")
    assert "[models.tuned]" in lock_of(place)
    assert "[models.b]" in lock_of(place)
    assert "[models.other]" not in lock_of(place)
    assert str(place) not in lock_of(place).replace(f'declared = "{place}/base"', "")
    first = lock_of(place)
    assert "is up to date" in doctor("lock", cwd=place).out
    assert lock_of(place) == first
    assert doctor("lock", "--check", cwd=place).code == 0


def test_a_drift_is_named_and_ends_with_one(doctor: Doctor, place: Path) -> None:
    doctor("lock", cwd=place)
    write_tensors(place / "base" / MODEL, WEIGHTS, fill=0.25)
    before = lock_of(place)
    done = doctor("lock", "--check", cwd=place)
    assert done.code == 1
    assert "drifted  b      the same tensors, alike in names, types and shapes, with other numbers" in done.out
    assert "same     tuned" in done.out
    assert lock_of(place) == before
    report = doctor("check", "-l", "integrity", "-f", "json", cwd=place).report
    assert [(f["code"], f["subject"]) for f in report["findings"] if f["severity"] == "error"] == [
        ("weights-drift", "b")
    ]
    assert doctor("lock", cwd=place).out.startswith("changed  b  ")
    assert doctor("lock", "--check", cwd=place).code == 0


def test_a_configuration_that_drifted_ends_with_one_here_and_warns_in_a_report(doctor: Doctor, place: Path) -> None:
    doctor("lock", cwd=place)
    edit_json(place / "tuned" / "adapter_config.json", lora_alpha=64)
    done = doctor("lock", "--check", cwd=place)
    assert done.code == 1
    assert "adapter_config.json differs" in done.out
    done = doctor("check", "-l", "integrity", "-f", "json", cwd=place)
    assert done.code == 0
    assert [f["code"] for f in done.report["findings"] if f["severity"] != "info"] == ["config-drift"]


def test_two_machines_find_the_one_with_another_base(doctor: Doctor, place: Path, tmp_path: Path) -> None:
    """The same adapter, and a base of the same name and the same shapes that is another model."""
    sprout = shutil.copytree(place, tmp_path / "sprout")
    for machine in (place, sprout):
        edit_json(machine / "tuned" / "adapter_config.json", base_model_name_or_path="org/base")
    write_tensors(sprout / "base" / MODEL, WEIGHTS, fill=0.25)
    assert doctor("lock", cwd=place).code == 0
    assert doctor("lock", "-o", "sprout.lock", cwd=sprout).code == 0
    (sprout / "sprout.lock").rename(place / "sprout.lock")
    done = doctor("lock", "--diff", "sprout.lock", cwd=place)
    assert done.code == 1
    assert "differs  tuned  the base it is loaded onto (b) has other weights" in done.out
    assert "in sprout.lock" in done.out
    shutil.copy(place / "sage-doctor.lock", place / "sprout.lock")
    done = doctor("lock", "--diff", "sprout.lock", cwd=place)
    assert (done.code, done.out) == (0, "2 of 2 models are the same in both locks\n")


def test_the_models_here_are_held_against_another_machines_lock(doctor: Doctor, place: Path) -> None:
    doctor("lock", "-o", "sprout.lock", cwd=place)
    write_tensors(place / "base" / MODEL, WEIGHTS, fill=0.25)
    assert doctor("lock", "--check", "-o", "sprout.lock", cwd=place).code == 1
    assert not (place / "sage-doctor.lock").exists()


def test_an_entry_of_a_model_that_is_not_here_is_kept_and_said(doctor: Doctor, place: Path) -> None:
    doctor("lock", cwd=place)
    before = lock_of(place)
    shutil.rmtree(place / "base")
    done = doctor("lock", cwd=place)
    assert done.code == 1
    assert "not here  b  " in done.out
    assert "its entry is kept" in done.out
    assert "[models.b]" in lock_of(place)
    assert doctor("lock", "--check", cwd=place).code == 1
    (place / "sage-doctor.lock").write_text(before)
    done = doctor("lock", "--prune", "b", cwd=place)
    assert "removed   b  " in done.out
    assert "[models.b]" not in lock_of(place)
    assert "[models.tuned]" in lock_of(place)


def test_an_entry_that_the_manifest_does_not_name_is_kept_until_pruned(doctor: Doctor, place: Path) -> None:
    doctor("lock", cwd=place)
    text = lock_of(place).replace("[models.b]", "[models.gone]").replace("[models.b.files]", "[models.gone.files]")
    (place / "sage-doctor.lock").write_text(text)
    done = doctor("lock", cwd=place)
    assert "kept  gone   not in the manifest any more; --prune removes it" in done.out
    assert "[models.gone]" in lock_of(place)
    assert doctor("lock", "--prune", cwd=place).code == 0
    assert "[models.gone]" not in lock_of(place)
    assert "[models.b]" in lock_of(place)


def test_a_broken_model_is_not_recorded_and_its_entry_stays(doctor: Doctor, place: Path) -> None:
    doctor("lock", cwd=place)
    before = lock_of(place)
    (place / "base" / MODEL).unlink()
    done = doctor("lock", cwd=place)
    assert done.code == 1
    assert "broken  b      the weights are missing; its entry is kept" in done.out
    assert lock_of(place) == before
    (place / "sage-doctor.lock").unlink()
    shutil.rmtree(place / "tuned")
    assert doctor("lock", cwd=place).code == 1
    assert not (place / "sage-doctor.lock").exists()


def test_an_adapter_whose_base_is_elsewhere_is_not_called_the_same(doctor: Doctor, place: Path) -> None:
    (place / "sage-doctor.toml").write_text('schema = 1\n[models.tuned]\nkind = "adapter"\npath = "tuned"\n')
    assert doctor("lock", cwd=place).code == 0
    before = lock_of(place)
    assert "weights = " in before
    shutil.rmtree(place / "base")
    done = doctor("lock", "--check", cwd=place)
    assert done.code == 3
    assert "its base is not here, and cannot be compared" in done.out
    doctor("lock", cwd=place)
    assert lock_of(place) == before


def test_roles_and_models_may_be_named(doctor: Doctor, place: Path) -> None:
    write_full(place / "other")
    assert doctor("lock", "draw", cwd=place).code == 0
    assert "[models.other]" in lock_of(place)
    assert "[models.b]" not in lock_of(place)
    assert doctor("lock", "b", cwd=place).code == 0
    assert "[models.other]" in lock_of(place)
    done = doctor("lock", "ohter", cwd=place)
    assert done.code == 2
    assert "did you mean other?" in done.err


def test_a_needed_model_without_an_entry_is_a_drift(doctor: Doctor, place: Path) -> None:
    doctor("lock", "b", cwd=place)
    done = doctor("lock", "--check", cwd=place)
    assert done.code == 1
    assert "new   tuned  not locked" in done.out


@pytest.mark.parametrize("words", [["--check"], [], ["--diff", "sage-doctor.lock"], ["--prune"]])
def test_a_broken_lock_is_told_by_line_and_left_alone(doctor: Doctor, place: Path, words: list[str]) -> None:
    (place / "sage-doctor.lock").write_text("schema = 1\n<<<<<<< HEAD\n")
    done = doctor("lock", *words, cwd=place)
    assert done.code == 2
    assert "sage-doctor.lock:2: unresolved merge conflict" in done.err
    assert lock_of(place) == "schema = 1\n<<<<<<< HEAD\n"


@pytest.mark.parametrize(
    "words",
    [["--check"], ["--diff", "gone.lock"], ["--check", "--prune"], ["--check", "--diff", "x"], ["--diff", "x", "b"]],
)
def test_what_makes_no_sense_is_wrong_usage(doctor: Doctor, place: Path, words: list[str]) -> None:
    assert doctor("lock", *words, cwd=place).code == 2


def test_a_lock_needs_a_manifest(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor("lock", cwd=tmp_path)
    assert done.code == 2
    assert "sage-doctor init" in done.err


def test_a_setting_for_reports_is_not_taken_for_the_lock(doctor: Doctor, place: Path) -> None:
    assert doctor("lock", cwd=place, SAGE_DOCTOR_OUTPUT="json:report.json").code == 0
    assert sorted(p.name for p in place.iterdir() if p.is_file()) == ["sage-doctor.lock", "sage-doctor.toml"]


def test_a_gate_does_not_open_on_a_drifted_model(doctor: Doctor, tmp_path: Path) -> None:
    """The result that was open is not taken again once somebody commits another lock."""
    site = write_site(tmp_path / "site", write_interpreter(tmp_path / "env"))
    assert doctor("lock", cwd=site).code == 0
    assert doctor("gate", "talk", cwd=site).code == 0
    text = (site / "sage-doctor.lock").read_text()
    line = next(li for li in text.splitlines() if li.startswith(f'"{MODEL}"'))
    changed = line.replace(line.split('sha256 = "')[1][:64], "d" * 64)
    (site / "sage-doctor.lock").write_text(text.replace(line, changed))
    done = doctor("gate", "talk", cwd=site)
    assert done.code == 1
    assert "weights-drift" in done.out


def test_a_merge_between_branches_that_touch_other_models_is_clean(doctor: Doctor, place: Path) -> None:
    """Entries of two machines lie in one order, each in lines of its own."""
    write_full(place / "other")
    doctor("lock", "b", "-o", "one.lock", cwd=place)
    doctor("lock", "other", "-o", "two.lock", cwd=place)
    doctor("lock", "b", "other", "-o", "both.lock", cwd=place)
    one, two, both = ((place / n).read_text().splitlines() for n in ("one.lock", "two.lock", "both.lock"))
    assert set(one) | set(two) == set(both)


def test_a_hostile_model_directory_writes_nothing_odd(doctor: Doctor, place: Path) -> None:
    for name in ("a\n[models.evil]\n.py", "b\x1b[2J.py"):
        (place / "base" / name).write_text("")
    write_json(place / "tuned" / "tokenizer_config.json", {})
    done = doctor("lock", cwd=place)
    assert done.code == 0, done.err
    assert all(line.isprintable() for line in lock_of(place).splitlines())
    assert doctor("lock", "--check", cwd=place).code == 0


def test_progress_goes_to_a_terminal_and_leaves_no_trace(place: Path, environment: dict[str, str]) -> None:
    """Standard output is a pipe meanwhile, and gets what it gets without a terminal."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    words = [sys.executable, "-m", "sage_doctor"]
    for command in (["lock"], ["check", "-l", "integrity"]):
        done = subprocess.run(
            [*words, *command],
            cwd=place,
            env={**environment, "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert b"\x1b" not in done.stdout
        shown = os.read(master, 1 << 20)
        # Five times a second it is drawn: which of the short checks that meets is chance.
        assert (b"hashing" if command == ["lock"] else b"reading the manifest") in shown
        assert re.search(rb"\r(\x1b\[1A\x1b\[2K)+$", shown)
    os.close(slave)
    os.close(master)
