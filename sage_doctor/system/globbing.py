"""The paths that a glob matches, one directory listing after the other: bounded, and no file is opened.

The standard library's `glob` follows links below `**`, so that two links to their own parents keep it busy for ever.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Final

from sage_doctor.system.path_info import inspect_path

MOST_ENTRIES: Final = 1_000_000  # names in directories that are looked at; a second's work on a local disk
MOST_FILES: Final = 1000
_MOST_TOLD = 5
_MAGIC = re.compile(r"[*?\[]")
_DIGITS = re.compile("[0-9]+")


@dataclass(kw_only=True)
class Glob:
    """One search. What could not be seen is known once its `paths` have been gone through.

    `unreadable` names directories that could not be listed, with the reason; `complete` is False where there were
    more entries than `most`.
    """

    pattern: str
    directory: Path
    most: int = MOST_ENTRIES
    entries: int = 0
    complete: bool = True
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def segments(self) -> list[str]:
        """The pattern's parts. `**` at the end stands for every file below."""
        parts = [p for p in self.pattern.split("/") if p not in ("", ".")]
        kept = [p for n, p in enumerate(parts) if p != "**" or parts[n - 1 : n] != ["**"]]
        return [*kept, "*"] if kept[-1:] == ["**"] else kept

    @property
    def base(self) -> str:
        """The directory that every match lies below: where the first wildcard is looked for."""
        segments = self.segments
        literal = next((n for n, s in enumerate(segments) if is_wild(s)), len(segments) - 1)
        return os.path.join(self._start, *segments[:literal])

    @property
    def _start(self) -> str:
        return "/" if self.pattern.startswith("/") else str(self.directory)

    def paths(self) -> Iterator[str]:
        """Give the paths that match, in no order; whether a file is there has to be asked for each.

        Names that start with a dot match where the pattern's part does. `**` passes through real directories only.
        """
        segments = self.segments
        matchers = [re.compile(translate(s)).match if is_wild(s) else None for s in segments]
        waiting = [(self._start, 0)] if segments else []
        while waiting and self.complete:
            base, at = waiting.pop()
            segment, last, match = segments[at], at == len(segments) - 1, matchers[at]
            if segment == "**":
                waiting.append((base, at + 1))
                below = (e for e in self._listed(base) if not e.name.startswith(".") and _is_directory(e, links=False))
                waiting.extend((e.path, at) for e in below)
            elif match is None:
                path = os.path.join(base, segment)
                if last:
                    yield path
                else:
                    waiting.append((path, at + 1))
            else:
                hidden = segment.startswith(".")
                found = (e for e in self._listed(base) if match(e.name) and (hidden or not e.name.startswith(".")))
                if last:
                    yield from (e.path for e in found)
                else:
                    waiting.extend((e.path, at + 1) for e in found if _is_directory(e, links=True))

    def _listed(self, directory: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    self.entries += 1
                    if self.entries > self.most:
                        self.complete = False
                        return
                    yield entry
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            if len(self.unreadable) < _MOST_TOLD:
                self.unreadable[directory] = os.strerror(error.errno or 0).lower()


def is_wild(segment: str) -> bool:
    """Return whether a part of a glob stands for more than one name."""
    return _MAGIC.search(segment) is not None


@lru_cache(maxsize=256)
def glob_pattern(glob: str) -> re.Pattern[str]:
    """Return a glob as a regular expression over paths with /: `**/` is any number of directories, `*` no slash.

    A glob that ends in / means everything below.
    """
    glob = glob.removeprefix("./")
    if glob.endswith("/"):
        glob += "**"
    parts = []
    position = 0
    while position < len(glob):
        for text, pattern in (("**/", "(?:[^/]+/)*"), ("**", ".*"), ("*", "[^/]*"), ("?", "[^/]")):
            if glob.startswith(text, position):
                parts.append(pattern)
                position += len(text)
                break
        else:
            bracket = re.compile(r"\[[!^]?\]?[^\]]*\]").match(glob, position)
            text = bracket[0] if bracket is not None else glob[position]
            parts.append(re.sub(r"^\[!", "[^", text).replace("\\", "\\\\") if bracket is not None else re.escape(text))
            position += len(text)
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:
        return re.compile(re.escape(glob))


def numbering(pattern: str) -> Callable[[str], int | None]:
    """Return what gives the number of a path that the pattern matched: the first in what its last wildcards stand for.

    42 for `session_042_b.txt` and `session_*.txt`. Neighbouring wildcards count as one, and digits of the pattern
    beside them belong to the number. None where no digit is there.
    """
    segments = [s for s in pattern.split("/") if s not in ("", ".")]
    wild = [n for n, s in enumerate(segments) if is_wild(s) and s != "**"]
    at = wild[-1] - len(segments) if wild else -1
    segment = segments[at] if wild else "*"
    parts = re.split(r"((?:[*?]|\[!?\]?[^\]]*\])+)", segment)  # literals at even places, wildcards between them
    first, between, last = parts[0], parts[-3] if len(parts) > 3 else None, parts[-1]

    def number_of(path: str) -> int | None:
        name = path.rsplit("/", -at)[at]
        end = len(name) - len(last)
        # With wildcards before the last ones, the literal between is where it comes last: `*` takes all it can.
        start = len(first) if between is None else name.rfind(between, 0, end) + len(between)
        return next((int(m[0]) for m in _DIGITS.finditer(name) if m.end() > start and m.start() < end), None)

    return number_of


def _is_directory(entry: os.DirEntry[str], *, links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=links)
    except OSError:  # a link that leads back to itself
        return False


def glob_files(pattern: str, directory: Path) -> list[Path]:
    """Return the regular files that a glob matches below `directory` (or anywhere, where it is absolute), sorted."""
    matches = sorted({Path(p) for p in Glob(pattern=pattern, directory=directory).paths()})
    return [p for p in matches[:MOST_FILES] if inspect_path(p).kind == "file"]
