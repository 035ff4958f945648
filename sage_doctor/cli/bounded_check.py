"""An examination that ends in time whatever it meets: it is done in a child, and what it found until then is told.

An alarm ends a check that computes for too long. A process that waits in the kernel, for a file system that does not
answer, is ended by nothing: it is left behind.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from sage_doctor import __version__
from sage_doctor.cli.bounded_command import relayed, write_relayed
from sage_doctor.errors import DoctorError, from_message, system_refusal, to_message
from sage_doctor.report import MACHINE, CheckResult, FailOn, MachineInfo, Report, conclude
from sage_doctor.subjects.selection import Request, default_deadline_s
from sage_doctor.system.activity import OnProgress, sender
from sage_doctor.system.guard import LIMIT, Send, guarded
from sage_doctor.text import format_activity, format_duration

LATER_S: Final = 3.0  # the examination's own alarm comes first: then the report is complete

OnReport = Callable[[Report], None]
OnSubject = Callable[[str, str, str, str], None]


class CheckCrashed(Exception):
    """The examining process ended by a fault of the doctor's own; the text is its traceback or its last words."""


def examine_in_time(
    request: Request,
    *,
    jobs: int,
    fail_on: FailOn,
    timeout_s: float | None,
    on_progress: OnProgress,
    on_subject: OnSubject | None,
    on_report: OnReport,
) -> Report:
    """Examine what a request is about, hand the report to `on_report`, record it, and return it.

    `on_subject` gets the line of each model as it is done, as `overview.line_of` makes it.

    At the latest some seconds after `timeout_s` (the default of the level without it) the report says what was found by
    then. Raises what `select` raises as `DoctorError`, `CheckCrashed`, and `KeyboardInterrupt`.
    """
    began, started = time.monotonic(), dt.datetime.now(dt.timezone.utc)
    heard = _Heard(on_progress, on_subject or (lambda *_: None), on_report)
    limit = timeout_s if timeout_s is not None else default_deadline_s("static")  # until the child knows the level
    result = guarded(
        lambda send: _examine(request, jobs, fail_on, timeout_s, send, lines=on_subject is not None),
        seconds=limit + LATER_S,
        on_message=heard.take,
    )
    if heard.refusal is not None:
        raise heard.refusal
    if heard.crash is not None:
        raise CheckCrashed(heard.crash)
    if heard.unshown is not None:
        raise heard.unshown
    if heard.report is None:  # it is late, or died
        if result.how == "late":
            waited = format_duration(heard.limit or limit)
            why = f"no answer within {waited}, in the stage '{heard.stage}': {result.detail}"
        else:
            why = f"{result.detail}, in the stage '{heard.stage}'"
        report = _cut_short(heard, why, fail_on, started, time.monotonic() - began)
        on_report(report)
        return report
    return heard.report


class _Heard:
    """What the child said so far."""

    def __init__(self, on_progress: OnProgress, on_subject: OnSubject, on_report: OnReport) -> None:
        self.stage = "start"
        self.limit: float | None = None
        self.began: dict[str, Any] = {}
        self.outcomes: list[str] = []
        self.refusal: DoctorError | None = None
        self.crash: str | None = None
        self.report: Report | None = None
        self.unshown: Exception | None = None  # why the report could not be written: it is recorded all the same
        self._on_progress = on_progress
        self._on_subject = on_subject
        self._on_report = on_report

    def take(self, kind: str, value: Any) -> None:
        """Take one message."""
        if kind == LIMIT:
            self.limit = value - LATER_S
        elif kind == "stage":
            self.stage = format_activity(*value)
            self._on_progress(*value)
        elif kind == "subject":
            self._on_subject(*value)
        elif kind in ("began", "crash"):
            setattr(self, kind, value)
        elif kind == "outcome":
            self.outcomes.append(value)
        elif kind == "report":
            self.report = Report.from_json(value)
            try:
                self._on_report(self.report)
            except Exception as error:  # noqa: BLE001 - raised again once the child has ended
                self.unshown = error
        elif kind == "said":
            write_relayed(kind, value)
        elif kind == "refused":
            self.refusal = from_message(value)


