"""Runners: the scripts that start sessions, as a role's globs name them."""

from __future__ import annotations

from pathlib import Path

from sage_doctor.system.globbing import Glob
from sage_doctor.system.path_info import inspect_path

MOST_RUNNERS = 1000


def find_runners(pattern: str, directory: Path) -> list[Path]:
    """Return the regular files that a glob matches below `directory` (or anywhere, where it is absolute), sorted."""
    matches = sorted({Path(p) for p in Glob(pattern=pattern, directory=directory).paths()})
    return [p for p in matches[:MOST_RUNNERS] if inspect_path(p).kind == "file"]
