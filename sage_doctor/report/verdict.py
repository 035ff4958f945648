"""The verdict and the exit code of a run: decided here, in `conclude`, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, cast

from sage_doctor.report.values import LEVELS, CheckResult, Finding, Level, Report, Severity, Status, Verdict

FailOn = Literal["error", "warning", "never"]

EXIT_HEALTHY: Final = 0
EXIT_UNHEALTHY: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNKNOWN: Final = 3
EXIT_INTERRUPTED: Final = 130


def status_of(findings: Iterable[Finding]) -> Status:
    """Return how a check that ran to its end is reported: `fail` on an error, `warn` on a warning, else `pass`."""
    severities = {f.severity for f in findings}
    return "fail" if "error" in severities else "warn" if "warning" in severities else "pass"


def at_least(level: Level, other: Level) -> bool:
    """Return whether `level` goes as deep as `other`."""
    return LEVELS.index(level) >= LEVELS.index(other)


def conclude(
    checks: Iterable[CheckResult], findings: Iterable[Finding], fail_on: FailOn = "error"
) -> tuple[Verdict, int]:
    """Return the verdict and the exit code of a run. The only place where either is decided.

    Nothing that ran to its end is not success: without one check that passed, warned or failed the verdict is
    `unknown`. Unhealthy and unknown together give exit code 1.
    """
    statuses = {c.status for c in checks}
    severities = {f.severity for f in findings}
    unknown = "error" in statuses or not statuses & {"pass", "warn", "fail"}
    verdict: Verdict
    if "error" in severities:
        verdict = "unhealthy"
    elif unknown:
        verdict = "unknown"
    else:
        verdict = "degraded" if "warning" in severities else "healthy"
    failing = cast("tuple[Severity, ...]", {"error": ("error",), "warning": ("error", "warning"), "never": ()}[fail_on])
    if severities & set(failing):
        return verdict, EXIT_UNHEALTHY
    return verdict, EXIT_UNKNOWN if unknown else EXIT_HEALTHY


def nagios_status(report: Report) -> int:
    """Return the exit code of a Nagios plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

    What --fail-on counts as failing is critical, whatever its severity.
    """
    if report.exit_code == EXIT_UNHEALTHY:
        return 2
    return {"healthy": 0, "degraded": 1, "unhealthy": 1, "unknown": 3}[report.verdict]
