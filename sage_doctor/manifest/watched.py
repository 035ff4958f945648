"""The files of sessions that are watched: heartbeats and state files."""

from __future__ import annotations

from pathlib import Path

from sage_doctor.system.frozen import frozen


@frozen
class HeartbeatSpec:
    """One `[heartbeats.X]` table: what sessions leave behind, and how old the newest of it may be, in seconds.

    `paths` are globs with variables filled in, relative ones to the manifest's directory. `roles` is None where the
    table concerns every machine.
    """

    name: str
    paths: tuple[str, ...]
    max_age_s: float
    roles: tuple[str, ...] | None = None
    description: str | None = None
    line: int = 0

    def concerns(self, role: str) -> bool:
        """Return whether it is about sessions of that role."""
        return self.roles is None or role in self.roles


@frozen
class StateSpec:
    """One `[state.X]` table: a JSON file that sessions hand on.

    `counter` is the dotted path of a number in it that only grows. `min_from_glob` is a glob of numbered files: the
    counter must not be below the highest of their numbers. `roles` is None where the table concerns every machine.
    """

    name: str
    path: Path
    counter: str | None = None
    min_from_glob: str | None = None
    roles: tuple[str, ...] | None = None
    description: str | None = None
    line: int = 0

    def concerns(self, role: str) -> bool:
        """Return whether it is about sessions of that role."""
        return self.roles is None or role in self.roles
