"""The planned edits of one file: replacements that are certain, and suggestions for a person to judge."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from sage_doctor.paths.find.path_map import ClassifiedPath
from sage_doctor.paths.find.reference import Language, PathReference
from sage_doctor.system.frozen import frozen

Span = tuple[int, int, int, int]
UNQUOTED_PATH = re.compile(r"[\w./+@:,=-]+")  # a path that is one word in every shell
Import = tuple[str, str]  # a module and a name of it


@frozen
class RewriteContext:
    """What edits depend on besides the file: the manifest's models, and what is installed for the sessions.

    `models` are the manifest's, by their real paths. `resolvable` says whether the sessions' Python has sage_doctor,
    `command` whether a shell finds it. `manifest` is the manifest's file, None where there is none. `home` is the
    user's.
    """

    directory: Path
    models: Mapping[Path, str] = field(default_factory=dict)
    resolvable: bool = True
    command: bool = False
    manifest: Path | None = None
    home: Path | None = None


@frozen
class Edit:
    """A part of a file and its replacement. `certain` is False for a suggestion.

    Positions are an occurrence's, unless `own_span` says otherwise: lines from 1, columns in characters from 0. `needs`
    are the imports it requires, `defines` the lines that a shell script needs at its top.
    """

    reference: PathReference
    source: str
    needs: tuple[Import, ...] = ()
    defines: tuple[str, ...] = ()
    certain: bool = True
    own_span: Span | None = None

    @property
    def span(self) -> Span:
        """The part of the file that is replaced: first line and column, last line and the column behind it."""
        return self.own_span or span_of(self.reference)


@frozen
class FileEdits:
    """The edits of one file. `raw` is its content when they were planned; `obstacle` says why there are none."""

    path: Path
    language: Language = "python"
    raw: bytes = b""
    edits: tuple[Edit, ...] = ()
    suggestions: tuple[Edit, ...] = ()
    unresolved_count: int = 0
    obstacle: str = ""


def span_of(reference: PathReference) -> Span:
    """Return the part of the file that an occurrence is."""
    return (reference.line, reference.column, reference.end_line, reference.end_column)


def target_of(classified: ClassifiedPath) -> Path | None:
    """Return a path's target on this machine, below its root's real path; None if it has none."""
    if classified.target is None or classified.local_root is None:
        return None
    return Path(os.path.realpath(classified.local_root)) / os.path.relpath(classified.target, classified.local_root)


def root_in(reference: PathReference, target: Path, start: Path) -> str | None:
    """Return the part of a path's text that corresponds to `start`, if the rest leads from there to `target`."""
    below = target.relative_to(start).as_posix()
    text = reference.text.rstrip("/")
    root = text if below == "." else text.removesuffix("/" + below)
    return None if root == text and below != "." else root
