"""Scripts are rewritten all together or not at all, only where that was asked for, and put back where that is wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.paths.rewrite import python_source as source
from sage_doctor.repairs.actions import rewrite_paths
from sage_doctor.repairs.journal import Journal
from sage_doctor.repairs.repair import RepairOptions
from sage_doctor.repairs.repair_report import RepairReport
from sage_doctor.repairs.repair_session import RepairCallbacks, run_repairs
from sage_doctor.report import Level
from sage_doctor.subjects.selection import Request
from sage_doctor.system import file_steps
from tests.model_directories import write_full

S = "/home/sprout/ai-workspace/HRM"
MANIFEST = """schema = 1
[machines.here]
match.hostname = "*"
[machines.sprout]
match.hostname = "no-such-host"
home = "/home/sprout"
[roles.r]
models = ["m"]
runners = ["scripts/*.py"]
[models.m]
kind = "full"
path = "zoo/m"
"""
ONE = f'from pathlib import Path\n\nROOT = Path(__file__).resolve().parents[1]\nMODEL = "{S}/zoo/m"\n'
TWO = f'import sys\n\nsys.path.insert(0, "{S}")\nimport lib.tool\n\nMODEL = "{S}/zoo/m"\nLOG = f"{S}/zoo/{{MODEL}}"\n'
Fix = Callable[..., RepairReport]


def git(directory: Path, *words: str) -> str:
    author = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(directory), *author, *words], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SAGE_MACHINE", "here")
    root = tmp_path / "hrm"
    write_full(root / "zoo/m")
    (root / "scripts").mkdir()
    (root / "lib").mkdir()
    (root / "lib/tool.py").write_text("raise SystemExit('nobody may run this')\n", encoding="utf-8")
    (root / "sage-doctor.toml").write_text(MANIFEST, encoding="utf-8")
    (root / "scripts/one.py").write_text(ONE, encoding="utf-8")
    (root / "scripts/two.py").write_text(TWO, encoding="utf-8")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    return root


@pytest.fixture
def fix(checkout: Path, tmp_path: Path) -> Fix:
    def run(level: Level = "static", **options: bool) -> RepairReport:
        request = Request(targets=(), manifest=str(checkout / "sage-doctor.toml"), level=level, cwd=str(checkout))
        callbacks = RepairCallbacks(consent=lambda _plan: True)
        given = RepairOptions(**{"rewrite_paths": True, **options})  # type: ignore[arg-type]
        return run_repairs(request, callbacks, options=given, journal=Journal(path=tmp_path / "journal.jsonl"))

    return run


def test_only_where_it_was_asked_for(fix: Fix, checkout: Path) -> None:
    result = fix(rewrite_paths=False)
    assert result.attempts == ()
    assert result.after.exit_code == 1
    assert git(checkout, "status", "--short") == ""


def test_all_scripts_of_a_repository_at_once(fix: Fix, checkout: Path, tmp_path: Path) -> None:
    result = fix()
    (attempt,) = result.attempts
    assert (attempt.status, attempt.repair) == ("repaired", "rewrite-paths"), attempt.reason
    assert "scripts/one.py" in attempt.reason
    assert "left to edit by hand: scripts/two.py (1)" in attempt.reason
    assert (checkout / "scripts/one.py").read_text() == ONE.replace(f'"{S}/zoo/m"', 'str(ROOT / "zoo/m")')
    two = (checkout / "scripts/two.py").read_text()
    assert "sys.path.insert(0, str(Path(__file__).resolve().parents[1]))\n" in two
    assert 'MODEL = str(Path(__file__).resolve().parents[1] / "zoo/m")\n' in two
    assert f'LOG = f"{S}/zoo/{{MODEL}}"' in two
    assert attempt.plan is not None
    assert any(line.startswith("+LOG = f") for line in attempt.plan.suggests)
    shown = str(attempt.plan)
    assert (
        shown.index("+MODEL = str(ROOT")
        < shown.index("NOT applied; review it, then apply it after the change above")
        < shown.index(f"git -C {checkout} apply {tmp_path}/state/sage-doctor/patches/suggested-paths-1.patch")
    )
    suggested = str(tmp_path / "state/sage-doctor/patches/suggested-paths-1.patch")
    git(checkout, "apply", suggested)  # the command that is shown
    assert "+" + (checkout / "scripts/two.py").read_text().splitlines()[-1] in attempt.plan.suggests
    git(checkout, "apply", "-R", suggested)
    assert [f.subject for f in result.fixed] == ["scripts/one.py"]
    patch = tmp_path / "state/sage-doctor/patches/rewrite-paths-1.patch"
    git(checkout, "apply", "-R", str(patch))
    assert git(checkout, "status", "--short") == ""
    entries = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [e["event"] for e in entries] == ["begun", "repaired"]


def test_many_files_that_are_told_as_one_are_each_held_to_their_own_paths(fix: Fix, checkout: Path) -> None:
    (checkout / "scripts/two.py").unlink()
    lint = MANIFEST.replace('runners = ["scripts/*.py"]\n', "") + '[lint]\npaths = ["scripts/*.py"]\n'
    (checkout / "sage-doctor.toml").write_text(lint, encoding="utf-8")
    log = f'LOG = open(f"{S}/zoo/{{__name__}}")\n'
    for number in range(6):  # all begin with the same path, and only some have another
        (checkout / f"scripts/{number}.py").write_text(log + ONE, encoding="utf-8")
        (checkout / f"scripts/hand_{number}.py").write_text(log + log, encoding="utf-8")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "many")
    result = fix("integrity")
    assert sorted(f.subject for f in result.before.findings) == ["6 files", "7 files"]
    (attempt,) = result.attempts
    assert attempt.status == "repaired", attempt.reason
    assert "no such paths left in scripts/one.py; paths left to edit by hand: scripts/0.py (1)," in attempt.reason
    assert 'MODEL = str(ROOT / "zoo/m")' in (checkout / "scripts/5.py").read_text()
    # What is left was there before, although it is counted as one finding of other files now.
    assert result.fixed == ()
    assert [(f.subject, result.is_new(f)) for f in result.remaining] == [("12 files", False)]


def test_a_work_tree_with_changes_is_left_alone(fix: Fix, checkout: Path) -> None:
    (checkout / "lib/tool.py").write_text("x = 1\n", encoding="utf-8")
    (attempt,) = fix().attempts
    assert attempt.status == "refused"
    assert "lib/tool.py" in attempt.reason
    assert "--allow-dirty" in attempt.reason
    (attempt,) = fix(allow_dirty=True).attempts
    assert attempt.status == "repaired"


def test_a_changed_manifest_is_no_obstacle_and_an_unknown_script_is(fix: Fix, checkout: Path) -> None:
    (checkout / "sage-doctor.toml").write_text(MANIFEST + "# x\n", encoding="utf-8")
    (checkout / "scripts/three.py").write_text(ONE, encoding="utf-8")
    (attempt,) = fix().attempts
    assert attempt.status == "refused"
    assert "scripts/three.py" in attempt.reason
    (checkout / "scripts/three.py").unlink()
    assert fix().attempts[0].status == "repaired"


def test_without_git_it_is_done_as_well(fix: Fix, checkout: Path) -> None:
    subprocess.run(["rm", "-rf", str(checkout / ".git")], check=True)
    assert fix().attempts[0].status == "repaired"


def test_a_dry_run_changes_nothing(fix: Fix, checkout: Path, tmp_path: Path) -> None:
    (attempt,) = fix(dry_run=True).attempts
    assert attempt.status == "planned"
    assert attempt.plan is not None
    assert '+MODEL = str(ROOT / "zoo/m")' in attempt.plan.diff
    assert git(checkout, "status", "--short") == ""
    assert not (tmp_path / "state/sage-doctor/patches").exists()


def test_an_import_that_would_be_lost_stops_it_before_anything_is_written(
    fix: Fix, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = source.rewritten
    monkeypatch.setattr(rewrite_paths, "rewritten", lambda *a: b"import no_such_module\n" + real(*a))
    (attempt,) = fix().attempts
    assert attempt.status == "failed"
    assert "no_such_module is not found by the sessions' interpreter" in attempt.reason
    assert git(checkout, "status", "--short") == ""


def test_where_the_checks_still_find_it_all_is_put_back(
    fix: Fix, checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rewrite_paths, "rewritten", lambda planned, _edits: b"# nothing\n" + planned.raw)
    (attempt,) = fix().attempts
    assert attempt.status == "rolled-back"
    assert "still found" in attempt.reason
    assert git(checkout, "status", "--short") == ""
    assert not (tmp_path / "state/sage-doctor/patches").exists()


def test_a_file_that_cannot_be_written_undoes_the_others(
    fix: Fix, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = file_steps.write_file

    def full(path: Path, data: bytes, **words: Any) -> object:
        if path.name == "two.py":
            raise OSError(28, "No space left on device")
        return real(path, data, **words)

    monkeypatch.setattr(rewrite_paths, "write_file", full)
    (attempt,) = fix().attempts
    assert attempt.status == "failed"
    assert git(checkout, "status", "--short") == ""


def test_a_file_changed_after_the_plan_is_left_alone(checkout: Path) -> None:
    request = Request(targets=(), manifest=str(checkout / "sage-doctor.toml"), level="static", cwd=str(checkout))

    def consent(_plan: object) -> bool:
        (checkout / "scripts/one.py").write_text("x = 1\n", encoding="utf-8")
        return True

    journal = Journal(path=checkout.parent / "journal.jsonl")
    (attempt,) = run_repairs(
        request, RepairCallbacks(consent=consent), options=RepairOptions(rewrite_paths=True), journal=journal
    ).attempts
    assert attempt.status == "failed"
    assert "has changed since the plan" in attempt.reason
    assert (checkout / "scripts/one.py").read_text() == "x = 1\n"
    assert (checkout / "scripts/two.py").read_text() == TWO
