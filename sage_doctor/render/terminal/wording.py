"""Counts, quantities and lists as words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sage_doctor.report import LEVELS, CheckResult, Measurement
from sage_doctor.report.quantities import measured_name, quantity
from sage_doctor.report.subjects import BLOCKED, is_blocked
from sage_doctor.text import printable


def joined(parts: Iterable[str], dot: str) -> str:
    """Return the parts that are not empty, separated by dots."""
    return dot.join(p for p in parts if p)


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return `1 error`, `2 errors`."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def check_counts(checks: Iterable[CheckResult]) -> str:
    """Return how checks ended: `14 passed, 1 failed, 2 skipped, 6 not run`."""
    ended = Counter("blocked" if is_blocked(c) else c.status for c in checks)
    words = {
        "pass": "passed",
        "fail": "failed",
        "warn": "warned",
        "error": "inconclusive",
        "skip": "skipped",
        "blocked": "not run",
    }
    return ", ".join(f"{ended[status]} {word}" for status, word in words.items() if ended[status])


def level_counts(checks: Iterable[CheckResult]) -> str:
    """Return how many checks completed at each level: `static 14, load 2`."""
    ran = Counter(c.level for c in checks if c.status in ("pass", "warn", "fail"))
    return ", ".join(f"{level} {ran[level]}" for level in LEVELS if ran[level])


def blocked_lines(checks: Iterable[CheckResult]) -> list[str]:
    """Return one line for each cause that blocked checks."""
    causes = Counter((c.reason or "")[len(BLOCKED) :] for c in checks if is_blocked(c))
    return [f"{counted(n, 'check')} not run: {BLOCKED}{printable(cause, limit=200)}" for cause, n in causes.items()]


def measured(measurement: Measurement) -> tuple[str, bool]:
    """Return a measurement as text with its budget, and whether it misses the budget."""
    unit, budget = measurement.unit, measurement.budget
    text = f"{measured_name(measurement)} {quantity(measurement.value, unit)}"
    if budget is None:
        return text, False
    limit = quantity(budget, "" if measurement.is_rate else unit)
    if measurement.misses_budget:
        return f"{text}, {'below' if measurement.is_rate else 'over'} its budget of {limit}", True
    return f"{text} ({'at least' if measurement.is_rate else 'budget'} {limit})", False
