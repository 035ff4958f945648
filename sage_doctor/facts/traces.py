"""Traces of sessions: the age of the newest file, and the highest number in their names. No file is opened."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Final

from sage_doctor.system.frozen import frozen
from sage_doctor.system.globbing import Glob, numbering
from sage_doctor.system.path_info import inspect_path

AHEAD_S: Final = 120.0  # clocks of file servers differ by less


@frozen
class Trace:
    """One file that a session wrote: its path and its age in seconds, below zero for a date in the future."""

    path: str
    age_s: float


@frozen
class SearchGaps:
    """What a search could not look at: directories with the reason, and whether it ended at the bound for entries."""

    unreadable: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.unreadable) or self.cut


@frozen
class Traces:
    """The files that a heartbeat's globs match.

    `newest` is the youngest one that is not from the future, `ahead` the one farthest in the future. `absent` are
    directories the globs lead to that are not there.
    """

    count: int
    newest: Trace | None
    ahead: Trace | None
    unseen: SearchGaps
    absent: tuple[str, ...] = ()


@frozen
class HighestNumber:
    """The file with the highest number in its name, of the `count` paths that a glob matches."""

    count: int
    number: int | None
    path: str | None
    unseen: SearchGaps


def read_traces(patterns: Iterable[str], directory: Path, now: float | None = None) -> Traces:
    """Return what the globs match below `directory`, seen at `now` (seconds since 1970; by default the clock's)."""
    now = time.time() if now is None else now
    searches = [Glob(pattern=p, directory=directory) for p in patterns]
    count, newest, ahead = 0, None, None
    for path in (path for search in searches for path in search.paths()):
        age = _age(path, now)
        if age is None:
            continue
        count += 1
        if age < -AHEAD_S:
            if ahead is None or age < ahead.age_s:
                ahead = Trace(path=path, age_s=age)
        elif newest is None or age < newest.age_s:
            newest = Trace(path=path, age_s=age)
    absent = dict.fromkeys(s.base for s in searches if inspect_path(s.base).kind in ("missing", "dangling"))
    return Traces(count=count, newest=newest, ahead=ahead, unseen=_unseen(searches), absent=tuple(absent))


def read_numbers(pattern: str, directory: Path) -> HighestNumber:
    """Return how far the numbers in the names go that a glob matches below `directory`."""
    search = Glob(pattern=pattern, directory=directory)
    number_of = numbering(pattern)
    count, best, best_path = 0, None, None
    for path in search.paths():
        count += 1
        number = number_of(path)
        if number is not None and (best is None or number > best) and _age(path, 0.0) is not None:
            best, best_path = number, path
    return HighestNumber(count=count, number=best, path=best_path, unseen=_unseen([search]))


def _unseen(searches: Iterable[Glob]) -> SearchGaps:
    searches = list(searches)
    pairs: Iterator[tuple[str, str]] = (item for search in searches for item in search.unreadable.items())
    return SearchGaps(unreadable=dict(pairs), cut=not all(search.complete for search in searches))


def _age(path: str, now: float) -> float | None:
    """Return the age of a regular file, links followed, or None where there is none that can be asked."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return now - status.st_mtime if stat.S_ISREG(status.st_mode) else None
