"""From findings to repairs and back: the order, the consent, the second look, and what a kill leaves."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.repairs import repair_session
from sage_doctor.repairs.journal import Journal
from sage_doctor.repairs.registry import all_repairs
from sage_doctor.repairs.repair import Plan, RepairContext, RepairOptions
from sage_doctor.repairs.repair_session import RepairCallbacks, run_repairs
from sage_doctor.repairs.verification import verification_failure
from sage_doctor.report import CheckResult, Finding, Fix, MachineInfo, Report, Status
from sage_doctor.subjects.selection import Request
from sage_doctor.system.file_steps import Applied, _noop
from tests.model_directories import INDEX, write_sharded

Done = list[str]


def a_report(*checks: tuple[str, Status, str], code: str = "") -> Report:
    results = tuple(
        CheckResult(id=i, subject="m", level="static", status=s, duration_s=0, reason=r) for i, s, r in checks
    )
    findings = (a_finding(code),) if code else ()
    return Report(
        doctor={}, machine=MachineInfo(name="x", hostname="x"), started_at="", duration_s=0, level="static",
        verdict="healthy", exit_code=0, checks=results, findings=findings,
    )  # fmt: skip


def a_finding(code: str) -> Finding:
    return Finding(code=code, severity="error", subject="m", check="w.one", message="it is so", fix=Fix(summary=""))


BEFORE = a_report(("w.one", "fail", ""), ("w.two", "pass", ""), ("w.three", "skip", "blocked by x"), code="x")


@pytest.mark.parametrize(
    "after,says",
    [
        (a_report(("w.one", "pass", "")), ""),
        (a_report(("w.one", "warn", "")), ""),
        (a_report(("w.one", "skip", "it is not sharded")), ""),
        (a_report(("w.one", "pass", ""), ("w.three", "fail", "")), ""),
        (a_report(("w.one", "pass", ""), code="x"), "x is still found"),
        (a_report(("w.one", "fail", "")), "w.one still fails"),
        (a_report(("w.one", "error", "the deadline passed")), "the deadline passed"),
        (a_report(("w.one", "skip", "blocked by y")), "blocked by y"),
        (a_report(("w.two", "pass", "")), "w.one did not run again"),
        (a_report(("w.one", "pass", ""), ("w.two", "fail", "")), "w.two passed before"),
        (a_report(("w.one", "pass", ""), ("w.two", "error", "it hung")), "w.two passed before"),
    ],
)
def test_only_checks_that_pass_count_as_repaired(after: Report, says: str) -> None:
    said = verification_failure(BEFORE.findings[0], BEFORE, after)
    assert says in said
    assert bool(said) == bool(says)


@pytest.fixture
def sharded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose index is gone: `rebuild-index` mends it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SAGE_DOCTOR_MANIFEST", raising=False)
    model = write_sharded(tmp_path / "model")
    (model / INDEX).unlink()
    return model


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(path=tmp_path / "state" / "repairs.jsonl")


def request(model: Path) -> Request:
    return Request(targets=(str(model),), cwd=str(model.parent))


def with_repair(monkeypatch: pytest.MonkeyPatch, apply: Callable[[], Applied]) -> None:
    """Put another hand in the place of `rebuild-index`."""
    real = all_repairs()

    def plan(context: RepairContext) -> Plan:
        return dataclasses.replace(real["rebuild-index"].plan(context), apply=lambda _on_progress: apply())

    changed = {**real, "rebuild-index": dataclasses.replace(real["rebuild-index"], plan=plan)}
    monkeypatch.setattr(repair_session, "all_repairs", lambda: changed)


def test_the_journal_is_written_before_anything_is_changed(
    sharded: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def apply() -> Applied:
        seen.append([e["event"] for e in journal.entries()])
        return Applied(rollback=_noop)

    with_repair(monkeypatch, apply)
    done = run_repairs(
        request(sharded), RepairCallbacks(consent=lambda _plan: True), options=RepairOptions(), journal=journal
    )
    assert seen == [["begun"]]
    assert [(a.status, "still found" in a.reason) for a in done.attempts] == [("rolled-back", True)]


def test_without_a_journal_nothing_is_changed(sharded: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a directory should be")
    with pytest.raises(DoctorError, match="no repair runs without it"):
        run_repairs(
            request(sharded),
            RepairCallbacks(consent=lambda _plan: True),
            options=RepairOptions(),
            journal=Journal(path=tmp_path / "state" / "repairs.jsonl"),
        )
    assert not (sharded / INDEX).exists()


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_while_looking_again_puts_the_old_state_back(
    sharded: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    def interrupted(*_: object) -> str:
        assert (sharded / INDEX).exists()
        raise raised

    monkeypatch.setattr(repair_session, "verification_failure", interrupted)
    with pytest.raises(raised):
        run_repairs(
            request(sharded), RepairCallbacks(consent=lambda _plan: True), options=RepairOptions(), journal=journal
        )
    assert not (sharded / INDEX).exists()
    assert [e["event"] for e in journal.entries()] == ["begun", "interrupted"]


def test_what_was_kept_is_let_go_only_when_the_checks_are_content(
    sharded: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: Done = []
    with_repair(
        monkeypatch, lambda: Applied(rollback=lambda: done.append("rollback"), commit=lambda: done.append("commit"))
    )
    for failing_verification in ("no", ""):
        monkeypatch.setattr(repair_session, "verification_failure", lambda *_, said=failing_verification: said)
        run_repairs(
            request(sharded), RepairCallbacks(consent=lambda _plan: True), options=RepairOptions(), journal=journal
        )
    assert done == ["rollback", "commit"]


@pytest.mark.parametrize("error", [DoctorError("no room"), OSError(28, "No space left on device")])
def test_a_repair_that_fails_is_told_and_tried_once(
    sharded: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def apply() -> Applied:
        raise error

    with_repair(monkeypatch, apply)
    heard: Done = []
    callbacks = RepairCallbacks(consent=lambda _plan: True, on_outcome=lambda a: heard.append(a.status))
    done = run_repairs(request(sharded), callbacks, options=RepairOptions(), journal=journal)
    assert heard == ["failed"]
    assert done.after is done.before
    assert done.after.exit_code == 1


def test_a_check_of_ones_own_that_names_no_repair_of_ours_is_left_alone(
    sharded: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {name: r for name, r in all_repairs().items() if name != "rebuild-index"}
    monkeypatch.setattr(repair_session, "all_repairs", lambda: others)
    done = run_repairs(
        request(sharded), RepairCallbacks(consent=lambda _plan: True), options=RepairOptions(), journal=journal
    )
    assert not done.attempts
    assert [f.code for f in done.remaining] == ["shard-index-missing"]
    assert not os.path.exists(journal.path)
