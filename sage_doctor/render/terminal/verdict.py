"""The end of the screen: the verdict, the checks that ran, and the next step."""

from __future__ import annotations

from sage_doctor.render.terminal.findings import commands_of, draw_commands
from sage_doctor.render.terminal.subjects import Subject
from sage_doctor.render.terminal.wording import counted, joined, level_counts, seconds
from sage_doctor.render.terminal.writer import Writer
from sage_doctor.report import Finding, Report
from sage_doctor.text import printable

_STYLE = {
    "healthy": "bold green",
    "degraded": "bold yellow",
    "unhealthy": "bold red",
    "unknown": "bold magenta",
}
_MEANING = {
    0: "no problems found",
    1: "a required model or session will not run",
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
    facts = [
        ", ".join(t for t in counts if t) or ("no problems" if report.verdict == "healthy" else ""),
        counted(len(subjects), "subject"),
        f"level {report.level}",
        seconds(report.duration_s),
    ]
    out.blank()
    out.text(joined(facts, out.dot), head=f"{report.verdict.upper()}  ", head_style=_STYLE[report.verdict], after=2)
    ran = level_counts(report.checks)
    meaning = _MEANING.get(report.exit_code, "not an exit code of sage-doctor")
    if report.exit_code == 1 and not errors:
        meaning = "warnings count as errors (--fail-on warning)"
    elif report.exit_code == 0 and errors:
        meaning = "errors do not count (--fail-on never)"
    elif report.exit_code == 0:
        meaning = "no errors found" if warnings else meaning
        if report.level in _NOT_LOADED:
            meaning += f" ({_NOT_LOADED[report.level]}; `-l generate` also loads it)"
    out.text(f"Checks run: {ran or 'none'}", style="dim")
    out.text(f"Exit code {report.exit_code}: {meaning}", style="dim", after=2)
    _next_step(out, report)


def _next_step(out: Writer, report: Report) -> None:
    first = _most_urgent(report)
    if first is not None:
        out.blank()
        summary = printable(first.fix.summary, keep="\n") or printable(first.message, keep="\n")
        out.text(f"{printable(first.subject, limit=300)}: {summary}", head="Next: ", after=6)
        draw_commands(out, commands_of(first), indent=6)
        return
    stuck = next((c for c in report.checks if c.status == "error"), None)
    if stuck is not None:
        out.blank()
        reason = printable(stuck.reason or "it did not complete", limit=300)
        out.text(f"find out why {stuck.id} failed to run: {reason}", head="Next: ", after=6)
    elif report.verdict == "unknown":
        out.blank()
        out.text(
            "no check completed; name a model, a role or a directory to check",
            head="Next: ",
            after=6,
        )


def _most_urgent(report: Report) -> Finding | None:
    for severity in ("error", "warning"):
        for finding in report.findings:
            if finding.severity == severity:
                return finding
    return None
