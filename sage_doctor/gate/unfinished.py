"""The report of a gate that has none: what kept it from finding out, so that whoever reads reports learns it too.

Without it, a file that a monitor reads would go on saying what an earlier gate had found.
"""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Iterable, Mapping
from typing import Any

from sage_doctor import __version__
from sage_doctor.gate.decision import Decision
from sage_doctor.gate.request import GateRequest
from sage_doctor.report import MACHINE, CheckResult, Level, MachineInfo, Report, conclude, finding_from_json

CHECK = "gate"  # the check that a decision without a report stands for


def unfinished_report(
    decision: Decision,
    gate_request: GateRequest,
    *,
    machine: str,
    findings: Iterable[Mapping[str, Any]],
    started: dt.datetime,
    duration_s: float,
) -> Report:
    """Return the report of a decision that no examination stands behind.

    `machine` is the manifest's name for it, empty where that is not known; `findings` are the errors that were found
    until then, as JSON.
    """
    stuck = not_decided(decision.reason, gate_request.level, duration_s)
    known = tuple(finding_from_json(finding) for finding in findings)
    verdict, exit_code = conclude([stuck], known, gate_request.fail_on)
    return Report(
        doctor={"version": __version__, "python": platform.python_version()},
        machine=MachineInfo(name=machine or platform.node(), hostname=platform.node(), roles=(gate_request.role,)),
        started_at=started.isoformat(timespec="seconds"),
        duration_s=duration_s,
        level=gate_request.level,
        verdict=verdict,
        exit_code=2 if decision.usage else exit_code,
        checks=(stuck,),
        findings=known,
    )


def not_decided(reason: str, level: Level, duration_s: float) -> CheckResult:
    """Return the check result that says why a gate could not decide."""
    return CheckResult(id=CHECK, subject=MACHINE, level=level, status="error", duration_s=duration_s, reason=reason)
