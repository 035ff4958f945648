"""Runners: the scripts that start sessions, as a role's globs name them."""

from __future__ import annotations

import glob
from pathlib import Path

from sage_doctor.system.path_info import inspect_path

MOST_RUNNERS = 1000


def find_runners(pattern: str, directory: Path) -> list[Path]:
    """Return the regular files that a glob matches below `directory` (or anywhere, where it is absolute), sorted."""
    matches = sorted(glob.iglob(pattern, root_dir=directory, recursive=True))[:MOST_RUNNERS]
    return [p for m in matches if inspect_path(p := directory / m).kind == "file"]
