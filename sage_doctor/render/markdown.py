"""The report as Markdown, for a job's summary, an issue or a chat: the verdict, one row a subject, each cause once.

GitHub's flavour. Everything that comes from a disk is text: its punctuation is escaped, and commands are in fences
longer than any run of backticks in them.
"""

from __future__ import annotations

import re
from collections import defaultdict

from sage_doctor.findings import catalogue
from sage_doctor.render import Screen
from sage_doctor.report import MACHINE, Finding, Report
from sage_doctor.report.comparison import Comparison
from sage_doctor.report.subjects import Subject, SubjectState, subjects_of
from sage_doctor.text import MOST_COMMAND, join_limited, printable

_MOST_ROWS = 200
_MOST_BYTES = 900_000  # GitHub shows no step's summary of more than 1 MiB
_MARKS = {"error": "❌", "warning": "⚠️"}
_OF_SUBJECT: dict[SubjectState, str] = {
    "healthy": "✅",
    "unhealthy": "❌",
    "warning": "⚠️",
    "info": "i",
    "unknown": "❔",
    "skipped": "·",
}
_STATES = {
    "ready": "✅",
    "blocked": "❌",
    "possible": "i",
    "unknown": "❔",
    "complete": "✅",
    "broken": "❌",
    "missing": "–",
}


def render(report: Report, _screen: Screen) -> str:
    """Return a Markdown document."""
    errors = sum(f.severity == "error" for f in report.findings)
    warnings = sum(f.severity == "warning" for f in report.findings)
    facts = [
        _text(report.machine.name),
        f"level {report.level}",
        f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
        + (f", {len(report.suppressed)} suppressed" if report.suppressed else ""),
        f"{report.duration_s:.1f} s",
    ]
    parts = [["", " · ".join(facts), ""], _table(report)]
    causes: dict[str, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        if finding.severity != "info":
            causes[finding.code].append(finding)
    parts += [["", *_cause(report, found)] for found in causes.values()]
    lines, size = [f"## sage-doctor: {report.verdict}"], 0
    for number, part in enumerate(parts):
        size += sum(len(line.encode()) + 1 for line in part)
        if size > _MOST_BYTES:
            named = [f"`{_code(found[0])}`" for found in list(causes.values())[max(0, number - 2) :]]
            lines += ["", f"Too long for this place; the JSON report has the rest: {', '.join(named[:_MOST_ROWS])}"]
            break
        lines += part
    return "\n".join(lines) + "\n"


def compare(comparison: Comparison, _screen: Screen) -> str:
    """Return several reports side by side: roles, models, differences and what to copy."""
    machines = comparison.machines
    labels = " | ".join(_text(m.label) for m in machines)
    rule = "| --- " * (len(machines) + 1) + "|"
    told = [f"{m.report.verdict}, {m.age}{', **stale**' if m.stale else ''}" for m in machines]
    lines = ["## sage-doctor: machines side by side", "", f"| | {labels} |", rule, f"| report | {' | '.join(told)} |"]
    silent = [f"- **{_text(s.label)}**: {s.state}, {_text(s.why)}" for s in comparison.silent[:_MOST_ROWS]]
    for role in comparison.roles:
        states = [
            f"{c.state}{' (stale)' * m.stale} {c.why}" if c else "" for m, c in zip(machines, role.cells, strict=True)
        ]
        cells = [f"{_STATES[c.state]} {_text(s)}" if c else "" for c, s in zip(role.cells, states, strict=True)]
        lines.append(f"| role **{_text(role.role)}**: {_text(role.sentence)} | {' | '.join(cells)} |")
    for model in comparison.models[:_MOST_ROWS]:
        cells = [f"{_STATES[c.state]} {_text(f'{c.state} {c.words}')}".rstrip() for c in model.cells]
        lines.append(f"| {_text(model.name)} | {' | '.join(cells)} |")
    if len(comparison.models) > _MOST_ROWS:
        lines.append(f"| and {len(comparison.models) - _MOST_ROWS} more {'|' * len(machines)} |")
    lines += ["", *silent] if silent else []
    for difference in comparison.differences[:_MOST_ROWS]:
        values = ", ".join(f"{label} {value}" for label, value in difference.values)
        lines += ["", f"- **{_text(difference.model)}** is not the same everywhere, {difference.what}: {_text(values)}"]
    if comparison.unsure:
        names = _text(join_limited(list(comparison.unsure)))
        lines += ["", f"Alike in size and tensors, the hashes not known everywhere: {names}"]
    for copy in comparison.copies[:_MOST_ROWS]:
        lines += ["", _text(f"{copy.model}: {copy.target} lacks it ({copy.why}), {copy.source} has it. {copy.note}")]
        lines += _fenced([copy.command] if copy.command is not None else [])
    if comparison.passed_over:
        lines += [
            "",
            f"Older reports of the same machines, not used: {_text(join_limited(list(comparison.passed_over)))}",
        ]
    return "\n".join(lines) + "\n"


def _table(report: Report) -> list[str]:
    rows = [_row(s) for s in subjects_of(report) if s.name != MACHINE or s.state not in ("healthy", "skipped")]
    more = [f"| | and {len(rows) - _MOST_ROWS} more | | |"] if len(rows) > _MOST_ROWS else []
    return ["| | subject | findings | measured |", "| --- | --- | --- | --- |", *rows[:_MOST_ROWS], *more]


def _row(subject: Subject) -> str:
    found = [f for f in subject.findings if f.severity != "info"]
    unneeded = [f for f in subject.findings if f.evidence.get("needed_here") is False]
    what = ", ".join(f"`{code}`" for code in dict.fromkeys(_code(f) for f in found or unneeded))
    what += " (no role here needs it)" if unneeded and not found else ""
    stuck = next((c for c in subject.checks if c.status == "error"), None)
    what = what or (f"{stuck.id} failed to run" if stuck is not None else "")
    what = what or ", ".join(f"`{code}` suppressed" for code in dict.fromkeys(map(_code, subject.ignored)))
    measured = ", ".join(f"{m.name} {m.value:g} {m.unit}" for m in subject.measurements)
    return f"| {_OF_SUBJECT[subject.state]} | {_text(subject.title)} | {what} | {_text(measured)} |"


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
    return lines + _fenced(list(dict.fromkeys(c for f in findings for c in f.fix.commands))[:_MOST_ROWS])


def _fenced(commands: list[str]) -> list[str]:
    if not commands:
        return []
    shown = [printable(c, limit=MOST_COMMAND) for c in commands]
    fence = "`" * max(3, 1 + max((len(run) for c in shown for run in re.findall("`+", c)), default=0))
    return ["", f"{fence}sh", *shown, fence]


def _code(finding: Finding) -> str:
    return printable(finding.code, limit=100).replace("`", "'").replace("|", "/")


def _text(text: str) -> str:
    """Return text from a disk as text: on one line, nothing in it markup."""
    shown = printable(" ".join(text.split()), limit=1_000)
    return re.sub(r"([\\`*_{}\[\]<>#|~!@&$])", r"\\\1", shown)
