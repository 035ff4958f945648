"""What a key of the manifest is: the classes of the tables in `keys` and `model_keys`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

# `place` is a text that may hold variables, `name` the name of another table; both are read with their line.
Type = Literal[
    "version", "text", "remark", "choice", "number", "count", "duration", "texts", "text or texts", "requires",
    "place", "places", "place or places", "name", "name or names", "vars", "table", "tables",
]  # fmt: skip


@dataclass(frozen=True)
class Key:
    """One key: its type, what it means (Markdown), an example, and its value when nothing is written.

    `per_machine` says that `[machines.X]` (`[machines.X.models.Y]` for a model) may set it as well. `only` names the
    models that have it: those in a directory, or services. `required` is set for a key that must be there; it says
    what to write. `pattern` is what the whole text must look like, `expected` the same in words; of a place it
    need only occur, and only editors look: the parser judges the text with its variables filled in. `secret` keeps the
    value out of messages. `old` is the key's former name, which works for one more release.
    """

    name: str
    type: Type
    about: str
    example: Any = None
    default: Any = None
    per_machine: bool = False
    only: Literal["directory", "service"] | None = None
    required: str = ""
    choices: tuple[str, ...] = ()
    pattern: str = ""
    expected: str = ""
    secret: bool = False
    old: str = ""
    table: KeyTable | None = None


@dataclass(frozen=True)
class KeyTable:
    """The keys of one table. `marks` are those that tell it from a part of a dotted name; all of them by default."""

    header: str
    noun: str
    keys: tuple[Key, ...]
    marks: tuple[str, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the keys."""
        return tuple(key.name for key in self.keys)

    @cached_property
    def accepted(self) -> Collection[str]:
        """The names that may be written: the former ones as well."""
        return frozenset((*self.names, *(key.old for key in self.keys if key.old)))

    def key(self, name: str) -> Key:
        """Return the key of that name."""
        return self.keys[self.names.index(name)]
