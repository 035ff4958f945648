"""Lengths of time: what is understood, what is not, and how they are spoken."""

from __future__ import annotations

import pytest

from sage_doctor.manifest.durations import seconds
from sage_doctor.text import format_duration


@pytest.mark.parametrize(
    "text, value",
    [("90s", 90), ("15m", 900), ("26h", 93600), ("3d", 259200), ("1w", 604800), ("1d 12h", 129600), ("1.5h", 5400),
     ("60", 60), ("0.5", 0.5), (" 2H ", 7200)],
)  # fmt: skip
def test_lengths_are_understood(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1h", "1y", "h", "1h2", "1 hour", "inf", "nan", "1e9", "９h", "1h, 2m"]
)
def test_anything_else_is_none(text: str) -> None:
    assert seconds(text) is None


@pytest.mark.parametrize(
    "value, text",
    [(0.25, "0.2 s"), (12.9, "12 s"), (90, "1 min 30 s"), (900, "15 min"), (7260, "2 h 1 min"), (93600, "1 d 2 h"),
     (864000, "10 d"), (-5, "0.0 s")],
)  # fmt: skip
def test_lengths_are_spoken_in_two_units_at_most(value: float, text: str) -> None:
    assert format_duration(value) == text
