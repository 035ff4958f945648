"""Counts, quantities and lists as words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from sage_doctor.report import LEVELS, CheckResult, Measurement
from sage_doctor.text import format_bytes, printable

BLOCKED = "blocked by "


def joined(parts: Iterable[str], dot: str) -> str:
    """Return the parts that are not empty, separated by dots."""
    return dot.join(p for p in parts if p)


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return `1 error`, `2 errors`."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def is_blocked(check: CheckResult) -> bool:
    """Return whether the check did not run because of a cause reported elsewhere."""
    return check.status == "skip" and (check.reason or "").startswith(BLOCKED)


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


def seconds(value: float) -> str:
    """Return a duration: `0.4 s`, `12 s`, `3 min 05 s`."""
    if not math.isfinite(value):
        return "unknown time"
    if value >= 100:
        return f"{int(value // 60)} min {int(value % 60):02} s"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def quantity(value: float, unit: str) -> str:
    """Return a measured value with its unit, with its significant digits."""
    if not math.isfinite(value):
        return f"NaN {unit}".rstrip()
    if unit == "bytes":
        return format_bytes(value)
    size = abs(value)
    digits = f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return f"{digits} {printable(unit, limit=20)}".rstrip()


def measured(measurement: Measurement) -> tuple[str, bool]:
    """Return a measurement as text with its budget, and whether it misses the budget.

    The budget of a rate (`tokens/s`) is a minimum, every other budget a maximum.
    """
    unit, budget, value = measurement.unit, measurement.budget, measurement.value
    text = f"{_name(measurement)} {quantity(value, unit)}"
    if budget is None:
        return text, False
    rate = unit.endswith("/s")
    # NaN misses every budget.
    over = not (value >= budget if rate else value <= budget)
    limit = quantity(budget, "" if rate else unit)
    if over:
        return f"{text}, {'below' if rate else 'over'} its budget of {limit}", True
    return f"{text} ({'at least' if rate else 'budget'} {limit})", False


def _name(measurement: Measurement) -> str:
    """Return the name without the unit it repeats: `load_s` in seconds is `load`."""
    name = "speed" if measurement.name == "tokens_per_s" else measurement.name
    return printable(name.removesuffix("_" + measurement.unit.lower()).replace("_", " "), limit=60)
