"""What sessions leave behind: `[heartbeats.X]` and `[state.X]`, as far as they concern this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sage_doctor.manifest import keys
from sage_doctor.manifest.durations import EXPECTED
from sage_doctor.manifest.raw_models import RawValue, written
from sage_doctor.manifest.references import References
from sage_doctor.manifest.resolver import Resolver
from sage_doctor.manifest.tables import Table
from sage_doctor.manifest.watched import HeartbeatSpec, StateSpec


@dataclass(frozen=True)
class Sessions:
    """Reads both kinds of tables. `mine` are the roles of this machine, None where it has every one."""

    top: Table
    filler: Resolver
    references: References
    mine: tuple[str, ...] | None

    def heartbeats(self) -> dict[str, HeartbeatSpec]:
        """Return the heartbeats of this machine by name."""
        found = {}
        for name, table in self.top.named("heartbeats", keys.HEARTBEAT, "heartbeat").items():
            roles, ours = self._roles(table)
            self._require(table, "path", "a glob of the files that sessions write")
            self._require(table, "max_age", EXPECTED)
            globs = [self.filler.glob(value, needed=ours) for value in _each(table, "path")]
            max_age = table.duration("max_age")
            description = table.text("description", empty=True)
            if ours and max_age is not None:
                found[name] = HeartbeatSpec(
                    name=name,
                    paths=tuple(text for text in globs if text is not None),
                    max_age_s=max_age,
                    roles=roles,
                    description=description,
                    line=table.problems.lines.of(table.path),
                )
        return found

    def states(self) -> dict[str, StateSpec]:
        """Return the state files of this machine by name."""
        found = {}
        for name, table in self.top.named("state", keys.STATE, "state").items():
            roles, ours = self._roles(table)
            self._require(table, "path", "the JSON file that sessions hand on")
            place, numbered = written(table, "path"), written(table, "at_least")
            path = self.filler.path(place, needed=ours) if place is not None else None
            at_least = self.filler.glob(numbered, needed=ours) if numbered is not None else None
            counter = table.text("counter")
            if counter is not None and not all(counter.split(".")):
                table.wrong("counter", "the names that lead to a number, with dots between them")
            if counter is None and "at_least" in table.data and "counter" not in table.data:
                table.problems.add(
                    (*table.path, "at_least"), f"{table.field('at_least')} needs a counter to compare with"
                )
            description = table.text("description", empty=True)
            if ours and path is not None:
                found[name] = StateSpec(
                    name=name,
                    path=path,
                    counter=counter,
                    at_least=at_least,
                    roles=roles,
                    description=description,
                    line=table.problems.lines.of(table.path),
                )
        return found

    def _roles(self, table: Table) -> tuple[tuple[str, ...] | None, bool]:
        """Return the roles a table lists, and whether it concerns this machine."""
        roles = self.references.named_roles(table)
        return roles, roles is None or bool(set(roles) if self.mine is None else set(roles) & set(self.mine))

    @staticmethod
    def _require(table: Table, key: str, what: str) -> None:
        if key not in table.data:
            table.problems.add(table.path, f"{table.title} has no {key}: {what}")


def _each(table: Table, key: str) -> Iterator[RawValue]:
    """Give the strings of a key that holds one string or a list of them; notes what is neither, and an empty list."""
    texts = table.texts(key, or_one=True)
    if table.data.get(key) == []:
        table.wrong(key, "a glob or a list of globs that is not empty")
    if isinstance(table.data.get(key), str):
        yield from (RawValue(text, (*table.path, key), table.field(key)) for text in texts or ())
    for index, text in table.items(key):
        yield RawValue(text, (*table.path, key, index), table.field(key))
