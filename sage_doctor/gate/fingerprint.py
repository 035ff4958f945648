"""The identity of files: what tells, without reading it, that a file is still the one that was examined."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

# size, mtime and ctime in nanoseconds, inode, mode; of a link its own inode and mtime as well. None: nothing there.
Identity = list[int] | None
Watched = dict[str, Identity]

MOST_FILES: Final = 20_000  # below one model directory; one with more is never taken for unchanged
MOST_DEPTH: Final = 6


class TooMany(Exception):
    """A directory holds more files than are worth watching."""


def fingerprint(path: str) -> Identity:
    """Return what identifies the file at `path` now, links followed, or None where there is none.

    The time of the last change of the inode is part of it: no copy, restore or `touch -d` can set that one back.
    """
    try:
        here = os.lstat(path)
        linked = (here.st_mode & 0o170000) == 0o120000
        there = os.stat(path) if linked else here
    except (OSError, ValueError):
        return None
    found = [there.st_size, there.st_mtime_ns, there.st_ctime_ns, there.st_ino, there.st_mode]
    return [*found, here.st_ino, here.st_mtime_ns] if linked else found


def fingerprint_files(paths: Iterable[Path | str]) -> Watched:
    """Return the identities of these paths as they are now; directories stand for the names in them."""
    return {name: fingerprint(name) for name in (os.fspath(p) for p in paths)}


def fingerprint_tree(directory: Path) -> Watched:
    """Return the identities of a directory and everything below it. Raises `TooMany`.

    Links to directories are watched and not descended into.
    """
    found: Watched = {}
    pending = [(os.fspath(directory), 0)]
    while pending:
        place, depth = pending.pop()
        found[place] = fingerprint(place)
        try:
            entries = list(os.scandir(place))
        except OSError:
            continue
        for entry in entries:
            if len(found) >= MOST_FILES:
                raise TooMany(place)
            if entry.is_dir(follow_symlinks=False):
                if depth >= MOST_DEPTH:
                    raise TooMany(place)
                pending.append((entry.path, depth + 1))
            else:
                found[entry.path] = fingerprint(entry.path)
    return found


def changed(watched: Mapping[str, Identity], *, most: int = 5) -> list[tuple[str, str]]:
    """Return up to `most` paths that are not what they were, each with what became of it."""
    found = []
    for path, before in watched.items():
        now = fingerprint(path)
        if now != before:
            found.append((path, _became(before, now)))
            if len(found) >= most:
                break
    return found


def _became(before: Identity, now: Identity) -> str:
    if now is None:
        return "is gone"
    if before is None:
        return "is new"
    if before[4] != now[4] and before[:2] == now[:2]:
        return "has another mode"
    return "has another size" if before[0] != now[0] else "was changed"
