"""The report for people, at a terminal or in a log file.

First one line for each model: its mark, its name, and the one thing that is wrong. Then the findings, each cause once,
with its fix. Last the verdict and one command to type. `-v` shows all that was seen, `-q` the verdict alone. Commands
are on their own lines and are never wrapped, cut or decorated.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from sage_doctor.render import Screen
from sage_doctor.render.terminal.findings import draw_findings, draw_suppressed
from sage_doctor.render.terminal.overview import draw_overview
from sage_doctor.render.terminal.verdict import draw_verdict
from sage_doctor.render.terminal.wording import joined
from sage_doctor.render.terminal.writer import Writer
from sage_doctor.report import Report
from sage_doctor.report.subjects import subjects_of
from sage_doctor.text import format_bytes, format_duration, join_limited, printable

if TYPE_CHECKING:
    from sage_doctor.report.comparison import Comparison

_MOST_CHANGES = 8

_MOST_LINES = 40  # without -v: a screen


def render(report: Report, screen: Screen) -> str:
    """Return the screen as text, with ANSI colours where the screen has them."""
    out = Writer(screen)
    subjects = subjects_of(report)
    if screen.detail != "quiet":
        _heading(out, report)
        _changes(out, report)
        draw_overview(out, subjects)
    end = out.draft()
    draw_verdict(end, report, subjects)
    if screen.detail != "quiet":
        draw_findings(out, subjects, room=_MOST_LINES - len(out) - len(end) - 1)
        draw_suppressed(out, report)
    out.add(end)
    return out.read()


def compare(comparison: Comparison, screen: Screen) -> str:
    """Return several reports side by side."""
    from sage_doctor.render.terminal.comparison import draw_comparison  # noqa: PLC0415 - most reports are one

    out = Writer(screen)
    draw_comparison(out, comparison)
    return out.read()


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


def _changes(out: Writer, report: Report) -> None:
    """Write what changed since the last good run; nothing without such a run."""
    if report.changes_since is None:
        return
    since = _ago(report.changes_since, report.started_at)
    if not report.changes:
        out.text(f"No recorded change since the last good run ({since}).", style="dim")
    else:
        out.text(f"Since the last good run ({since}):", style="bold")
        for change in report.changes[:_MOST_CHANGES]:
            out.text(change.words(), indent=2, after=4)
        rest = len(report.changes) - _MOST_CHANGES
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
