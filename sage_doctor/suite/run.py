"""One examination in one process: which checks are blocked, what they found, and the probes they share."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from sage_doctor.check import ANY_ERROR, CheckSpec, Notes
from sage_doctor.errors import Blocked, DoctorError, NotApplicable, system_refusal
from sage_doctor.findings.suppression import suppression_of
from sage_doctor.report import (
    MACHINE,
    SEVERITIES,
    CheckResult,
    Finding,
    Measurement,
    Status,
    finding_from_json,
    measurement_from_json,
    status_of,
)
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Request, Selection, default_deadline_s, select
from sage_doctor.subjects.service import Service
from sage_doctor.suite.model_prober import ModelProber
from sage_doctor.suite.own_checks import place_of
from sage_doctor.suite.service_prober import ServiceProber
from sage_doctor.system.activity import OnProgress, ignore
from sage_doctor.system.frozen import frozen
from sage_doctor.text import format_duration, printable, redact_values, redacted

# Slower or larger than agreed is an error that keeps nothing else from being examined.
MISSED_BUDGET = ("-over-budget", "-under-budget")


class DeadlinePassed(BaseException):
    """Raised in the midst of a check when the run's deadline passes; no check's `except Exception` swallows it."""


@frozen
class CheckOutcome:
    """How one check ended for one subject, with all it has to say. `order` sorts outcomes as they were collected."""

    order: int
    result: CheckResult
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    answer: str | None = None
    suppressed: tuple[Finding, ...] = ()

    def to_text(self) -> str:
        """Return the outcome as ASCII JSON: worker processes send it through channels that refuse odd text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_text(cls, text: str) -> CheckOutcome:
        """Return the outcome that `to_text` wrote."""
        data = json.loads(text)
        return cls(
            order=data["order"],
            result=CheckResult(**data["result"]),
            findings=tuple(finding_from_json(f) for f in data["findings"]),
            measurements=tuple(measurement_from_json(m) for m in data["measurements"]),
            answer=data["answer"],
            suppressed=tuple(finding_from_json(f) for f in data["suppressed"]),
        )


