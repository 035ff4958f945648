"""The directories at and below others, one listing after the other: bounded and sorted; links only where asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MOST_DIRECTORIES: Final = 200_000
MOST_ENTRIES: Final = 1_000_000
MOST_DEPTH: Final = 40


@dataclass(kw_only=True)
class Listing:
    """One directory. `files` are its entries but for the directories `below`.

    Links to directories are among `files`, or, where the walk follows links, among `below`. Both are sorted by name.
    What is taken out of `below` before the next listing is asked for is not entered. `problem` says why the directory
    could not be listed.
    """

    path: str
    depth: int
    files: list[os.DirEntry[str]] = field(default_factory=list)
    below: list[os.DirEntry[str]] = field(default_factory=list)
    problem: str = ""

    @property
    def names(self) -> frozenset[str]:
        """The names of all entries; of `below` only those that are left."""
        return frozenset(e.name for e in (*self.files, *self.below))


@dataclass(kw_only=True)
class Walk:
    """One walk through directories, parents first. What was left out is known once its `listings` are at their end.

    `complete` is False where there were more directories or entries than allowed, `too_deep` is True where some lie
    deeper. A directory that can be reached in two ways (a bind mount, a root below another, a link) is listed once;
    `seen` holds device and inode of each. `follow` enters links to directories as well.
    """

    roots: Sequence[Path]
    most_directories: int = MOST_DIRECTORIES
    most_entries: int = MOST_ENTRIES
    most_depth: int = MOST_DEPTH
    follow: bool = False
    complete: bool = True
    too_deep: bool = False
    seen: set[tuple[int, int]] = field(default_factory=set)

    def listings(self) -> Iterator[Listing]:
        """Give the directories. A root that is a link is followed; never raises for what a disk may hold."""
        waiting = [(os.fspath(root), 0) for root in reversed(self.roots)]
        left = self.most_entries
        while waiting:
            path, depth = waiting.pop()
            if self._is_known(path):
                continue
            if len(self.seen) > self.most_directories:
                self.complete = False
                return
            listing = _listing(path, depth, left, links=self.follow)
            left -= len(listing.files) + len(listing.below)
            yield listing
            if left <= 0:
                self.complete = False
                return
            if listing.below and depth >= self.most_depth:
                self.too_deep = True
            else:
                waiting.extend((entry.path, depth + 1) for entry in reversed(listing.below))

    def _is_known(self, path: str) -> bool:
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return False  # listing it says why
        known = (status.st_dev, status.st_ino) in self.seen
        self.seen.add((status.st_dev, status.st_ino))
        return known


def _listing(path: str, depth: int, most: int, *, links: bool) -> Listing:
    listing = Listing(path=path, depth=depth)
    try:
        with os.scandir(path) as entries:
            for entry, _ in zip(entries, range(most), strict=False):
                (listing.below if _is_directory(entry, links=links) else listing.files).append(entry)
    except OSError as error:
        listing.problem = os.strerror(error.errno or 0).lower()
    except ValueError as error:  # a NUL in the path
        listing.problem = str(error)
    listing.files.sort(key=lambda e: e.name)
    listing.below.sort(key=lambda e: e.name)
    return listing


def _is_directory(entry: os.DirEntry[str], *, links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=links)
    except OSError:  # a link that leads back to itself
        return False
