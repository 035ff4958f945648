"""Changes since the last good run: first on the screen, because that is the first question."""

from __future__ import annotations

import datetime as dt

from sage_doctor.render.terminal.writer import Writer
from sage_doctor.report import Report
from sage_doctor.text import format_duration, printable

_MOST = 8


def draw_changes(out: Writer, report: Report) -> None:
    """Write what changed since the last good run; nothing without such a run."""
    if report.changes_since is None:
        return
    since = _ago(report.changes_since, report.started_at)
    if not report.changes:
        out.text(f"No recorded change since the last good run ({since}).", style="dim")
    else:
        out.text(f"Since the last good run ({since}):", style="bold")
        for change in report.changes[:_MOST]:
            out.text(change.words(), indent=2, after=4)
        rest = len(report.changes) - _MOST
        if rest > 0:
            out.text(f"and {rest} more (in the JSON report)", indent=2, style="dim")
    out.blank()


def _ago(since: str, now: str) -> str:
    """Return how long ago that was; the date if a clock was set back in between."""
    try:
        passed = (dt.datetime.fromisoformat(now) - dt.datetime.fromisoformat(since)).total_seconds()
    except (ValueError, TypeError):
        return printable(since, limit=40)
    return f"{format_duration(passed)} ago" if passed >= 0 else f"dated {printable(since, limit=40)}"
