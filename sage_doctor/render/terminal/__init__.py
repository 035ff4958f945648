"""The report for a person at a terminal, or reading a log of it the next morning.

What is well comes first and takes one line a subject; what is ill comes last, where the eye is, with what to do;
the verdict and the first step end it. Commands stand alone on their lines and are never wrapped, cut or decorated.
"""

from __future__ import annotations

from sage_doctor.render import Screen
from sage_doctor.render.terminal.changes import draw_changes
from sage_doctor.render.terminal.findings import draw_finding
from sage_doctor.render.terminal.paper import Paper
from sage_doctor.render.terminal.subjects import Subject, subjects_of
from sage_doctor.render.terminal.verdict import draw_verdict
from sage_doctor.render.terminal.wording import blocked_lines, check_counts, joined, measured
from sage_doctor.report import MACHINE, Report
from sage_doctor.text import format_bytes, join_limited, printable

_MOST_CALM = 12  # subjects without a problem that still get lines of their own
# The worse the later; among equals the report's order stays, root cause first.
_WORSE = ("healthy", "skipped", "info", "warning", "unknown", "ill")
_ANSWER_CHARS = 300


def render(report: Report, screen: Screen) -> str:
    """Return the screen as text, with ANSI colours where the screen has them."""
    paper = Paper(screen)
    _heading(paper, report)
    draw_changes(paper, report)
    subjects = subjects_of(report)
    pad = min(max((len(s.name) for s in subjects), default=0), 28)
    models = sorted((s for s in subjects if s.name != MACHINE), key=lambda s: _WORSE.index(s.state))
    crowds = {state: [s for s in models if s.state == state] for state in ("healthy", "info")}
    crowds = {state: members for state, members in crowds.items() if len(members) > _MOST_CALM}
    for subject in subjects:
        if subject.name == MACHINE:
            _subject(paper, subject, pad)
    for members in crowds.values():
        _crowd(paper, members)
    for subject in models:
        if subject.state not in crowds:
            _subject(paper, subject, pad)
    draw_verdict(paper, report, subjects)
    return paper.read()


def _crowd(paper: Paper, members: list[Subject]) -> None:
    """Write one line for many subjects that are well, or one for each thing worth knowing about them."""
    state = members[0].state
    if state == "healthy":
        paper.text(f"{paper.mark(state)} {len(members)} healthy: {_names(members)}", after=2, style="green")
    for code in dict.fromkeys(f.code for s in members for f in s.findings):
        having = [s for s in members if any(f.code == code for f in s.findings)]
        shown = printable(code, limit=100)
        paper.text(f"{paper.mark('info')} {len(having)} with {shown}: {_names(having)}", after=2, style="cyan")


def _names(members: list[Subject]) -> str:
    return join_limited([s.name for s in members], most=4)


def _heading(paper: Paper, report: Report) -> None:
    machine = report.machine
    known = [
        f"sage-doctor {printable(report.doctor.get('version', ''), limit=40)}".rstrip(),
        printable(machine.name, limit=80),
        f"roles {join_limited(list(machine.roles))}" if machine.roles else "",
        printable(machine.accelerator or "", limit=80),
        format_bytes(machine.memory_bytes) + " memory" if machine.memory_bytes else "",
    ]
    paper.text(joined(known, paper.dot), style="bold")
    paper.blank()


def _subject(paper: Paper, subject: Subject, pad: int) -> None:
    if subject.state != "healthy":
        paper.blank()
    name = printable(subject.name, limit=300)
    paper.headline(subject.state, name.ljust(pad), check_counts(subject.checks))
    lines = [measured(m) for m in subject.measurements]
    if lines:
        paper.flow([(text, "bold red" if over else "") for text, over in lines], indent=4)
    if subject.answer is not None:
        _answer(paper, subject.answer)
    for finding in subject.findings:
        draw_finding(paper, finding)
    for check in subject.checks:
        if check.status == "error":
            reason = printable(check.reason or "it did not end", keep="\n")
            paper.blank()
            paper.text(f"could not find out: {check.id}", indent=4, style="bold magenta")
            paper.text(reason, indent=4)
    blocked = blocked_lines(subject.checks)
    if blocked and (subject.findings or subject.state == "unknown"):
        paper.blank()
    for line in blocked:
        paper.text(line, indent=4, style="dim")
    if subject.state != "healthy":
        paper.blank()


def _answer(paper: Paper, answer: str) -> None:
    shown = printable(" ".join(answer.split()), limit=_ANSWER_CHARS)
    paper.text(f'answered: "{shown}"', indent=4, after=2, style="dim")
