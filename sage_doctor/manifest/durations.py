"""Lengths of time as people write them: `90s`, `15m`, `26h`, `3d`, or a plain number of seconds."""

from __future__ import annotations

import math
import re
from typing import Final

UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
EXPECTED: Final = 'a length of time such as "90s", "15m", "26h", "3d" or "1d 12h"'
MOST: Final = 3_155_760_000.0  # 100 years; waits and timers of the system overflow at 292

_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([smhdw])")


def seconds(text: str) -> float | None:
    """Return the seconds that `text` stands for, None if it is not a length of time above zero.

    `1d 12h` adds up. A number without a unit counts seconds.
    """
    text = text.strip().lower()
    if re.fullmatch(r"\d{1,12}(\.\d{1,6})?", text, re.ASCII):
        total = float(text)
    else:
        parts = _PART.findall(text)
        if not parts or not re.fullmatch(r"(?:\d{1,9}(?:\.\d{1,6})?\s*[smhdw]\s*)+", text, re.ASCII):
            return None
        total = sum(float(number) * UNITS[unit] for number, unit in parts)
    return total if 0 < total < math.inf else None
