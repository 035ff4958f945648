"""The report as workflow commands of GitHub Actions: an annotation for each error and warning.

GitHub shows ten annotations of a kind for a step and drops the rest, so the last one of each says how many there are
more. Format and escapes: "Workflow commands for GitHub Actions", `toolkit/packages/core/src/command.ts`.
"""

from __future__ import annotations

from sage_doctor.render import Screen
from sage_doctor.report import Finding, Report
from sage_doctor.text import printable

_MOST = 10  # annotations of a kind in one step
_MOST_CHARS = 2_000  # of one annotation; GitHub cuts after 4,096


def render(report: Report, _screen: Screen) -> str:
    """Return one workflow command a line, and a last line with the verdict."""
    lines: list[str] = []
    for severity in ("error", "warning"):
        found = [f for f in report.findings if f.severity == severity]
        told = found if len(found) <= _MOST else found[: _MOST - 1]
        lines += [_annotation(severity, report, finding) for finding in told]
        if len(told) < len(found):
            rest = f"{len(found) - len(told)} more of {len(found)}; all of them are in the job's summary"
            lines.append(f"::{severity} title=sage-doctor::{rest}")
    stuck = [c for c in report.checks if c.status == "error"]
    for check in stuck[:_MOST]:
        reason = check.reason or "it did not complete"
        message = f"{_title(report, check.subject)}: {check.id} failed to run: {reason}"
        lines.append(f"::warning title=inconclusive::{_data(message)}")
    lines.append(printable(f"sage-doctor: {report.verdict} (exit code {report.exit_code})", limit=200))
    return "\n".join(lines) + "\n"


def _annotation(kind: str, report: Report, finding: Finding) -> str:
    where = _place(finding)
    fix = " ".join((finding.fix.summary, *finding.fix.commands[:1]))
    message = f"{_title(report, finding.subject)}: {finding.message}\nfix: {fix}"
    return f"::{kind} {where}title={_property(finding.code)}::{_data(message)}"


def _place(finding: Finding) -> str:
    """Return file and line of a finding about a script of the repository; nothing for all others."""
    lines = finding.evidence.get("lines")
    if not isinstance(lines, (list, tuple)) or not lines or finding.subject.startswith(("/", "..")):
        return ""
    line = lines[0]
    number = f"line={line}," if isinstance(line, int) else ""
    return f"file={_property(finding.subject)},{number}"


def _title(report: Report, subject: str) -> str:
    return report.titles.get(subject, subject)


def _data(text: str) -> str:
    shown = printable(text, limit=_MOST_CHARS, keep="\n")
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(printable(text, limit=300)).replace(":", "%3A").replace(",", "%2C")
