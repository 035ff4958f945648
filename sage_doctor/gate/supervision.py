"""The decision in time: it is made in a child, and the caller gets an answer whatever that child does."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from sage_doctor.gate.decision import Decision, cut_short
from sage_doctor.gate.request import DEFAULT_TIMEOUT_S, GateRequest
from sage_doctor.system.activity import sender
from sage_doctor.system.guard import LIMIT, TICK, Send, guarded
from sage_doctor.text import format_activity, format_duration

LONGEST_PAUSE_S: Final = 60.0


class Listener(Protocol):
    """Receives what happens while a decision is made."""

    def stage(self, activity: str, done: int, total: int, unit: str) -> None:
        """Take what is being done now, and how far it is."""

    def tick(self) -> None:
        """Take that some time has passed, and nothing was said: called about twice a second."""

    def found(self, finding: Mapping[str, Any]) -> None:
        """Take a finding that is an error, as JSON."""

    def waiting(self, decision: Decision, pause_s: float) -> None:
        """Take a decision that is not the last one: the question is asked again after `pause_s` seconds."""


def decide_in_time(gate_request: GateRequest, listener: Listener) -> Decision:
    """Return the decision, at the latest a second or two after the request's deadline.

    A decision that was cut short is `blocked` if an error had been found by then, else `unknown`. It has a report in
    any case.
    """
    errors: list[Mapping[str, Any]] = []
    stage, machine = "start", ""
    started, began = dt.datetime.now(dt.timezone.utc), time.monotonic()
    limit = gate_request.timeout_s or DEFAULT_TIMEOUT_S

    def on_message(kind: str, value: Any) -> None:
        nonlocal stage, limit, machine
        if kind == LIMIT:
            limit = value
        elif kind == "machine":
            machine = value
        elif kind == TICK:
            listener.tick()
        elif kind == "stage":
            stage = format_activity(*value)
            listener.stage(*value)
        elif kind == "found":
            errors.append(value)
            listener.found(value)

    result = guarded(lambda send: _decide(gate_request, send), seconds=limit, on_message=on_message)
    if result.how == "done":
        decision = Decision.from_json(result.result)
    elif result.how == "late":
        why = f"no answer within {format_duration(limit)}, in the stage '{stage}': {result.detail}"
        decision = cut_short(gate_request.role, errors, why)
    else:
        decision = cut_short(gate_request.role, errors, f"{result.detail}, in the stage '{stage}'")
    if decision.report is not None:
        return decision
    from sage_doctor.gate.unfinished import unfinished_report  # noqa: PLC0415 - only where something went wrong

    taken_s = time.monotonic() - began
    report = unfinished_report(
        decision, gate_request, machine=machine, findings=errors, started=started, duration_s=taken_s
    )
    return replace(decision, report=report.to_json())


def _decide(gate_request: GateRequest, send: Send) -> dict[str, Any]:
    from sage_doctor.gate.evaluation import decide  # noqa: PLC0415 - in the child, where it cannot hold anybody

    decision = decide(
        gate_request,
        os.environ,
        on_progress=sender(send),
        on_finding=lambda finding: send("found", dict(finding)),
        on_limit=lambda seconds: send(LIMIT, seconds),
        on_machine=lambda name: send("machine", name),
    )
    return decision.to_json()


def decide_until_open(
    gate_request: GateRequest, listener: Listener, wait_s: float | None, *, sleep: Callable[[float], None] = time.sleep
) -> Decision:
    """Return the first decision that opens the gate, or the last one after `wait_s` seconds of asking again.

    The pauses grow from a second to a minute. Wrong usage is not asked again.
    """
    until = time.monotonic() + (wait_s or 0)
    pause = 1.0
    while True:
        decision = decide_in_time(gate_request, listener)
        left = until - time.monotonic()
        if decision.state == "open" or decision.usage or left <= 0:
            return decision
        listener.waiting(decision, min(pause, left))
        sleep(min(pause, left))
        pause = min(pause * 2, LONGEST_PAUSE_S)