def _examine(request: Request, jobs: int, fail_on: FailOn, timeout_s: float | None, send: Send, *, lines: bool) -> None:
    """Do the examination, in the child."""
    sys.stderr = relayed(sys.stderr, "said", send)
    try:
        _examine_and_record(request, jobs, fail_on, timeout_s, send, lines=lines)
    except DoctorError as error:
        send("refused", to_message(error))
    except KeyboardInterrupt:
        raise
    except Exception as error:  # noqa: BLE001 - told as what it is, by the parent
        refusal = system_refusal(error)
        if refusal is not None:
            send("refused", to_message(DoctorError(refusal)))
        else:
            debug = os.environ.get("SAGE_DOCTOR_DEBUG")
            send("crash", traceback.format_exc() if debug else f"{type(error).__name__}: {error}")
    finally:
        sys.stderr.flush()


def _examine_and_record(
    request: Request, jobs: int, fail_on: FailOn, timeout_s: float | None, send: Send, *, lines: bool
) -> None:
    from sage_doctor.subjects.selection import select  # noqa: PLC0415 - usage errors need no pytest
    from sage_doctor.suite.examine import examine  # noqa: PLC0415
    from sage_doctor.suite.run import CheckOutcome  # noqa: PLC0415

    on_progress = sender(send)
    on_progress("reading the manifest and the directories")
    selection = select(request)
    if timeout_s is None:
        send(LIMIT, default_deadline_s(selection.level) + LATER_S)
    host = selection.host
    send("began", {"name": host.name, "roles": list(selection.roles), "level": selection.level})

    def on_outcome(outcome: CheckOutcome) -> None:
        if outcome.findings or outcome.suppressed or outcome.result.status == "error":
            send("outcome", outcome.to_text())

    titles = {m.name: m.title for m in selection.models}

    def on_subject(outcomes: list[CheckOutcome]) -> None:
        from sage_doctor.render.terminal.overview import line_of  # noqa: PLC0415 - at a terminal only

        name = outcomes[0].result.subject
        found, ignored = ([f for o in outcomes for f in getattr(o, of)] for of in ("findings", "suppressed"))
        line = line_of(titles.get(name, name), [o.result for o in outcomes], found, ignored)
        if line is not None:
            send("subject", line)

    report = examine(
        request,
        jobs=jobs,
        fail_on=fail_on,
        on_progress=on_progress,
        on_outcome=on_outcome,
        on_subject=on_subject if lines else lambda _outcomes: None,
        selection=selection,
    )
    recorder = None
    if host.history_file is not None:
        from sage_doctor.history.recorder import RunRecorder  # noqa: PLC0415 - a run without a manifest needs no SQLite

        recorder = RunRecorder(selection, request, verb="check", jobs=jobs)
        report = recorder.explained(report)
    send("report", report.to_json())
    for notice in recorder.record(report) if recorder is not None else ():  # once the report is shown
        send("said", f"sage-doctor: {notice}; --no-history turns the history off\n")


def _cut_short(heard: _Heard, why: str, fail_on: FailOn, started: dt.datetime, duration_s: float) -> Report:
    """Return the report of an examination that did not end: what it had found until then still counts."""
    from sage_doctor.suite.run import CheckOutcome  # noqa: PLC0415 - only where something hangs

    outcomes = [CheckOutcome.from_text(text) for text in heard.outcomes]
    level = heard.began.get("level", "static")
    late = CheckResult(id="deadline", subject=MACHINE, level=level, status="error", duration_s=duration_s, reason=why)
    checks = (*(o.result for o in outcomes), late)
    findings = tuple(f for o in outcomes for f in o.findings)
    verdict, exit_code = conclude(checks, findings, fail_on)
    hostname = platform.node()
    return Report(
        doctor={"version": __version__, "python": platform.python_version()},
        machine=MachineInfo(
            name=heard.began.get("name", hostname), hostname=hostname, roles=tuple(heard.began.get("roles", ()))
        ),
        started_at=started.isoformat(timespec="seconds"),
        duration_s=duration_s,
        level=level,
        verdict=verdict,
        exit_code=exit_code,
        checks=checks,
        findings=findings,
        suppressed=tuple(f for o in outcomes for f in o.suppressed),
    )
