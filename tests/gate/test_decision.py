"""Decisions: codes, lines, and what is left of one that was cut short."""

from __future__ import annotations

from typing import Any

import pytest

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.gate.decision import Decision, GateState, ModelLocation, cut_short, failed, remedies

FOUND: dict[str, Any] = {
    "code": "weights-missing",
    "subject": "m",
    "message": "no weights",
    "fix": {"summary": "Bring them back.", "commands": ["ls"], "repair": None},
}


@pytest.mark.parametrize("state,code", [("open", 0), ("blocked", 1), ("unknown", 3)])
def test_every_state_has_its_code(state: GateState, code: int) -> None:
    assert Decision(state=state, role="r", reason="x").exit_code == code


def test_a_question_without_sense_is_usage() -> None:
    assert failed("r", UsageError("no such role\nsecond line")).exit_code == 2
    assert failed("r", UsageError("no such role\nsecond line")).details == ("second line",)
    assert failed("r", DoctorError("nobody knows")).exit_code == 3
    assert failed("r", DoctorError("")).reason == "no reason given"


def test_a_decision_travels_as_json() -> None:
    decision = Decision(
        state="open",
        role="r",
        reason="x",
        details=("a",),
        models={"m": ModelLocation(path="/m", base="/b")},
        recorded=True,
    )
    assert Decision.from_json(decision.to_json()) == decision


def test_cut_short_is_unknown_unless_an_error_was_found() -> None:
    assert cut_short("r", [], "no answer").state == "unknown"
    decision = cut_short("r", [FOUND, FOUND], "no answer")
    assert decision.state == "blocked"
    assert decision.line() == "blocked: r: m: weights-missing: no weights (and 1 more); then no answer"


def test_hostile_words_are_made_harmless() -> None:
    hostile = {**FOUND, "subject": "m\x1b[2J", "message": "a\nb"}
    decision = cut_short("r\x07", [hostile], "end")
    assert "\x1b" not in decision.line() + "".join(decision.details)
    assert "\n" not in decision.line()
    assert "\x07" not in decision.line()


def test_remedies_name_the_repair_or_the_first_command() -> None:
    assert list(remedies([FOUND])) == ["    Bring them back.", "    $ ls"]
    mended = {**FOUND, "fix": {**FOUND["fix"], "repair": "merge"}}
    assert list(remedies([mended])) == ["    sage-doctor fix m"]
    assert sum("weights-missing" in line for line in remedies([FOUND] * 9)) == 4
