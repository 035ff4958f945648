"""What is planned for one file: expressions with what takes their place, some certain, some for a person to judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sage_doctor.machine_paths.occurrence import Language, Occurrence

Span = tuple[int, int, int, int]
Import = tuple[str, str]  # a module and a name of it; an empty name stands for the module itself


@dataclass(frozen=True, kw_only=True)
class World:
    """What edits depend on besides the file: the manifest with its models, and what the sessions' machine has.

    `models` are the manifest's, by their real paths. `resolvable` says whether the sessions' Python has sage_doctor,
    `command` whether a shell finds it. `manifest` is the manifest's file, None where there is none.
    """

    directory: Path
    models: Mapping[Path, str] = field(default_factory=dict)
    resolvable: bool = True
    command: bool = False
    manifest: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A part of a file and what takes its place. `certain` is False for a suggestion.

    Positions are an occurrence's, unless `place` says otherwise: lines from 1, columns in characters from 0. `needs`
    are the imports it takes, `defines` the lines that a shell script needs at its top.
    """

    occurrence: Occurrence
    source: str
    needs: tuple[Import, ...] = ()
    defines: tuple[str, ...] = ()
    certain: bool = True
    place: Span | None = None

    @property
    def span(self) -> Span:
        """The part of the file that is replaced: first line and column, last line and the column behind it."""
        found = self.occurrence
        return self.place or (found.line, found.column, found.end_line, found.end_column)


@dataclass(frozen=True, kw_only=True)
class FileEdits:
    """What is to be done to one file. `raw` is what it held when this was planned; `obstacle` says why nothing is."""

    path: Path
    language: Language = "python"
    raw: bytes = b""
    edits: tuple[Edit, ...] = ()
    suggestions: tuple[Edit, ...] = ()
    left: int = 0
    obstacle: str = ""
