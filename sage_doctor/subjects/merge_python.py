"""The interpreter that merges: torch is a dependency of the sessions, not of sage-doctor."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from sage_doctor.subjects.host import Host

_OLDEST = (3, 10)  # what sage-doctor's own source needs


def merge_python(host: Host) -> Path | None:
    """Return the sessions' interpreter where only that one has torch; None is sage-doctor's own."""
    if host.python is None or find_spec("torch") is not None:
        return None
    session = host.session
    if session.packages.get("torch") is None or session.version is None:
        return None
    version = tuple(int(part) for part in session.version.split(".")[:2] if part.isdecimal())
    return host.python if version >= _OLDEST else None
