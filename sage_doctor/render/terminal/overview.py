"""One line for each subject: its mark, its name, and the one thing that is wrong with it."""

from __future__ import annotations

from sage_doctor.findings import catalogue
from sage_doctor.render.terminal.wording import blocked_lines, check_counts, measured
from sage_doctor.render.terminal.writer import MARKS, Writer
from sage_doctor.report import MACHINE, CheckResult, Finding
from sage_doctor.report.subjects import BLOCKED, Subject, SubjectState, is_blocked
from sage_doctor.text import join_limited, printable

_MOST_HEALTHY = 12  # that still get a line each
_MOST_ALIKE = 3  # with the same problem that still get a line each
# Worse states come later; within one the report's order stays, root cause first.
_STATES: tuple[SubjectState, ...] = ("healthy", "skipped", "info", "warning", "unknown", "unhealthy")
_MOST_LINES = 18  # of all; if there are more, each state gets
_MOST_OF_STATE = 12
_WORDS = {"healthy": "healthy", "skipped": "not examined", "unhealthy": "with other errors", "warning": "with warnings"}
_ANSWER_CHARS = 300


def draw_overview(out: Writer, subjects: list[Subject]) -> None:
    """Write the lines. Many subjects of which the same is said share one; of too many, those of a state do."""
    shown = [s for s in subjects if s.name != MACHINE or s.findings or s.state == "unknown" or out.verbose]
    shown.sort(key=lambda s: (_STATES.index(s.state), s.name != MACHINE))
    pad = min(max((len(printable(s.title, limit=300)) for s in shown), default=0), out.widest_name)
    alike: dict[tuple[SubjectState, str], list[Subject]] = {}
    for subject in shown:
        alike.setdefault((subject.state, _said_of(subject)), []).append(subject)
    groups = list(alike.items())
    crowded = sum(_lines(what, members) for (_, what), members in groups) > _MOST_LINES
    for state in _STATES:
        of_state = [(what, members) for (s, what), members in groups if s == state]
        if crowded and not out.verbose and sum(_lines(what, members) for what, members in of_state) > _MOST_OF_STATE:
            of_state, rest = of_state[: _MOST_OF_STATE - 1], of_state[_MOST_OF_STATE - 1 :]
        else:
            rest = []
        for what, members in of_state:
            if out.verbose or _lines(what, members) > 1 or len(members) == 1:
                for subject in members:
                    _line(out, subject, pad)
            else:
                _together(out, state, f"× {what}" if what else _WORDS.get(state, state), members)
        if rest:
            _together(out, state, _WORDS.get(state, state), [s for _, members in rest for s in members])


def _lines(what: str, members: list[Subject]) -> int:
    """Return how many lines subjects take of which the same is said."""
    return len(members) if len(members) <= (_MOST_ALIKE if what else _MOST_HEALTHY) else 1


def _together(out: Writer, state: SubjectState, what: str, members: list[Subject]) -> None:
    names = join_limited([s.title for s in members], most=4)
    out.text(f"{out.mark(state)} {len(members)} {what}: {names}", after=2, style=out.style(state))


def line_of(
    title: str, checks: list[CheckResult], findings: list[Finding], suppressed: list[Finding]
) -> tuple[str, str, str, str] | None:
    """Return the line of a subject that is done: its mark, the same in ASCII, its style, and what is said.

    None where there is nothing to tell.
    """
    subject = Subject(name=checks[0].subject, title=title, checks=checks, findings=findings, suppressed=suppressed)
    if subject.name == MACHINE and subject.state == "healthy":
        return None
    return *MARKS[subject.state], f"{printable(title, limit=300)}  {_said_of(subject)}".rstrip()


def _first(subject: Subject) -> Finding | None:
    return next((f for f in subject.findings if subject.state not in ("healthy", "unknown", "skipped")), None)


def _line(out: Writer, subject: Subject, pad: int) -> None:
    name = printable(subject.title, limit=300)
    out.headline(subject.state, name.ljust(pad), _said_of(subject), counts=check_counts(subject.checks))
    if not out.verbose and subject.name == MACHINE:
        return
    lines = [measured(m) for m in subject.measurements]
    if lines:
        out.flow([(text, "bold red" if over else "dim") for text, over in lines], indent=4)
    if subject.answer is not None:
        shown = printable(" ".join(subject.answer.split()), limit=_ANSWER_CHARS)
        out.text(f'answered: "{shown}"', indent=4, after=2, style="dim")
    if out.verbose:
        for line in blocked_lines(subject.checks):
            out.text(line, indent=4, style="dim")


def _said_of(subject: Subject) -> str:
    """Return the one thing that is wrong, as its declaration calls it."""
    first = _first(subject)
    if subject.state == "unknown":
        return "not decided: a check failed to run"
    if first is None:
        ignored = list(dict.fromkeys(f.code for f in subject.ignored))
        if ignored and subject.state == "info":
            return f"suppressed: {printable(join_limited(ignored, most=2), limit=200)}"
        blocked = next((c.reason or "" for c in subject.checks if is_blocked(c)), "")
        cause = printable(blocked.removeprefix(BLOCKED), limit=100)
        if subject.state == "skipped":
            return f"not fully examined ({cause})" if cause else "not examined at this level"
        return ""
    known = catalogue.find(first.code)
    title = known.title if known is not None else printable(first.message, limit=200)
    unneeded = " (no role here needs it)" if first.evidence.get("needed_here") is False else ""
    worst = [f for f in subject.findings if f.severity == first.severity]
    more = f", and {len(worst) - 1} more" if len(worst) > 1 and first.severity != "info" else ""
    word = title.partition(" ")[0]
    plain = title[:1].lower() + title[1:] if word == "A" or word[1:].islower() else title  # not of names: GPU, PyTorch
    return f"{plain}{unneeded}{more}"
