"""The report as Markdown, for a job's summary, an issue or a chat: the verdict, one row a subject, each cause once.

GitHub's flavour. Everything that comes from a disk is text: its punctuation is escaped, and commands are in fences
longer than any run of backticks in them.
"""

from __future__ import annotations

import re

from sage_doctor.findings import catalogue
from sage_doctor.render import Screen
from sage_doctor.report import MACHINE, Finding, Report
from sage_doctor.text import MOST_COMMAND, printable

_MOST_ROWS = 200
_MOST_BYTES = 900_000  # a step's summary may have 1 MiB
_MARKS = {"error": "❌", "warning": "⚠️", "info": "i", "pass": "✅", "unknown": "❔"}


def render(report: Report, _screen: Screen) -> str:
    """Return a Markdown document."""
    errors = sum(f.severity == "error" for f in report.findings)
    warnings = sum(f.severity == "warning" for f in report.findings)
    facts = [
        _text(report.machine.name),
        f"level {report.level}",
        f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}",
        f"{report.duration_s:.1f} s",
    ]
    lines = [f"## sage-doctor: {report.verdict}", "", " · ".join(facts), "", *_table(report)]
    for code in dict.fromkeys(f.code for f in report.findings if f.severity != "info"):
        lines += ["", *_cause(report, [f for f in report.findings if f.code == code and f.severity != "info"])]
        if sum(map(len, lines)) > _MOST_BYTES:
            lines += ["", "The rest does not fit here; the JSON report has it."]
            break
    return "\n".join(lines) + "\n"


def _table(report: Report) -> list[str]:
    subjects = list(dict.fromkeys([*(c.subject for c in report.checks), *(f.subject for f in report.findings)]))
    rows = []
    for subject in subjects:
        found = [f for f in report.findings if f.subject == subject and f.severity != "info"]
        unneeded = [f for f in report.findings if f.subject == subject and f.evidence.get("needed_here") is False]
        stuck = [c for c in report.checks if c.subject == subject and c.status == "error"]
        if subject == MACHINE and not found and not stuck:
            continue
        mark = _MARKS[found[0].severity if found else "unknown" if stuck else "info" if unneeded else "pass"]
        what = ", ".join(f"`{code}`" for code in dict.fromkeys(_code(f) for f in found or unneeded))
        what += " (no role here needs it)" if unneeded and not found else ""
        what = what or (f"{stuck[0].id} failed to run" if stuck else "")
        measured = ", ".join(f"{m.name} {m.value:g} {m.unit}" for m in report.measurements if m.subject == subject)
        rows.append(f"| {mark} | {_text(report.titles.get(subject, subject))} | {what} | {_text(measured)} |")
    more = [f"| | and {len(rows) - _MOST_ROWS} more | | |"] if len(rows) > _MOST_ROWS else []
    return ["| | subject | findings | measured |", "| --- | --- | --- | --- |", *rows[:_MOST_ROWS], *more]


def _cause(report: Report, findings: list[Finding]) -> list[str]:
    first = findings[0]
    known = catalogue.find(first.code)
    lines = [f"### {_MARKS[first.severity]} `{_code(first)}`{f': {_text(known.title)}' if known else ''}", ""]
    lines += [
        f"- **{_text(report.titles.get(f.subject, f.subject))}**: {_text(f.message)}" for f in findings[:_MOST_ROWS]
    ]
    if known is not None:
        lines += ["", f"Why: {_text(known.cause)}"]
    if first.fix.summary:
        lines += ["", f"Fix: {_text(first.fix.summary)}"]
    commands = list(dict.fromkeys(c for f in findings for c in f.fix.commands))[:_MOST_ROWS]
    if commands:
        shown = [printable(c, limit=MOST_COMMAND) for c in commands]
        fence = "`" * max(3, 1 + max((len(run) for c in shown for run in re.findall("`+", c)), default=0))
        lines += ["", f"{fence}sh", *shown, fence]
    return lines


def _code(finding: Finding) -> str:
    return printable(finding.code, limit=100).replace("`", "'").replace("|", "/")


def _text(text: str) -> str:
    """Return text from a disk as text: on one line, nothing in it markup."""
    shown = printable(" ".join(text.split()), limit=1_000)
    return re.sub(r"([\\`*_{}\[\]<>#|~!@&$])", r"\\\1", shown)
