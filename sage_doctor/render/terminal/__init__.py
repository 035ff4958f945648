"""The report for people, at a terminal or in a log file.

Healthy subjects come first, one line each; problems come last, with their fixes, then the verdict and the next step.
Commands are on their own lines and are never wrapped, cut or decorated.
"""

from __future__ import annotations

from sage_doctor.render import Screen
from sage_doctor.render.terminal.changes import draw_changes
from sage_doctor.render.terminal.findings import draw_finding
from sage_doctor.render.terminal.subjects import Subject, subjects_of
from sage_doctor.render.terminal.verdict import draw_verdict
from sage_doctor.render.terminal.wording import blocked_lines, check_counts, joined, measured
from sage_doctor.render.terminal.writer import Writer
from sage_doctor.report import MACHINE, Report
from sage_doctor.text import format_bytes, join_limited, printable

_MOST_LINES = 12  # subjects without problems that still get a line each
# Worse states come later; within one the report's order stays, root cause first.
_STATES = ("healthy", "skipped", "info", "warning", "unknown", "unhealthy")
_ANSWER_CHARS = 300


def render(report: Report, screen: Screen) -> str:
    """Return the screen as text, with ANSI colours where the screen has them."""
    out = Writer(screen)
    _heading(out, report)
    draw_changes(out, report)
    subjects = subjects_of(report)
    pad = min(max((len(s.name) for s in subjects), default=0), 28)
    models = sorted((s for s in subjects if s.name != MACHINE), key=lambda s: _STATES.index(s.state))
    groups = {state: [s for s in models if s.state == state] for state in ("healthy", "info")}
    groups = {state: members for state, members in groups.items() if len(members) > _MOST_LINES}
    for subject in subjects:
        if subject.name == MACHINE:
            _subject(out, subject, pad)
    for members in groups.values():
        _group(out, members)
    for subject in models:
        if subject.state not in groups:
            _subject(out, subject, pad)
    draw_verdict(out, report, subjects)
    return out.read()


def _group(out: Writer, members: list[Subject]) -> None:
    """Write one line for many healthy subjects, or one for each info finding about them."""
    state = members[0].state
    if state == "healthy":
        out.text(f"{out.mark(state)} {len(members)} healthy: {_names(members)}", after=2, style="green")
    for code in dict.fromkeys(f.code for s in members for f in s.findings):
        having = [s for s in members if any(f.code == code for f in s.findings)]
        shown = printable(code, limit=100)
        out.text(f"{out.mark('info')} {len(having)} with {shown}: {_names(having)}", after=2, style="cyan")


def _names(members: list[Subject]) -> str:
    return join_limited([s.name for s in members], most=4)


def _heading(out: Writer, report: Report) -> None:
    machine = report.machine
    known = [
        f"sage-doctor {printable(report.doctor.get('version', ''), limit=40)}".rstrip(),
        printable(machine.name, limit=80),
        f"roles {join_limited(list(machine.roles))}" if machine.roles else "",
        printable(machine.accelerator or "", limit=80),
        format_bytes(machine.memory_bytes) + " memory" if machine.memory_bytes else "",
    ]
    out.text(joined(known, out.dot), style="bold")
    out.blank()


def _subject(out: Writer, subject: Subject, pad: int) -> None:
    if subject.state != "healthy":
        out.blank()
    name = printable(subject.name, limit=300)
    out.headline(subject.state, name.ljust(pad), check_counts(subject.checks))
    lines = [measured(m) for m in subject.measurements]
    if lines:
        out.flow([(text, "bold red" if over else "") for text, over in lines], indent=4)
    if subject.answer is not None:
        _answer(out, subject.answer)
    for finding in subject.findings:
        draw_finding(out, finding)
    for check in subject.checks:
        if check.status == "error":
            reason = printable(check.reason or "it did not complete", keep="\n")
            out.blank()
            out.text(f"inconclusive: {check.id}", indent=4, style="bold magenta")
            out.text(reason, indent=4)
    blocked = blocked_lines(subject.checks)
    if blocked and (subject.findings or subject.state == "unknown"):
        out.blank()
    for line in blocked:
        out.text(line, indent=4, style="dim")
    if subject.state != "healthy":
        out.blank()


def _answer(out: Writer, answer: str) -> None:
    shown = printable(" ".join(answer.split()), limit=_ANSWER_CHARS)
    out.text(f'answered: "{shown}"', indent=4, after=2, style="dim")
