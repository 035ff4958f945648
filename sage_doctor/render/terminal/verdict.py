"""How the screen ends: the verdict, what it rests on, and the next step."""

from __future__ import annotations

from sage_doctor.render.terminal.findings import commands_of, draw_commands
from sage_doctor.render.terminal.paper import Paper
from sage_doctor.render.terminal.subjects import Subject
from sage_doctor.render.terminal.wording import counted, joined, level_counts, seconds
from sage_doctor.report import Finding, Report
from sage_doctor.text import printable

_STYLE = {
    "healthy": "bold green",
    "degraded": "bold yellow",
    "unhealthy": "bold red",
    "unknown": "bold magenta",
}
_MEANING = {
    0: "nothing found that would stop a session, down to level {level}",
    1: "something this machine is meant to run will not",
    2: "nothing was checked",
    3: "the doctor could not find out",
    130: "interrupted",
}


def draw_verdict(paper: Paper, report: Report, subjects: list[Subject]) -> None:
    """Write the verdict line, the exit code's meaning, and the first thing to do."""
    errors = sum(f.severity == "error" for f in report.findings)
    warnings = sum(f.severity == "warning" for f in report.findings)
    unknown = sum(c.status == "error" for c in report.checks)
    told = [
        counted(errors, "error") if errors else "",
        counted(warnings, "warning") if warnings else "",
        f"{counted(unknown, 'check')} without an answer" if unknown else "",
    ]
    facts = [
        ", ".join(t for t in told if t) or ("nothing found" if report.verdict == "healthy" else ""),
        counted(len(subjects), "subject"),
        f"level {report.level}",
        seconds(report.duration_s),
    ]
    paper.blank()
    paper.text(joined(facts, paper.dot), head=f"{report.verdict.upper()}  ", head_style=_STYLE[report.verdict], after=2)
    ran = level_counts(report.checks)
    meaning = _MEANING.get(report.exit_code, "not one of the doctor's own").format(level=report.level)
    if report.exit_code == 1 and not errors:
        meaning = "warnings were asked to count as errors"
    elif report.exit_code == 0 and errors:
        meaning = "errors were asked not to count"
    paper.text(f"Checks run: {ran or 'none'}", style="dim")
    paper.text(f"Exit code {report.exit_code}: {meaning}", style="dim", after=2)
    _next_step(paper, report)


def _next_step(paper: Paper, report: Report) -> None:
    first = _most_urgent(report)
    if first is not None:
        paper.blank()
        summary = printable(first.fix.summary, keep="\n") or printable(first.message, keep="\n")
        paper.text(f"{printable(first.subject, limit=300)}: {summary}", head="Next: ", after=6)
        draw_commands(paper, commands_of(first), indent=6)
        return
    stuck = next((c for c in report.checks if c.status == "error"), None)
    if stuck is not None:
        paper.blank()
        reason = printable(stuck.reason or "it did not end", limit=300)
        paper.text(f"find out why {stuck.id} got no answer: {reason}", head="Next: ", after=6)
    elif report.verdict == "unknown":
        paper.blank()
        paper.text(
            "no check ran to its end; see what was selected with a model, a role or a directory as target",
            head="Next: ",
            after=6,
        )


def _most_urgent(report: Report) -> Finding | None:
    for severity in ("error", "warning"):
        for finding in report.findings:
            if finding.severity == severity:
                return finding
    return None
