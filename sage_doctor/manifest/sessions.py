"""What sessions leave behind: `[heartbeats.X]` and `[state.X]`, as far as they concern this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sage_doctor.manifest.references import References
from sage_doctor.manifest.resolver import Resolver
from sage_doctor.manifest.tables import Table
from sage_doctor.manifest.watched import HeartbeatSpec, StateSpec


@dataclass(frozen=True)
class Sessions:
    """Reads both kinds of tables. `roles` are those of this machine, None where it has every one."""

    resolver: Resolver
    references: References
    roles: tuple[str, ...] | None

    def heartbeats(self, tables: Mapping[str, Table]) -> dict[str, HeartbeatSpec]:
        """Return the heartbeats of this machine by name."""
        found = {}
        for name, table in tables.items():
            values, ours = self._values(table)
            globs = [self.resolver.glob(value, needed=ours) for value in values.get("path", ())]
            if ours and "max_age" in values:
                found[name] = HeartbeatSpec(
                    name=name,
                    paths=tuple(text for text in globs if text is not None),
                    max_age_s=values["max_age"],
                    roles=values.get("roles"),
                    description=values.get("description"),
                    line=table.problems.lines.of(table.path),
                )
        return found

    def states(self, tables: Mapping[str, Table]) -> dict[str, StateSpec]:
        """Return the state files of this machine by name."""
        found = {}
        for name, table in tables.items():
            values, ours = self._values(table)
            place, numbered = values.get("path"), values.get("min_from_glob")
            path = self.resolver.path(place, needed=ours) if place is not None else None
            glob = self.resolver.glob(numbered, needed=ours) if numbered is not None else None
            if numbered is not None and "counter" not in table.data:
                table.problems.add(numbered.key, f"{numbered.label} needs a counter to compare with")
            if ours and path is not None:
                found[name] = StateSpec(
                    name=name,
                    path=path,
                    counter=values.get("counter"),
                    min_from_glob=glob,
                    roles=values.get("roles"),
                    description=values.get("description"),
                    line=table.problems.lines.of(table.path),
                )
        return found

    def _values(self, table: Table) -> tuple[dict[str, Any], bool]:
        """Return what a table says, and whether it concerns this machine."""
        values = table.read()
        self.references.check_roles(table)
        roles = values.get("roles")
        return values, roles is None or bool(set(roles) if self.roles is None else set(roles) & set(self.roles))
