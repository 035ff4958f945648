"""Small charts of a measurement, as coordinates: its history as a line, or its value beside its budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from sage_doctor.report import Measurement
from sage_doctor.report.quantities import quantity

WIDTH: Final = 160
HEIGHT: Final = 36
_MARGIN: Final = 4
_FAR: Final = 3.0  # a budget so many times the values would flatten them: it is not drawn


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What is drawn, in units of the view box. `line` is empty where only a value and its budget are known.

    `value` is where the last point is, or how far the bar goes. `budget` is the height or the place of its mark.
    """

    words: str
    line: str = ""
    value: tuple[float, float] = (0, 0)
    budget: float | None = None


def chart_of(measurement: Measurement) -> Chart | None:
    """Return the chart of a measurement; None where there is nothing to compare it with."""
    values = [v for v in (*measurement.history, measurement.value) if math.isfinite(v) and v >= 0]
    budget = measurement.budget
    if not math.isfinite(measurement.value) or measurement.value < 0:
        return None
    if len(values) > 1:
        return _line(measurement, values)
    if budget is None or not math.isfinite(budget) or budget <= 0:
        return None
    most = max(measurement.value, budget)
    right = WIDTH - 2 * _MARGIN
    words = f"{quantity(measurement.value / budget * 100, '%')} of its budget"
    return Chart(
        words=words, value=(_r(measurement.value / most * right), 0), budget=_r(_MARGIN + budget / most * right)
    )


def _line(measurement: Measurement, values: list[float]) -> Chart:
    """Return the history as a line from zero up, the newest value at its right end."""
    budget = measurement.budget
    drawn = budget if budget is not None and 0 < budget <= _FAR * max(values) else None
    most = max(*values, drawn or 0) or 1
    room = HEIGHT - 2 * _MARGIN
    step = (WIDTH - 2 * _MARGIN) / (len(values) - 1)
    points = [(_r(_MARGIN + i * step), _r(HEIGHT - _MARGIN - v / most * room)) for i, v in enumerate(values)]
    earlier = values[:-1]
    least, greatest = quantity(min(earlier), ""), quantity(max(earlier), measurement.unit)
    many = f"{len(earlier)} earlier runs: {least} to {greatest}"
    return Chart(
        words=many if len(earlier) > 1 else f"the run before: {greatest}",
        line=" ".join(f"{x:g},{y:g}" for x, y in points),
        value=points[-1],
        budget=_r(HEIGHT - _MARGIN - drawn / most * room) if drawn is not None else None,
    )


def _r(value: float) -> float:
    return round(value, 1)
