"""The fingerprint of a file: what tells, without reading it, that it is still the one that was looked at."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from sage_doctor.system.walk import Walk


class Fingerprint(NamedTuple):
    """What is compared of a file. Times are nanoseconds.

    `ctime_ns` is the last change of the inode: a copy, a restore, `touch -d` or a second unpacking of an archive can
    set back the time of the content, but not this one. The device is left out, because its number may be another one
    after the next boot.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    mode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Fingerprint:
        """Return the fingerprint of what was looked at with `stat`, `fstat` or `lstat`."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_mode)


# A file's fingerprint, of a link its own behind it. None: nothing there. Empty: something, whatever it is.
Identity = list[int] | None
Watched = dict[str, Identity]

MOST_FILES: Final = 20_000  # below one model directory; one with more is never taken for unchanged
MOST_DEPTH: Final = 6


class TooMany(Exception):
    """A directory holds more files than are worth watching."""


def fingerprint(path: str) -> Identity:
    """Return what identifies the file at `path` now, links followed, or None where there is none."""
    try:
        here = os.lstat(path)
        linked = stat.S_ISLNK(here.st_mode)
        there = Fingerprint.of(os.stat(path) if linked else here)
    except (OSError, ValueError):
        return None
    return [*there, *Fingerprint.of(here)] if linked else [*there]


def fingerprint_files(paths: Iterable[Path | str]) -> Watched:
    """Return the identities of these paths as they are now; directories stand for the names in them."""
    return {name: fingerprint(name) for name in (os.fspath(p) for p in paths)}


def presence(paths: Iterable[Path | str]) -> Watched:
    """Return of each path only whether something is there now: sessions may write in it."""
    return {name: None if found is None else [] for name, found in fingerprint_files(paths).items()}


def fingerprint_tree(directory: Path) -> Watched:
    """Return the identities of a directory and everything below it, through links as well. Raises `TooMany`.

    A load opens files below links to directories like any others. Each name stands for what it leads to now, so that a
    link on the way that is made to lead elsewhere is a change of every file below it.
    """
    found: Watched = {os.fspath(directory): fingerprint(os.fspath(directory))}
    walk = Walk(roots=[directory], most_depth=MOST_DEPTH, follow=True)
    for listing in walk.listings():
        for entry in (*listing.files, *listing.below):
            if len(found) >= MOST_FILES:
                raise TooMany(entry.path)
            found[entry.path] = fingerprint(entry.path)
    if walk.too_deep or not walk.complete:
        raise TooMany(os.fspath(directory))
    return found


def changed(watched: Mapping[str, Identity], *, most: int = 5) -> list[tuple[str, str]]:
    """Return up to `most` paths that are not what they were, each with what became of it."""
    found = []
    for path, before in watched.items():
        now = fingerprint(path)
        if now != before and (before != [] or now is None):
            found.append((path, _became(before, now)))
            if len(found) >= most:
                break
    return found


def _became(before: Identity, now: Identity) -> str:
    if now is None:
        return "is gone"
    if before is None:
        return "is new"
    old, new = Fingerprint(*before[:5]), Fingerprint(*now[:5])
    if old.mode != new.mode and (old.size, old.mtime_ns) == (new.size, new.mtime_ns):
        return "has another mode"
    return "has another size" if old.size != new.size else "was changed"
