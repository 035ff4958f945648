"""The report as the output of a Nagios plugin: one line under 80 characters, performance data, then the findings.

Form: "Nagios Plugins Development Guidelines": `STATUS - text | 'label'=value[UOM];warn;crit;min;max`, and the plugin's
own exit codes, which `nagios_status` of `report` decides.
"""

from __future__ import annotations

import math

from sage_doctor.render import Screen
from sage_doctor.report import MACHINE, Measurement, Report, nagios_status
from sage_doctor.text import printable

_STATUS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_MOST_FIRST = 79
_MOST_LINES = 50
_UNITS = {"s": "s", "ms": "ms", "bytes": "B"}


def render(report: Report, _screen: Screen) -> str:
    """Return the plugin's output, ending with a newline."""
    data = " ".join(_performance(m) for m in report.measurements if math.isfinite(m.value))
    lines = [_first(report)]
    found = [f for f in report.findings if f.severity != "info"]
    lines += [f"{f.severity} {f.code}: {_plain(f.subject, 200)}: {_plain(f.message, 400)}" for f in found[:_MOST_LINES]]
    if len(found) > _MOST_LINES:
        lines.append(f"and {len(found) - _MOST_LINES} more")
    lines[-1] += f" | {data}" if data else ""
    return "\n".join(lines) + "\n"


def no_answer(why: str) -> str:
    """Return the plugin's output where there is no report: a broken manifest must not look like broken models."""
    first, *rest = why.splitlines() or ["no reason given"]
    return "\n".join([_fitted(f"SAGE {_STATUS[3]} - ", first), *(_plain(line, 400) for line in (first, *rest))]) + "\n"


def _first(report: Report) -> str:
    status = f"SAGE {_STATUS[nagios_status(report)]} - "
    found = [f for f in report.findings if f.severity in ("error", "warning")]
    stuck = [c for c in report.checks if c.status == "error"]
    if found:
        first = found[0]
        what = f"{first.code}: {report.titles.get(first.subject, first.subject)}"
        more = f" (+{len(found) - 1})" if len(found) > 1 else ""
    elif stuck:
        what, more = f"{stuck[0].id} failed to run on {stuck[0].subject}", ""
    else:
        count = len({c.subject for c in report.checks} - {MACHINE})
        ignored = f", {len(report.suppressed)} suppressed" if report.suppressed else ""
        what, more = f"{report.verdict}, {count} examined, level {report.level}{ignored}", ""
    return _fitted(status, what, more)


def _fitted(status: str, what: str, more: str = "") -> str:
    room = _MOST_FIRST - len(status) - len(more)
    shown = _plain(what, 300)
    return status + (shown if len(shown) <= room else shown[: room - 3] + "...") + more


def _performance(measurement: Measurement) -> str:
    label = _plain(f"{measurement.subject} {measurement.name}", 100).replace("'", "''").replace("=", "_")
    rate = measurement.unit.endswith("/s")
    limit = "" if measurement.budget is None else _number(measurement.budget) + (":" if rate else "")
    return f"'{label}'={_number(measurement.value)}{_UNITS.get(measurement.unit, '')};{limit};;0;"


def _number(value: float) -> str:
    """Return a number in digits, as the guidelines ask: an exponent would be read as a unit."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _plain(text: str, limit: int) -> str:
    """Return text without what the plugin's form uses."""
    return printable(" ".join(text.split()), limit=limit).replace("|", "/")
