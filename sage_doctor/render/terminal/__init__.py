"""The report for a person at a terminal, or reading a log of it the next morning.

What is well comes first and takes one line a subject; what is ill comes last, where the eye is, with what to do;
the verdict and the first step end it. Commands stand alone on their lines and are never wrapped, cut or decorated.
"""

from __future__ import annotations

from sage_doctor.render import Screen
from sage_doctor.render.terminal.findings import draw_finding
from sage_doctor.render.terminal.paper import Paper
from sage_doctor.render.terminal.subjects import Subject, subjects_of
from sage_doctor.render.terminal.verdict import draw_verdict
from sage_doctor.render.terminal.wording import blocked_lines, check_counts, joined, measured
from sage_doctor.report import MACHINE, Report
from sage_doctor.text import human_bytes, listed, printable

_MOST_HEALTHY = 12  # healthy subjects that still get a line each
_ANSWER_CHARS = 300


def render(report: Report, screen: Screen) -> str:
    """Return the screen as text, with ANSI colours where the screen has them."""
    paper = Paper(screen)
    _heading(paper, report)
    subjects = subjects_of(report)
    healthy = [s for s in subjects if s.state == "healthy" and s.name != MACHINE]
    collapsed = len(healthy) > _MOST_HEALTHY
    pad = min(max((len(s.name) for s in subjects), default=0), 28)
    for subject in sorted(subjects, key=_order):
        if not (collapsed and subject in healthy):
            _subject(paper, subject, pad)
        elif subject is healthy[0]:
            names = listed([s.name for s in healthy], most=4)
            paper.text(f"{paper.mark('healthy')} {len(healthy)} healthy: {names}", after=2, style="green")
    draw_verdict(paper, report, subjects)
    return paper.read()


def _order(subject: Subject) -> int:
    """Rank the machine first, then the worse the later; among equals the report's order stays, root cause first."""
    ranks = ("healthy", "skipped", "info", "warning", "unknown", "ill")
    return -1 if subject.name == MACHINE else ranks.index(subject.state)


def _heading(paper: Paper, report: Report) -> None:
    machine = report.machine
    known = [
        f"sage-doctor {printable(report.doctor.get('version', ''), limit=40)}".rstrip(),
        printable(machine.name, limit=80),
        f"roles {listed(list(machine.roles))}" if machine.roles else "",
        printable(machine.accelerator or "", limit=80),
        human_bytes(machine.memory_bytes) + " memory" if machine.memory_bytes else "",
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
