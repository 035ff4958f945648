"""The files of a project that a program reaches: what it sources, imports and starts, found and read within bounds."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from sage_doctor.paths.find.branches import nested
from sage_doctor.paths.find.files import EXCLUDED_DIRECTORIES
from sage_doctor.paths.find.reference import PathReference
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start

MOST_BYTES = 2 * 1024 * 1024
MOST_FILES = 60  # the nearest first
# Of all programs together, and of each at the least: a module takes some 6 ms, and every boot is followed by a check.
_MOST_OF_ALL = 360
_FEWEST = 6
_MOST_PLACES = 1000


class Checkout:
    """One project, for one program. No file outside of `directory` is read, and none through a link that leaves it.

    `places` are where a file was looked for: another result follows where one comes or goes. `found` are the references
    in files that the program reaches, and `started` the programs that it starts, each with the condition.
    """

    def __init__(self, directory: Path, program: Path, most: int = MOST_FILES) -> None:
        self.directory, self._most = directory, most
        self._root = directory if program.is_relative_to(directory) else program.parent
        self._real = os.path.realpath(self._root)
        self._read: dict[Path, bytes | None] = {}
        self.places: dict[Path, bool] = {}
        self.found: dict[Path, dict[PathReference, None]] = defaultdict(dict)
        self.started: dict[Path, str] = {}
        self.condition = ""  # of the program that is being read

    def find(self, places: Iterable[Path]) -> Path | None:
        """Return the first of these that is a file of the project and can be read."""
        for place in (Path(os.path.normpath(p)) for p in places):
            if place not in self.places:
                below = os.path.relpath(place, self._root).split("/")
                inside = below[0] != ".." and not EXCLUDED_DIRECTORIES & set(below)
                if not inside or len(self.places) >= _MOST_PLACES:
                    continue
                self.places[place] = inspect_path(place).kind == "file"
            if self.places[place] and self.read(place) is not None:
                return place
        return None

    def read(self, path: Path) -> bytes | None:
        """Return the bytes of a file of the project; None if it is not one, or too large, or one too many."""
        if path not in self._read:
            real = os.path.realpath(path)
            inside = os.path.commonpath([real, self._real]) == self._real
            self._read[path] = _text(path) if inside and len(self._read) < self._most else None
        return self._read[path]

    def start(self, path: Path, condition: str) -> None:
        """Remember a program that is started, under a condition that is empty where it is in any case."""
        if self.started.get(path, "x"):
            self.started[path] = nested(self.condition, condition)


def most_of_one(programs: int) -> int:
    """Return how many files each of so many programs may reach."""
    return min(MOST_FILES, max(_FEWEST, _MOST_OF_ALL // max(programs, 1)))


def _text(path: Path) -> bytes | None:
    try:
        raw = read_start(path, MOST_BYTES + 1)
    except UnreadableFile:
        return None
    return raw if len(raw) <= MOST_BYTES and b"\0" not in raw else None
