"""The one thing to do about a report."""

from __future__ import annotations

from dataclasses import dataclass

from sage_doctor.report.values import Finding, Report
from sage_doctor.text import printable, shell_operand

_LOOKS = ("ls ", "sage-doctor check ")  # they change nothing


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """What to do first: a sentence, and the command that does it where one is known."""

    what: str
    command: str | None = None


def next_step(report: Report) -> NextStep | None:
    """Return the first thing to do; None where there is nothing.

    It is what mends the first of the worst findings that a command mends, else what explains the first of them: a
    command that only looks at what was found helps nobody.
    """
    found = next((of for severity in ("error", "warning") if (of := _of(report, severity))), [])
    for finding in found:
        command = next(iter(commands_of(finding)), "")
        if command and not command.startswith(_LOOKS):
            return NextStep(what=finding.fix.summary or finding.message, command=command)
    if found:
        explain = f"sage-doctor explain {shell_operand(found[0].code)}"
        return NextStep(what=found[0].fix.summary or found[0].message, command=explain)
    stuck = next((c for c in report.checks if c.status == "error"), None)
    if stuck is not None:
        reason = printable(stuck.reason or "it did not complete", limit=300)
        return NextStep(what=f"find out why {stuck.id} failed to run: {reason}")
    if report.verdict == "unknown":
        what = "no check completed; name a model, a role or a directory to check"
        return NextStep(what=what, command="sage-doctor list")
    return None


def _of(report: Report, severity: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.severity == severity]


def commands_of(finding: Finding) -> tuple[str, ...]:
    """Return the finding's commands, or the command that runs its repair."""
    if finding.fix.commands:
        return finding.fix.commands
    return (f"sage-doctor fix {shell_operand(finding.subject)}",) if finding.fix.repair else ()
