"""The report as workflow commands of GitHub Actions: annotations, errors first.

GitHub keeps ten annotations of a kind for a step and drops the rest in silence, so the last one of each kind says how
many there are more. It counts 50 for a job over all its steps, which one step of this cannot reach. Format and escapes:
"Workflow commands for GitHub Actions", `toolkit/packages/core/src/command.ts`; limits:
`toolkit/docs/problem-matchers.md`, `runner/src/Runner.Worker/ExecutionContext.cs`.
"""

from __future__ import annotations

from sage_doctor.render import Screen
from sage_doctor.report import CheckResult, Finding, Report
from sage_doctor.text import MOST_COMMAND, printable

_MOST = 10  # annotations of a kind in one step
_MOST_CHARS = 2_000  # of one annotation; GitHub cuts after 4,096


def render(report: Report, _screen: Screen) -> str:
    """Return one workflow command a line, and a last line with the verdict.

    A check that failed to run is an error: it ends the step with exit code 3.
    """
    lines: list[str] = []
    for kind in ("error", "warning"):
        found = [_finding(kind, report, f) for f in report.findings if f.severity == kind]
        if kind == "error":
            found += [_inconclusive(report, c) for c in report.checks if c.status == "error"]
        lines += found if len(found) <= _MOST else found[: _MOST - 1]
        if len(found) > _MOST:
            more = len(found) - _MOST + 1
            lines.append(f"::{kind} title=sage-doctor::{more} more of {len(found)}: see the report")
    machine = printable(report.machine.name, limit=100)
    lines.append(f"sage-doctor: {machine}: {report.verdict} (exit code {report.exit_code})")
    return "\n".join(lines) + "\n"


def _finding(kind: str, report: Report, finding: Finding) -> str:
    text = f"{_name(report, finding.subject)}: {printable(finding.message, limit=_MOST_CHARS // 2)}"
    if finding.fix.summary:
        text += f"\nfix: {printable(finding.fix.summary, limit=_MOST_CHARS // 4)}"
    command = printable(next(iter(finding.fix.commands), ""), limit=MOST_COMMAND)
    if 0 < len(command) < _MOST_CHARS:  # one that is cut would do something else
        text += f"\n$ {command}"
    return f"::{kind} {_place(finding)}title={_title(report, finding.code)}::{_data(text)}"


def _inconclusive(report: Report, check: CheckResult) -> str:
    reason = printable(check.reason or "it did not complete", limit=_MOST_CHARS)
    text = f"{_name(report, check.subject)}: {printable(check.id, limit=200)} failed to run: {reason}"
    return f"::error title={_title(report, 'inconclusive')}::{_data(text)}"


def _place(finding: Finding) -> str:
    """Return file and line of a finding about a script; nothing for all others.

    The file is absolute where the evidence has it: GitHub makes it relative to the checkout, wherever the step ran.
    """
    lines = finding.evidence.get("lines")
    if not isinstance(lines, (list, tuple)) or not lines:
        return ""
    file = finding.evidence.get("file")
    line = f"line={lines[0]}," if isinstance(lines[0], int) else ""
    return f"file={_property(file if isinstance(file, str) else finding.subject, 1_000)},{line}"


def _title(report: Report, what: str) -> str:
    """Return a title that names the machine: annotations of all jobs stand in one list."""
    return _property(f"{what} on {report.machine.name}", 200)


def _name(report: Report, subject: str) -> str:
    return printable(report.titles.get(subject, subject), limit=300)


def _data(text: str) -> str:
    shown = printable(text, limit=2 * _MOST_CHARS, keep="\n")
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str, limit: int) -> str:
    return _data(printable(text, limit=limit)).replace(":", "%3A").replace(",", "%2C")
