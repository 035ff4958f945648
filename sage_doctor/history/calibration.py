"""Budgets proposed from what was measured: what nearly every run kept to, with room to spare."""

from __future__ import annotations

import math
import sqlite3
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from sage_doctor.history import store
from sage_doctor.history.baseline import DEVIATIONS, MEASURED, NORMAL, comparable, is_rate, usual
from sage_doctor.history.runs import Series
from sage_doctor.report import Level
from sage_doctor.system.frozen import frozen

LEAST_RUNS: Final = 5
MOST_RUNS: Final = 500
PERCENTILE: Final = 95
# A budget is an error where it is missed, so it leaves more room than the warning's band does.
HEADROOM: Final[Mapping[str, float]] = {
    "load_s": 1.5,
    "first_token_ms": 1.5,
    "tokens_per_s": 1.5,
    "peak_memory_gb": 1.15,
}


@frozen
class Proposal:
    """The budget of one measurement: `value` in its unit, from `runs` runs; None where those are too few."""

    name: str
    runs: int
    median: float = math.nan
    extreme: float = math.nan
    value: float | None = None


def propose(series: Series, subject: str) -> list[Proposal]:
    """Return a proposal for each thing that was measured of a model. Raises `DoctorError` for an unreadable history.

    First runs after a restart count as much as the others, in a group of their own: a budget must hold for both.
    """

    def ask(connection: sqlite3.Connection) -> list[Proposal]:
        found = []
        for name in MEASURED:
            # The budget must hold for sessions, which generate: a mere load takes less memory.
            level: Level | None = "generate" if name == "peak_memory_gb" else None
            groups = [
                comparable(connection, series, subject, name, cold=cold, level=level, most=MOST_RUNS)
                for cold in (False, True)
            ]
            found.append(_proposal(name, [g for g in groups if g]))
        return found

    return store.read(series.path, ask, [Proposal(name=name, runs=0) for name in MEASURED])


def _proposal(name: str, groups: Sequence[Sequence[float]]) -> Proposal:
    everything = [v for group in groups for v in group]
    if len(everything) < LEAST_RUNS:
        return Proposal(name=name, runs=len(everything))
    extremes = [_extreme(name, group) for group in groups]
    extreme = min(extremes) if is_rate(name) else max(extremes)
    room = HEADROOM[name]
    return Proposal(
        name=name,
        runs=len(everything),
        median=statistics.median(everything),
        extreme=extreme,
        value=_rounded(extreme / room, up=False) if is_rate(name) else _rounded(extreme * room, up=True),
    )


def _extreme(name: str, values: Sequence[float]) -> float:
    """Return the 95th percentile of the bad side, or five deviations from the median where that is nearer.

    One freak run among many moves the percentile little; among few, the deviation keeps it from setting the budget.
    """
    known = usual(values)
    worst = sorted(values, reverse=is_rate(name))[math.ceil(len(values) * PERCENTILE / 100) - 1]
    margin = DEVIATIONS * NORMAL * known.deviation
    if margin == 0 or len(values) < LEAST_RUNS:
        return worst
    return max(worst, known.median - margin) if is_rate(name) else min(worst, known.median + margin)


def _rounded(value: float, *, up: bool) -> float:
    """Return the value with two digits, rounded to the lenient side."""
    if value <= 0 or not math.isfinite(value):
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    steps = value / unit
    return round((math.ceil(steps - 1e-9) if up else math.floor(steps + 1e-9)) * unit, 6)
