"""`{name}` in paths: its value on a machine, within limits, or why it has none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

from sage_doctor.manifest.names import BUILT_IN
from sage_doctor.text import join_limited, printable

MOST_LENGTH = 4096  # variables of variables could double in length at each step
MOST_DEPTH = 32

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class Unresolved(Exception):
    """A text cannot be filled in; the message says why.

    `local_only`: it may work on another machine. `word`: the unknown name to suggest another for. `reported`: the
    cause is reported already. `spreads`: more than one variable is at fault.
    """

    def __init__(
        self, message: str, *, local_only: bool = False, word: str = "", reported: bool = False, spreads: bool = False
    ) -> None:
        super().__init__(message)
        self.local_only = local_only
        self.word = word
        self.reported = reported
        self.spreads = spreads


@dataclass
class Scope:
    """The variables as one machine sees them.

    `built_in` lacks those without a value here. `environ` and `tilde` (the running user's home) are None for a
    machine that is not this host. `set_elsewhere` names, for variables only other machines set, those machines.
    `host_known` is false where it is already reported that this host could not be matched.
    """

    variables: Mapping[str, str]
    built_in: Mapping[str, str]
    environ: Mapping[str, str] | None = None
    tilde: str | None = None
    set_elsewhere: Mapping[str, list[str]] = field(default_factory=dict)
    machine: str | None = None
    this_host: bool = True
    host_known: bool = True
    _values: dict[str, str] = field(default_factory=dict)
    _broken: dict[str, Unresolved] = field(default_factory=dict)

    def known(self) -> Iterator[str]:
        """Give every name that may be written between braces on some machine."""
        return chain(BUILT_IN, self.variables, self.set_elsewhere)

    def expand(self, text: str) -> str:
        """Return `text` with `~` and every variable filled in. Raises `Unresolved`."""
        return self._expand(text, ())

    def check(self, name: str) -> None:
        """Fill in the variable `name` for its own sake. Raises `Unresolved` where its text is wrong on any machine."""
        with suppress(Unresolved):
            self._variable(name, ())
        cause = self._broken.get(name)
        if cause is not None and not cause.reported:
            cause.reported = True
            raise Unresolved(str(cause), word=cause.word)

    def values(self, names: Iterable[str]) -> dict[str, str]:
        """Return those of the variables that have a value here."""
        found = {}
        for name in names:
            with suppress(Unresolved):
                found[name] = self._variable(name, ())
        return found

    def _expand(self, text: str, inside: tuple[str, ...]) -> str:
        parts = []
        rest = text
        if text.startswith("~"):
            parts.append(self._tilde(text))
            rest = text[1:]
        length = 0
        for match in _PART.finditer(rest):
            whole = match.group()
            if whole in ("{{", "}}"):
                parts.append(whole[0])
            elif whole in ("{", "}"):
                raise Unresolved(
                    f"'{whole}' without its counterpart; a brace in the path itself is written '{whole * 2}'"
                )
            elif match.group(1) is not None:
                parts.append(self._value(match.group(1), inside))
            else:
                parts.append(whole)
            length += len(parts[-1])
            if length > MOST_LENGTH:
                raise Unresolved(f"it is longer than {MOST_LENGTH} characters once its variables are filled in")
        return "".join(parts)

    def _tilde(self, text: str) -> str:
        if text != "~" and not text.startswith("~/"):
            user = printable(text.partition("/")[0], limit=40)
            raise Unresolved(f"'{user}' is not filled in: write '~/…' for your own home, or the whole path")
        if self.tilde is None:
            raise Unresolved("'~' is known only on that machine", local_only=True)
        return self.tilde

    def _value(self, name: str, inside: tuple[str, ...]) -> str:
        if name.startswith("env:"):
            return self._environment(name[4:])
        if name in self.built_in:
            return self.built_in[name]
        if name in self.variables:
            return self._variable(name, inside)
        shown = printable(name, limit=80)
        if name in BUILT_IN:
            why = "no [machines] table matches this host; set SAGE_MACHINE"
            if not self.this_host:
                why = f"{self._host()} states no home"
            raise Unresolved(f"'{{{shown}}}' has no value: {why}", local_only=True, reported=not self.host_known)
        if name in self.set_elsewhere:
            raise self._elsewhere(name)
        raise Unresolved(f"unknown variable '{shown}'", word=name)

    def _elsewhere(self, name: str) -> Unresolved:
        machines = self.set_elsewhere[name]
        which = f"machine{'s' if len(machines) > 1 else ''} {join_limited(machines)}"
        return Unresolved(
            f"variable '{name}' is set for {which} but not for {self._host()}{self._advice()}",
            local_only=True,
            reported=not self.host_known,
        )

    def _host(self) -> str:
        shown = printable(self.machine) if self.machine is not None else "none"
        return f"this host (matched: {shown})" if self.this_host else f"machine {shown}"

    def _advice(self) -> str:
        if not self.this_host:
            return "; add it to its vars"
        return "; set SAGE_MACHINE or add it" if self.machine is None else "; add it to its vars or to [vars]"

    def _environment(self, name: str) -> str:
        shown = printable(name, limit=80)
        if not name or "=" in name:
            raise Unresolved("'{env:}' needs the name of an environment variable: '{env:NAME}'")
        if self.environ is None:
            raise Unresolved(f"environment variable '{shown}' is known only on that machine", local_only=True)
        if name not in self.environ:
            raise Unresolved(f"environment variable '{shown}' is not set", local_only=True)
        return self.environ[name]

    def _variable(self, name: str, inside: tuple[str, ...]) -> str:
        if name in self._values:
            return self._values[name]
        if name in self._broken:
            raise Unresolved(f"variable '{name}' has no value", reported=True)
        if name in inside:
            cycle = " -> ".join((*inside[inside.index(name) :], name))
            raise Unresolved(f"variables refer to each other in a cycle: {printable(cycle, limit=200)}", spreads=True)
        if len(inside) >= MOST_DEPTH:
            raise Unresolved(f"variables inside variables more than {MOST_DEPTH} deep", spreads=True)
        try:
            value = self._expand(self.variables[name], (*inside, name))
        except Unresolved as cause:
            if not cause.local_only:
                self._broken[name] = cause
            if cause.local_only or cause.spreads or not inside:
                raise
            raise Unresolved(str(cause), reported=True) from cause
        self._values[name] = value
        return value
