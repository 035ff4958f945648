"""Everything wrong with one manifest, gathered so that a person sees all of it at once, in the order of its lines."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from sage_doctor.errors import ManifestError
from sage_doctor.manifest.names import MOST_CANDIDATES, nearest
from sage_doctor.manifest.toml_lines import KeyLines, KeyPath
from sage_doctor.text import join_limited, printable

_MOST_SUGGESTIONS = 50  # a suggestion compares with every known name; thousands of mistakes get none


class Problems:
    """Collects `file:line: message` lines for the manifest at `path`; `renamed` are those that refuse nothing."""

    def __init__(self, path: Path, lines: KeyLines) -> None:
        self.where = shown_path(path)
        self.lines = lines
        self.renamed: list[str] = []
        self._found: list[tuple[int, str]] = []
        self._suggestions = 0

    def add(self, key: KeyPath, message: str) -> None:
        """Note what is wrong with the key at that path."""
        self._found.append((self.lines.of(key), message))

    def add_at(self, line: int, message: str) -> None:
        """Note what is wrong with a line."""
        self._found.append((line, message))

    def note_renamed(self, key: KeyPath, message: str) -> None:
        """Note a former name of a key, which still works: that alone refuses no manifest."""
        self.renamed.append(f"{self.where}:{self.lines.of(key)}: {message}")

    def unknown(self, key: KeyPath, what: str, known: Iterable[str], *, word: str | None = None) -> None:
        """Note an unknown name: `what` is the message so far; the nearest known name or a list of them follows.

        `word` is the unknown name itself where that is not the key.
        """
        self.add(key, f"{what}; {self.hint(str(key[-1]) if word is None else word, known)}")

    def hint(self, word: str, known: Iterable[str], *, listed: str = "") -> str:
        """Return `did you mean 'x'?`, or what is known: `listed`, if its author described it."""
        self._suggestions += 1
        names = list(islice(known, MOST_CANDIDATES))
        near = nearest(word, names) if self._suggestions <= _MOST_SUGGESTIONS else None
        if near is not None:
            return f"did you mean '{printable(near)}'?"
        return listed or f"known: {join_limited(names, most=12) or 'none'}"

    def messages(self) -> list[str]:
        """Return the problems as `file:line: message`, by line, each once."""
        ordered = sorted(self._found, key=lambda problem: problem[0])
        return list(dict.fromkeys(f"{self.where}:{line}: {message}" for line, message in ordered))

    def raise_if_any(self) -> None:
        """Raise `ManifestError` with everything gathered so far, if there is anything."""
        if self._found:
            raise ManifestError(self.messages())


def shown_path(path: Path) -> str:
    """Return the path for messages: relative to the working directory if below it, else as given."""
    text = os.fspath(path)
    try:
        here = os.getcwd()
    except OSError:  # the working directory was deleted
        return printable(text)
    below = here.rstrip("/") + "/"
    return printable(text[len(below) :] if text.startswith(below) and text != below else text)


def shown(value: object) -> str:
    """Return a TOML value for messages: its type, and the value itself where that is short."""
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, str):
        return f"the string '{printable(value, limit=60)}'"
    if isinstance(value, (int, float)):
        try:
            return f"the number {printable(str(value), limit=40)}"
        except ValueError:  # an integer of more digits than Python writes
            return "a number of thousands of digits"
    if isinstance(value, (list, dict)):
        kind = "list" if isinstance(value, list) else "table"
        return f"a {kind}" if value else f"an empty {kind}"
    return f"the date or time {printable(str(value), limit=40)}"
