"""A machine that the manifest does not know yet: what its table needs, and the table itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from sage_doctor.init.draft import hostname_line
from sage_doctor.init.machines import this_host
from sage_doctor.manifest.quoting import key, string, strings
from sage_doctor.manifest.toml_lines import loads
from sage_doctor.system.frozen import frozen
from sage_doctor.system.location import foreign_home


@frozen
class NewMachine:
    """A table to be: `variables` are those that other machines set and this one lacks, with a value for here.

    Without `hostname` it is recognised by `SAGE_MACHINE` only.
    """

    name: str
    hostname: str | None
    roles: tuple[str, ...] = ()
    python: str | None = None
    home: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def table(self) -> str:
        """Return the table as TOML."""
        lines = [
            f"[machines.{key(self.name)}]",
            *([hostname_line(self.hostname)] if self.hostname is not None else []),
            f"roles = {strings(self.roles)}",
        ]
        lines += [f"home = {string(self.home)}"] if self.home else []
        lines += [f"python = {string(self.python)}"] if self.python else []
        lines += [f"vars.{key(name)} = {string(value)}" for name, value in self.variables.items()]
        return "\n".join(lines) + "\n"


@frozen
class Known:
    """What a manifest says of machines, whether or not it can be used on this host."""

    machines: Mapping[str, Mapping[str, Any]]
    roles: tuple[str, ...]
    variables: frozenset[str]

    @property
    def hosts(self) -> frozenset[str]:
        """The machines' names, and the hostnames by which they are recognised."""
        found = set(self.machines)
        for machine in self.machines.values():
            match = machine.get("match")
            named = match.get("hostname") if isinstance(match, dict) else None
            found |= {n for n in (named if isinstance(named, list) else [named]) if isinstance(n, str)}
        return frozenset(found)

    def suggested(self, home: Path) -> dict[str, str]:
        """Return the variables that only machines set, each with the first machine's value moved to this home."""
        found: dict[str, str] = {}
        for machine in self.machines.values():
            values = machine.get("vars")
            for name, value in values.items() if isinstance(values, dict) else ():
                if name not in self.variables and isinstance(value, str):
                    found.setdefault(name, _at_home(value, machine.get("home"), home))
        return found


def read_known(text: str) -> Known:
    """Return what the text of a manifest says. Raises `ValueError` where it is no TOML."""
    data = loads(text)
    machines, roles, variables = (
        t if isinstance(t := data.get(k), dict) else {} for k in ("machines", "roles", "vars")
    )
    return Known(
        machines={name: m for name, m in machines.items() if isinstance(m, dict)},
        roles=tuple(roles),
        variables=frozenset(variables),
    )


def proposed(known: Known, manifest: Path, environ: Mapping[str, str], home: Path) -> NewMachine:
    """Return the table to propose for this host: its own name, every role, and places below this home."""
    host = this_host(environ, home, manifest.parent, ())
    name = host.name
    while name in known.machines:
        name += "-2"
    return NewMachine(
        name=name,
        hostname=host.hostname,
        roles=known.roles,
        home=host.home if any(m.get("home") for m in known.machines.values()) else None,
        python=host.python,
        variables=known.suggested(home),
    )


def _at_home(value: str, theirs: object, home: Path) -> str:
    """Return a path below another machine's home as one below this home; any other as it is."""
    start = foreign_home(Path(value), home, [theirs] if isinstance(theirs, str) else [])
    return f"{home}{value[len(start) :]}" if start is not None else value
