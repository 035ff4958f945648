"""The end of the screen: the verdict, the checks that ran, and the next step."""

from __future__ import annotations

from sage_doctor.render.terminal.wording import counted, joined, level_counts
from sage_doctor.render.terminal.writer import Writer
from sage_doctor.report import MACHINE, Report
from sage_doctor.report.next_step import next_step
from sage_doctor.report.subjects import Subject
from sage_doctor.text import MOST_COMMAND, format_duration, printable

_STYLE = {
    "healthy": "bold green",
    "degraded": "bold yellow",
    "unhealthy": "bold red",
    "unknown": "bold magenta",
}
_MEANING = {
    0: "no problems found",
    1: "a model or session will not run",
    2: "nothing was checked",
    3: "inconclusive",
    130: "interrupted",
}
_NOT_LOADED = {"static": "static checks only", "integrity": "files only"}


def draw_verdict(out: Writer, report: Report, subjects: list[Subject]) -> None:
    """Write the verdict line, the exit code's meaning, and the first thing to do."""
    errors = sum(f.severity == "error" for f in report.findings)
    warnings = sum(f.severity == "warning" for f in report.findings)
    unknown = sum(c.status == "error" for c in report.checks)
    counts = [
        counted(errors, "error") if errors else "",
        counted(warnings, "warning") if warnings else "",
        f"{counted(unknown, 'check')} failed to run" if unknown else "",
    ]
    told = [s for s in subjects if s.name != MACHINE]
    facts = [
        ", ".join(t for t in counts if t) or ("no problems" if report.verdict == "healthy" else ""),
        f"{len(report.suppressed)} suppressed" if report.suppressed else "",
        f"{len(told)} examined" if len(told) > 1 else "",
        f"level {report.level}",
        format_duration(report.duration_s),
    ]
    out.blank()
    out.text(joined(facts, out.dot), head=f"{report.verdict.upper()}  ", head_style=_STYLE[report.verdict], after=2)
    meaning = _MEANING.get(report.exit_code, "not an exit code of sage-doctor")
    if report.exit_code == 1 and not errors:
        meaning = "warnings count as errors (--fail-on warning)"
    elif report.exit_code == 0 and errors:
        meaning = "errors do not count (--fail-on never)"
    elif report.exit_code == 0:
        meaning = "no errors found" if warnings else meaning
        if report.level in _NOT_LOADED:
            meaning += f" ({_NOT_LOADED[report.level]}; `-l generate` also loads it)"
    if out.verbose:
        out.text(f"Checks run: {level_counts(report.checks) or 'none'}", style="dim")
    out.text(f"Exit code {report.exit_code}: {meaning}", style="dim", after=2)
    _next_step(out, report)


def _next_step(out: Writer, report: Report) -> None:
    """Write the one command that helps most."""
    step = next_step(report)
    if step is not None and step.command is not None:
        out.blank()
        out.command(f"Next: {printable(step.command, limit=MOST_COMMAND)}", indent=0)
