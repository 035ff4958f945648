"""One check on one subject: how it may end, and what that keeps from running."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sage_doctor.check import CheckSpec, Finding, Fix, Notes, finding
from sage_doctor.errors import Blocked, NotApplicable
from sage_doctor.report import Level, Severity
from sage_doctor.subjects.selection import Request, select
from sage_doctor.suite.run import CheckOutcome, Run
from tests.model_directories import write_full

Execute = Callable[..., CheckOutcome]


def named(name: str, *after: str, level: Level = "static") -> CheckSpec:
    return CheckSpec(name=name, title=name, level=level, after=after, kinds=frozenset())


def found(code: str, severity: Severity = "error") -> Callable[[Notes], list[Finding]]:
    return lambda _notes: [finding(code, "message", severity=severity, fix=Fix(summary="mend"))]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    write_full(tmp_path / "model")
    request = Request(targets=("./model",), cwd=str(tmp_path), deadline=time.monotonic() + 60)
    return Run(request, select(request, {"HOME": str(tmp_path)}))


@pytest.fixture
def execute(run: Run) -> Execute:
    def one(spec: CheckSpec, call: Callable[[Notes], list[Finding]] = lambda _notes: []) -> CheckOutcome:
        return run.execute(0, f"x.{spec.name}", spec, run.selection.models[0], call)

    return one


def reason(outcome: CheckOutcome) -> tuple[str, str | None]:
    return outcome.result.status, outcome.result.reason


def test_an_error_blocks_what_waits_for_it_and_nothing_else(execute: Execute) -> None:
    assert execute(named("a"), found("acme-a")).result.status == "fail"
    assert reason(execute(named("b", "a"))) == ("skip", "blocked by acme-a")
    assert reason(execute(named("c", "b"))) == ("skip", "blocked by acme-a")
    assert reason(execute(named("d", "*"))) == ("skip", "blocked by acme-a")
    assert reason(execute(named("e", "other"))) == ("pass", None)


@pytest.mark.parametrize("severity", ["warning", "info"])
def test_less_than_an_error_blocks_nothing(execute: Execute, severity: Severity) -> None:
    execute(named("a"), found("acme-a", severity))
    assert reason(execute(named("b", "a", "*"))) == ("pass", None)


@pytest.mark.parametrize("code", ["load-over-budget", "memory-over-budget", "throughput-under-budget"])
def test_a_missed_budget_blocks_nothing(execute: Execute, code: str) -> None:
    assert execute(named("a"), found(code)).result.status == "fail"
    assert reason(execute(named("b", "a", "*"))) == ("pass", None)


def test_a_check_may_name_its_blocker_and_say_that_it_does_not_apply(execute: Execute) -> None:
    def blocked(_notes: Notes) -> list[Finding]:
        raise Blocked("acme-elsewhere")

    def nothing(_notes: Notes) -> list[Finding]:
        raise NotApplicable("not today")

    assert reason(execute(named("a"), blocked)) == ("skip", "blocked by acme-elsewhere")
    assert reason(execute(named("b", "a"))) == ("skip", "blocked by acme-elsewhere")
    assert reason(execute(named("c"), nothing)) == ("skip", "not today")
    assert reason(execute(named("d", "c"))) == ("pass", None)


def test_an_interrupt_is_no_matter_of_one_check(execute: Execute) -> None:
    def interrupted(_notes: Notes) -> list[Finding]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(named("a"), interrupted)


def test_the_alarm_is_put_back_as_it_was(execute: Execute) -> None:
    def ring(*_: object) -> None:
        raise AssertionError("an alarm of somebody else's")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        execute(named("a"))
        assert signal.getsignal(signal.SIGALRM) is ring
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_outcome_survives_its_journey(execute: Execute) -> None:
    def measured(notes: Notes) -> list[Finding]:
        notes.measure("load_s", 1.5, "s", 2)
        notes.answer = "I am \udcff and \x1b[31m ✔"
        return list(_two())

    outcome = execute(named("a"), measured)
    assert CheckOutcome.from_text(outcome.to_text()) == outcome
    assert outcome.to_text().isascii()


def _two() -> Iterator[Finding]:
    yield finding("acme-a", "\ud800", severity="info", evidence={"a": [1, {"b": None}]}, fix=Fix(summary="x"))
    yield finding("acme-b", "b", severity="error", fix=Fix(summary="x", commands=("ls",), repair="r"))
