"""Typed reading of TOML tables: each method returns the value or None, and notes what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sage_doctor.manifest import durations
from sage_doctor.manifest.names import name_fault
from sage_doctor.manifest.problems import Problems, header, key_text, shown
from sage_doctor.text import printable


@dataclass(frozen=True)
class Table:
    """One TOML table. `title` is the header a reader looks for, `prefix` the dotted way from there to this table."""

    data: Mapping[str, Any]
    path: tuple[str, ...]
    problems: Problems
    title: str = ""
    prefix: str = ""

    def field(self, key: str) -> str:
        """Return how messages call a key of this table: `[models.x] budget.load_s`."""
        return f"{self.title} {self.prefix}{key_text(key)}".lstrip()

    def wrong(self, key: str, expected: str) -> None:
        """Note that the value of `key` is not what is expected."""
        self.problems.add((*self.path, key), f"{self.field(key)} must be {expected}, not {shown(self.data[key])}")

    def only(self, known: Iterable[str]) -> None:
        """Note every key that is not known here."""
        names = list(known)
        where = f"in {header(*self.path)}" if self.path else "at the top level"
        for key in self.data:
            if key not in names:
                what = f"unknown key '{printable(key, limit=80)}' {where}"
                self.problems.unknown((*self.path, key), what, names)

    def text(self, key: str, *, empty: bool = False) -> str | None:
        """Return a string; an empty one only where that means something."""
        value = self.data.get(key)
        if value is None:
            return None
        if isinstance(value, str) and (value or empty):
            return value
        self.wrong(key, "a string" if empty else "a string that is not empty")
        return None

    def texts(self, key: str, *, or_one: bool = False) -> tuple[str, ...] | None:
        """Return a list of strings; with `or_one`, a single string counts as a list of one."""
        value = self.data.get(key)
        if value is None:
            return None
        if or_one and isinstance(value, str) and value:
            return (value,)
        expected = "a string or a list of strings" if or_one else "a list of strings"
        if not isinstance(value, list):
            self.wrong(key, expected)
            return None
        good = []
        for index, item in enumerate(value):
            if isinstance(item, str) and item:
                good.append(item)
            else:
                wrong = f"{self.field(key)} must be {expected}; it holds {shown(item)}"
                self.problems.add((*self.path, key, index), wrong)
        return tuple(dict.fromkeys(good))

    def items(self, key: str) -> Iterator[tuple[int, str]]:
        """Give the usable strings of a list with their index; what is wrong with the list is noted by `texts`."""
        value = self.data.get(key)
        if isinstance(value, list):
            yield from ((index, item) for index, item in enumerate(value) if isinstance(item, str) and item)

    def choice(self, key: str, known: tuple[str, ...]) -> str | None:
        """Return one of a few words."""
        value = self.text(key)
        if value is None or value in known:
            return value
        hint = self.problems.hint(value, list(known))
        what = f"unknown {key} '{printable(value, limit=80)}'"
        where = f"in {self.title}" if self.title else "at the top level"
        self.problems.add((*self.path, key), f"{what} {where}; {hint}")
        return None

    def positive(self, key: str) -> float | None:
        """Return a number above zero that a float can hold."""
        value = self.data.get(key)
        number = _positive(value)
        if number is None and value is not None:
            self.wrong(key, "a positive number")
        return number

    def duration(self, key: str) -> float | None:
        """Return a length of time in seconds, written with its unit or as a number of seconds."""
        value = self.data.get(key)
        length = durations.seconds(value) if isinstance(value, str) else _positive(value)
        if length is not None and length <= durations.MOST:
            return length
        if value is not None:
            self.wrong(key, durations.EXPECTED if length is None else "at most 100 years")
        return None

    def count(self, key: str) -> int | None:
        """Return a whole number of 1 or more."""
        value = self.data.get(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31:
            return value
        self.wrong(key, "a whole number, 1 or more")
        return None

    def section(self, key: str) -> Table:
        """Return a table inside this one, empty where it is missing or something else."""
        value = self.data.get(key, {})
        if not isinstance(value, dict):
            self.wrong(key, "a table")
            value = {}
        return Table(value, (*self.path, key), self.problems, self.title, f"{self.prefix}{key}.")

    def named(self, key: str, known: tuple[str, ...], what: str, *, marks: tuple[str, ...] = ()) -> dict[str, Table]:
        """Return the tables `[key.NAME]`, whose keys must be among `known`. Notes names that cannot be used.

        A dot in NAME without quotes, as in `[models.qwen2.5-0.5b]`, makes TOML read tables in tables. They are put
        together again: an unknown key is a part of a name where its table holds one of the `marks` (by default, of
        the known keys).
        """
        parent = self.section(key)
        found: dict[str, Table] = {}
        waiting = [(name, (*parent.path, name), value) for name, value in parent.data.items()][::-1]
        while waiting:
            name, path, value = waiting.pop()
            if not isinstance(value, dict):
                self.problems.add(path, f"{header(*path)} must be a table, not {shown(value)}")
                continue
            inner = {k for k, v in value.items() if k not in known and _holds_mark(v, known, marks or known)}
            waiting.extend((f"{name}.{part}", (*path, part), value[part]) for part in reversed(value) if part in inner)
            if inner and len(inner) == len(value):
                continue
            fault = name_fault(name, reserved=what != "machine")
            if fault:
                self.problems.add(path, f"{what} name '{printable(name, limit=80)}' {fault}; choose another")
            if name in found:
                self.problems.add(path, f"{header(*path)} is {header(*found[name].path)} again; keep one of them")
            table = Table({k: v for k, v in value.items() if k not in inner}, path, self.problems, header(*path))
            table.only(known)
            found[name] = table
        return found


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0 < number < math.inf else None


def _holds_mark(value: object, known: tuple[str, ...], marks: tuple[str, ...], most: int = 8) -> bool:
    """Return whether a table, or one that is split off further, holds one of the marks."""
    if not isinstance(value, dict) or most == 0:
        return False
    return any(mark in value for mark in marks) or any(
        key not in known and _holds_mark(inner, known, marks, most - 1) for key, inner in value.items()
    )
