"""How long a load may be expected to take: a deadline that is shorter proves nothing about the model."""

from __future__ import annotations

from typing import Final

from sage_doctor.subjects.model import Model
from sage_doctor.subjects.needs import memory_needed
from sage_doctor.text import format_bytes, format_duration

# What importing torch and transformers may take, and how fast the slowest of disks is read, cold and in bytes a second.
IMPORTS_S: Final = 30.0
_READS: Final = 100e6


def too_short(model: Model, given_s: float) -> str:
    """Return why a load that was ended after `given_s` seconds had too little time, empty if it had enough.

    Enough is twice what loads of this model took here, or where none was measured what its size makes likely.
    """
    known = _measured(model)
    size = memory_needed(model)
    if given_s >= IMPORTS_S + (2 * known if known is not None else size / _READS):
        return ""
    took = (
        f"earlier loads took {format_duration(known)} after the imports"
        if known is not None
        else f"no load of it has been timed here yet, and it needs {format_bytes(size)} of memory"
    )
    return (
        f"the deadline left {format_duration(given_s)} to load it, which is too short to tell: {took}. "
        "Allow more with --timeout, or timeout under [gate] in the manifest"
    )


def _measured(model: Model) -> float | None:
    """Return the median of the loads that were recorded on this machine, in seconds; None without any."""
    if model.host.history_file is None:
        return None
    from sage_doctor.history import baseline  # noqa: PLC0415 - SQLite, and only after a load that took too long

    past = baseline.baseline_of(model.host)
    values = past.values(model.name, None, "load").get("load_s", []) if past is not None else []
    import statistics  # noqa: PLC0415 - with the fractions it needs, 2 ms of every run

    return statistics.median(values) if values else None