def _well_formed(findings: list[Finding], notes: Notes) -> list[Finding]:
    """Return the findings as they are. Raises `TypeError` or `ValueError` for what no report could hold."""
    for found in findings:
        if not isinstance(found, Finding):
            raise TypeError(f"it yielded {type(found).__name__}, not a finding")
        if found.severity not in SEVERITIES:
            raise ValueError(f"severity {found.severity!r} of {found.code} is not one of {', '.join(SEVERITIES)}")
        try:
            json.dumps(dataclasses.asdict(found), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TypeError(f"finding {found.code} holds what JSON cannot: {error}") from error
    for measured in notes.measurements:
        if not math.isfinite(measured.value):
            raise ValueError(f"the measurement {measured.name} is not a number: {measured.value}")
    return findings


def _redacted(finding: Finding) -> Finding:
    """Return the finding without secrets, for everything that is made of a report."""
    return dataclasses.replace(
        finding,
        message=redacted(finding.message),
        evidence=redact_values(finding.evidence),
        fix=dataclasses.replace(
            finding.fix, summary=redacted(finding.fix.summary), commands=redact_values(finding.fix.commands)
        ),
    )


class Run:
    """The state of one examination. Every worker process has its own; a group of models never leaves its worker."""

    def __init__(self, request: Request, selection: Selection | None = None, on_progress: OnProgress = ignore) -> None:
        self.request = request
        self.selection = selection or select(request)
        self.model_prober = ModelProber(self.selection, request, on_progress)
        self.service_prober = ServiceProber(self.selection, request)
        self._on_progress = on_progress
        self._suppression = suppression_of(request.select_codes, request.ignore_codes, self.selection.host.manifest)
        self._errors: dict[str, dict[str, str]] = {}
        limit = default_deadline_s(self.selection.level)
        self._until = request.deadline if request.deadline is not None else time.monotonic() + limit

    def execute(
        self,
        order: int,
        check_id: str,
        spec: CheckSpec,
        subject: Model | Service | None,
        call: Callable[[Notes], list[Finding]],
        file: Path | None = None,
    ) -> CheckOutcome:
        """Run one check on one subject and return how it ended. Never raises but for an interrupt.

        `file` is where the check is written, if it is not one of ours: that is said where it crashes.
        """
        name = subject.name if subject is not None else MACHINE
        notes = Notes(title=subject.title if isinstance(subject, Model) else name, on_progress=self._on_progress)
        begun = time.monotonic()
        status: Status = "error"
        reason: str | None = None
        findings: list[Finding] = []
        hidden: list[Finding] = []
        blocker = self._blocker(spec, subject)
        if blocker is not None:
            status, reason = "skip", f"blocked by {blocker}"
            self._record(name, spec.name, blocker)
        else:
            try:
                with self._deadline():
                    for f in _well_formed(call(notes), notes):
                        (hidden if self._suppression.hides(f.code, f.subject or name) else findings).append(f)
                status = status_of(self._as_reported(f, subject) for f in findings)
            except Blocked as blocked:
                status, reason = "skip", f"blocked by {blocked.code}"
                self._record(name, spec.name, blocked.code)
            except NotApplicable as nothing:
                status, reason = "skip", str(nothing)
            except DeadlinePassed:
                reason = f"the deadline passed during this check, after {format_duration(time.monotonic() - begun)}"
            except DoctorError as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - a crash of one check is reported, and ends no run
                where = f"{place_of(error, file)}: " if file is not None else ""
                crash = f"{where}the check itself failed: {type(error).__name__}: {printable(str(error), limit=300)}"
                reason = system_refusal(error) or crash
        for f in findings:
            if f.severity == "error" and not f.code.endswith(MISSED_BUDGET):
                self._record(name, spec.name, f.code)
        result = CheckResult(
            id=check_id,
            subject=name,
            level=spec.level,
            status=status,
            duration_s=time.monotonic() - begun,
            reason=redacted(reason) if reason else reason,
        )
        reported, suppressed = (
            tuple(
                dataclasses.replace(_redacted(self._as_reported(f, subject)), subject=f.subject or name, check=check_id)
                for f in found
            )
            for found in (findings, hidden)
        )
        measured = tuple(dataclasses.replace(m, subject=name) for m in notes.measurements)
        answer = redacted(notes.answer) if notes.answer else notes.answer
        return CheckOutcome(
            order=order,
            result=result,
            findings=reported,
            measurements=measured,
            answer=answer,
            suppressed=suppressed,
        )

    def _record(self, subject: str, check: str, code: str) -> None:
        self._errors.setdefault(subject, {}).setdefault(check, code)

    def _blocker(self, spec: CheckSpec, subject: Model | Service | None) -> str | None:
        """Return the code of the error that makes this check pointless, or None.

        A model is also broken if what it is built on is.
        """
        if subject is None or not spec.after:
            return None
        names = [subject.name]
        if isinstance(subject, Model):
            # A base outside this run may bear the name of another model: what was found is that one's, not the base's.
            names += [m.name for m in subject.depends_on() if subject.siblings.get(m.name) is m]
        for name in names:
            errors = self._errors.get(name, {})
            for check, code in errors.items():
                if check in spec.after or ANY_ERROR in spec.after:
                    return code
        return None

    @staticmethod
    def _as_reported(finding: Finding, subject: Model | Service | None) -> Finding:
        """Lower the severity for a subject that nothing on this machine needs: it cannot make the machine unhealthy."""
        if subject is None or finding.severity == "info" or subject.required:
            return finding
        evidence: dict[str, Any] = {**finding.evidence, "needed_here": False, "severity_where_needed": finding.severity}
        return dataclasses.replace(finding, severity="info", evidence=evidence)

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[None]:
        """Interrupt the check when the run's deadline passes: a file system that hangs must not hold the report."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        left = self._until - time.monotonic()
        if left <= 0:
            raise DeadlinePassed

        def ring(_signal: int, _frame: FrameType | None) -> None:
            raise DeadlinePassed

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, left)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
