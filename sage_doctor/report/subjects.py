"""The report grouped by subject: checks, findings and measurements of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from sage_doctor.report.values import CheckResult, Finding, Measurement, Report

SubjectState = Literal["healthy", "unhealthy", "warning", "info", "unknown", "skipped"]

BLOCKED: Final = "blocked by "


def is_blocked(check: CheckResult) -> bool:
    """Return whether the check did not run because of a cause reported elsewhere."""
    return check.status == "skip" and (check.reason or "").startswith(BLOCKED)


def is_error_where_needed(finding: Finding) -> bool:
    """Return whether a finding says that its subject does not work, needed here or not."""
    return "error" in (finding.severity, finding.evidence.get("severity_where_needed"))


@dataclass(kw_only=True)
class Subject:
    """Everything about one subject, in the report's order. `title` is what people call it."""

    name: str
    title: str
    checks: list[CheckResult] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    suppressed: list[Finding] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    answer: str | None = None

    @property
    def ignored(self) -> list[Finding]:
        """The suppressed findings that say that it does not work."""
        return [f for f in self.suppressed if is_error_where_needed(f)]

    @property
    def state(self) -> SubjectState:
        """The subject's state: certain problems come before unknown ones."""
        severities = {f.severity for f in self.findings}
        statuses = {c.status for c in self.checks}
        if "error" in severities or "fail" in statuses:  # what failed may be told of a script
            return "unhealthy"
        if "error" in statuses:
            return "unknown"
        if "warning" in severities or "warn" in statuses:
            return "warning"
        if any(f.evidence.get("needed_here") is False for f in self.findings):
            return "info"  # a problem, but no role here needs it
        if self.ignored:
            return "info"  # a problem that somebody ignores
        if any(is_blocked(c) for c in self.checks):
            return "skipped"  # the checks that ran passed; the rest could not run
        return "healthy" if statuses & {"pass", "warn", "fail"} else "skipped"


def subjects_of(report: Report) -> list[Subject]:
    """Return the subjects in the order in which the report first names them."""
    by_name: dict[str, Subject] = {}

    def of(name: str) -> Subject:
        return by_name.setdefault(name, Subject(name=name, title=report.titles.get(name, name)))

    for check in report.checks:
        of(check.subject).checks.append(check)
    for finding in report.findings:
        of(finding.subject).findings.append(finding)
    for finding in report.suppressed:
        of(finding.subject).suppressed.append(finding)
    for measurement in report.measurements:
        of(measurement.subject).measurements.append(measurement)
    for name, answer in report.answers.items():
        of(name).answer = answer
    return list(by_name.values())
