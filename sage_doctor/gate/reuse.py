"""Whether a recorded result is still valid. In doubt it is not: then the role is examined again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_doctor.gate.environment import difference, since_boot_s
from sage_doctor.gate.result_cache import CachedResult
from sage_doctor.report import LEVELS
from sage_doctor.system.fingerprint import changed
from sage_doctor.system.path_info import exists
from sage_doctor.text import format_duration, printable


def why_outdated(
    record: CachedResult | None, now: Mapping[str, Any], *, level: str, max_age_s: float, directory: str
) -> str | None:
    """Return why a record cannot be used any more, None if it is still valid.

    `now` is the environment of this moment and `directory` the working directory.
    """
    if record is None:
        return "no recorded result"
    if now.get("boot") is None:
        return "the system does not say when it booted"
    if LEVELS.index(level) > (LEVELS.index(record.level) if record.level in LEVELS else -1):
        return f"the recorded result is of level {printable(record.level, limit=20)}"
    changed_part = difference(record.environment, now)
    if changed_part is not None:
        return changed_part
    age = since_boot_s() - record.taken_s
    if age < 0:  # a virtual machine was set back to a snapshot
        return "the recorded result is of a later moment than now"
    if age >= max_age_s:
        return f"the recorded result is {format_duration(age)} old"
    elsewhere = record.directory not in (None, directory)
    if elsewhere and (not record.absent or any(exists(Path(directory, name)) for name in record.absent)):
        return f"it is for sessions started in {printable(record.directory or '', limit=200)}"
    gone = changed(record.watched, most=1)
    if gone:
        path, what = gone[0]
        return f"{printable(path, limit=300)} {what}"
    return None


def age_s(record: CachedResult) -> float:
    """Return how many seconds ago a result was found."""
    return max(0.0, since_boot_s() - record.taken_s)
