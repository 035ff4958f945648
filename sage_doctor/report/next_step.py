"""The one thing to do about a report."""

from __future__ import annotations

from dataclasses import dataclass

from sage_doctor.report.values import Finding, Report
from sage_doctor.text import printable, shell_operand


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """What to do first: a sentence, and the command that does it where one is known."""

    what: str
    command: str | None = None


def next_step(report: Report) -> NextStep | None:
    """Return the first thing to do; None where there is nothing.

    A command that only looks at what was found is none: the sentence says more.
    """
    first = most_urgent(report)
    stuck = next((c for c in report.checks if c.status == "error"), None)
    if first is not None:
        commands = commands_of(first)
        command = commands[0] if commands and not commands[0].startswith("ls ") else None
        return NextStep(what=first.fix.summary or first.message, command=command)
    if stuck is not None:
        reason = printable(stuck.reason or "it did not complete", limit=300)
        return NextStep(what=f"find out why {stuck.id} failed to run: {reason}")
    if report.verdict == "unknown":
        return NextStep(what="no check completed; name a model, a role or a directory to check")
    return None


def most_urgent(report: Report) -> Finding | None:
    """Return the first error, or the first warning; None where there is neither."""
    for severity in ("error", "warning"):
        for finding in report.findings:
            if finding.severity == severity:
                return finding
    return None


def commands_of(finding: Finding) -> tuple[str, ...]:
    """Return the finding's commands, or the command that runs its repair."""
    if finding.fix.commands:
        return finding.fix.commands
    return (f"sage-doctor fix {shell_operand(finding.subject)}",) if finding.fix.repair else ()
