"""Runners: the scripts that start sessions, as a role's globs name them."""

from __future__ import annotations

import os
from pathlib import Path

from sage_doctor.system.globbing import Glob
from sage_doctor.system.path_info import inspect_path

MOST_RUNNERS = 1000


def find_runners(pattern: str, directory: Path) -> list[Path]:
    """Return the regular files that a glob matches below `directory` (or anywhere, where it is absolute), sorted."""
    return _files(Glob(pattern=pattern, directory=directory))


def find_runners_and_directories(pattern: str, directory: Path) -> tuple[list[Path], list[Path]]:
    """Return the runners, and the directories in which another one would have been found."""
    glob = Glob(pattern=pattern, directory=directory)
    found = _files(glob)
    return found, [Path(p) for p in {**glob.searched, **dict.fromkeys(os.path.dirname(p) for p in found)}]


def _files(glob: Glob) -> list[Path]:
    matches = sorted({Path(p) for p in glob.paths()})
    return [p for p in matches[:MOST_RUNNERS] if inspect_path(p).kind == "file"]
