"""Typed reading of TOML tables by the table of keys: what fits is returned, what is wrong is noted by its line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sage_doctor.manifest import durations
from sage_doctor.manifest.key_table import Key, KeyTable
from sage_doctor.manifest.names import BUILT_IN, is_variable, name_fault
from sage_doctor.manifest.problems import Problems, shown
from sage_doctor.manifest.quoting import header, shown_key
from sage_doctor.manifest.requirements import requirement_fault
from sage_doctor.manifest.toml_lines import KeyPath
from sage_doctor.text import printable


@dataclass(frozen=True)
class RawValue:
    """A text with the key it stands at, and how messages call that key."""

    text: str
    key: KeyPath
    label: str


@dataclass(frozen=True)
class Table:
    """One TOML table and the keys it may have.

    `title` is the header a reader looks for, `prefix` the dotted way from there to this table.
    """

    data: Mapping[str, Any]
    path: tuple[str, ...]
    problems: Problems
    keys: KeyTable
    title: str = ""
    prefix: str = ""

    def field(self, name: str) -> str:
        """Return how messages call a key of this table: `[models.x] budget.load_s`."""
        return f"{self.title} {self.prefix}{shown_key(name)}".lstrip()

    def wrong(self, name: str, expected: str) -> None:
        """Note that the value of a key is not what is expected."""
        self.problems.add((*self.path, name), f"{self.field(name)} must be {expected}, not {shown(self.data[name])}")

    def refuse_unknown_keys(self) -> None:
        """Note every key that is not known here."""
        where = f"in {header(*self.path)}" if self.path else "at the top level"
        for name in self.data:
            if name not in self.keys.accepted:
                what = f"unknown key '{printable(name, limit=80)}' {where}"
                self.problems.unknown((*self.path, name), what, self.keys.names)

    def read(self, *, optional: Collection[str] = ()) -> dict[str, Any]:
        """Return the values that are set and right, by key: seconds for durations, `RawValue` for places and names.

        Notes what is wrong with the others, and keys that are required and missing, unless they are `optional`.
        """
        found = {}
        for key in self.keys.keys:
            name = self._spelling(key)
            if name is not None:
                value = self._readers[key.type](self, key, name)
                if value is not None:
                    found[key.name] = value
            elif key.required and key.name not in optional:
                table = f"{self.title} {self.prefix.rstrip('.')}".strip()
                self.problems.add(self.path, f"{table} has no {key.name}: {key.required}")
        return found

    def _spelling(self, key: Key) -> str | None:
        """Return the name under which a key is written here, None where it is not; notes a former name."""
        if key.old and key.old in self.data:
            place, field = (*self.path, key.old), self.field(key.old)
            if key.name in self.data:
                self.problems.add(place, f"{field} is the former name of {key.name}, which is there as well; remove it")
                return key.name
            told = f"{field} is now called {key.name}; the former name works in this release only"
            self.problems.note_renamed(place, told)
            return key.old
        return key.name if key.name in self.data else None

    def items(self, name: str) -> Iterator[tuple[int, str]]:
        """Give the usable strings of a list with their index."""
        value = self.data.get(name)
        if isinstance(value, list):
            yield from ((index, item) for index, item in enumerate(value) if isinstance(item, str) and item)

    def named(self, key: Key, name: str) -> dict[str, Table]:
        """Return the tables `[key.NAME]`, their keys known but not read. Notes names that cannot be used.

        A dot in NAME without quotes, as in `[models.qwen2.5-0.5b]`, makes TOML read tables in tables. They are put
        together again: an unknown key is a part of a name where its table holds one of the marks.
        """
        keys = _inner(key)
        found: dict[str, Table] = {}
        data = self._table(name) or {}
        waiting = [(part, (*self.path, name, part), value) for part, value in data.items()][::-1]
        while waiting:
            name, path, value = waiting.pop()
            if not isinstance(value, dict):
                self.problems.add(path, f"{header(*path)} must be a table, not {shown(value)}")
                continue
            inner = {k for k, v in value.items() if k not in keys.accepted and _holds_mark(v, keys)}
            waiting.extend((f"{name}.{part}", (*path, part), value[part]) for part in reversed(value) if part in inner)
            if inner and len(inner) == len(value):
                continue
            fault = name_fault(name, reserved=keys.noun != "machine")
            if fault:
                self.problems.add(path, f"{keys.noun} name '{printable(name, limit=80)}' {fault}; choose another")
            if name in found:
                self.problems.add(path, f"{header(*path)} is {header(*found[name].path)} again; keep one of them")
            rest = {k: v for k, v in value.items() if k not in inner}
            found[name] = Table(rest, path, self.problems, keys, header(*path))
            found[name].refuse_unknown_keys()
        return found

    def _table(self, name: str) -> Mapping[str, Any] | None:
        value = self.data[name]
        if isinstance(value, dict):
            return value
        self.wrong(name, "a table")
        return None

    def _section(self, key: Key, name: str) -> dict[str, Any] | None:
        """Return the values of a table inside this one."""
        data = self._table(name)
        if data is None:
            return None
        table = Table(data, (*self.path, name), self.problems, _inner(key), self.title, f"{self.prefix}{name}.")
        table.refuse_unknown_keys()
        return table.read()

    def _variables(self, _key: Key, name: str) -> dict[str, RawValue]:
        data = self._table(name) or {}
        table = Table(data, (*self.path, name), self.problems, self.keys, self.title, f"{self.prefix}{name}.")
        found = {}
        for variable in data:
            if variable in BUILT_IN:
                self.problems.add(
                    (*table.path, variable), f"{table.field(variable)}: this name is built in; choose another"
                )
            elif not is_variable(variable):
                rule = "it starts with a letter and goes on with letters, digits, '_' and '-'"
                self.problems.add(
                    (*table.path, variable), f"{table.field(variable)} cannot be a variable's name: {rule}"
                )
            value = data[variable]
            if isinstance(value, str):
                found[variable] = RawValue(value, (*table.path, variable), table.field(variable))
            else:
                table.wrong(variable, "a string")
        return found

    def _text(self, key: Key, name: str) -> str | None:
        value = self.data[name]
        if not isinstance(value, str) or not (value or key.type == "remark"):
            self.wrong(name, "a string" if key.type == "remark" else "a string that is not empty")
            return None
        if not key.pattern or key.type != "text" or re.fullmatch(key.pattern, value):
            return value
        if key.secret:
            self.problems.add((*self.path, name), f"{self.field(name)} must be {key.expected}")
        else:
            self.wrong(name, key.expected)
        return None

    def _texts(self, key: Key, name: str) -> tuple[str, ...] | None:
        """Return a list of strings, each once; where the type allows it, a single string counts as a list of one."""
        value = self.data[name]
        or_one = " or " in key.type
        if or_one and isinstance(value, str) and value:
            return (value,)
        expected = "a string or a list of strings" if or_one else "a list of strings"
        if not isinstance(value, list):
            self.wrong(name, expected)
            return None
        for index, item in enumerate(value):
            if not isinstance(item, str) or not item:
                wrong = f"{self.field(name)} must be {expected}; it holds {shown(item)}"
                self.problems.add((*self.path, name, index), wrong)
            elif key.pattern and not re.fullmatch(key.pattern, item):
                self.problems.add((*self.path, name, index), f"{self.field(name)}: {key.expected}")
        return tuple(dict.fromkeys(item for _, item in self.items(name)))

    def _requirements(self, key: Key, name: str) -> tuple[str, ...] | None:
        for index, text in self.items(name):
            fault = requirement_fault(text)
            if fault is not None:
                self.problems.add((*self.path, name, index), f"{self.field(name)}: {fault}")
        return self._texts(key, name)

    def _raw(self, key: Key, name: str) -> RawValue | None:
        text = self._text(key, name)
        return None if text is None else RawValue(text, (*self.path, name), self.field(name))

    def _raws(self, key: Key, name: str) -> tuple[RawValue, ...]:
        texts = self._texts(key, name)
        if key.required and texts == () and not self.data[name]:
            self.wrong(name, "a glob or a list of globs that is not empty")
        if isinstance(self.data[name], str):
            return tuple(RawValue(text, (*self.path, name), self.field(name)) for text in texts or ())
        return tuple(RawValue(text, (*self.path, name, index), self.field(name)) for index, text in self.items(name))

    def _choice(self, key: Key, name: str) -> str | None:
        value = self._text(key, name)
        if value is None or value in key.choices:
            return value
        hint = self.problems.hint(value, key.choices, listed=key.required)
        where = f"in {self.title}" if self.title else "at the top level"
        what = f"unknown {name} '{printable(value, limit=80)}'"
        self.problems.add((*self.path, name), f"{what} {where}; {hint}")
        return None

    def _number(self, _key: Key, name: str) -> float | None:
        number = _positive(self.data[name])
        if number is None:
            self.wrong(name, "a positive number")
        return number

    def _duration(self, _key: Key, name: str) -> float | None:
        """Return seconds; written with units, or as a number of seconds."""
        value = self.data[name]
        length = durations.seconds(value) if isinstance(value, str) else _positive(value)
        if length is not None and length <= durations.MOST:
            return length
        self.wrong(name, durations.EXPECTED if length is None else "at most 100 years")
        return None

    def _count(self, _key: Key, name: str) -> int | None:
        value = self.data[name]
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31:
            return value
        self.wrong(name, "a whole number, 1 or more")
        return None

    _readers: ClassVar[Mapping[str, Callable[[Table, Key, str], Any]]] = {
        "version": lambda table, _key, name: table.data[name],
        "text": _text,
        "remark": _text,
        "choice": _choice,
        "number": _number,
        "count": _count,
        "duration": _duration,
        "texts": _texts,
        "text or texts": _texts,
        "requires": _requirements,
        "place": _raw,
        "name": _raw,
        "places": _raws,
        "place or places": _raws,
        "name or names": _raws,
        "vars": _variables,
        "table": _section,
        "tables": named,
    }


def _inner(key: Key) -> KeyTable:
    assert key.table is not None  # a key of one of the two types of tables has one
    return key.table


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0 < number < math.inf else None


def _holds_mark(value: object, keys: KeyTable, most: int = 8) -> bool:
    """Return whether a table, or one that is split off further, holds one of the marks."""
    if not isinstance(value, dict) or most == 0:
        return False
    return any(mark in value for mark in keys.marks or keys.accepted) or any(
        name not in keys.accepted and _holds_mark(inner, keys, most - 1) for name, inner in value.items()
    )
