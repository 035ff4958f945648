"""Measured values as people write them."""

from __future__ import annotations

import math

from sage_doctor.report.values import Measurement
from sage_doctor.text import format_bytes, printable


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


def measured_name(measurement: Measurement) -> str:
    """Return the name without the unit it repeats: `load_s` in seconds is `load`."""
    name = "speed" if measurement.name == "tokens_per_s" else measurement.name
    return printable(name.removesuffix("_" + measurement.unit.lower()).replace("_", " "), limit=60)
