"""What is planned for one file: expressions with what takes their place, some certain, some for a person to judge."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sage_doctor.paths.find.path_map import ClassifiedPath
from sage_doctor.paths.find.reference import Language, PathReference

Span = tuple[int, int, int, int]
UNQUOTED_PATH = re.compile(r"[\w./+@:,=-]+")  # a path that every shell takes for one word
Import = tuple[str, str]  # a module and a name of it; an empty name stands for the module itself


@dataclass(frozen=True, kw_only=True)
class RewriteContext:
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

    Positions are an occurrence's, unless `own_span` says otherwise: lines from 1, columns in characters from 0. `needs`
    are the imports it takes, `defines` the lines that a shell script needs at its top.
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


@dataclass(frozen=True, kw_only=True)
class FileEdits:
    """What is to be done to one file. `raw` is what it held when this was planned; `obstacle` says why nothing is."""

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
    """Return what a path leads to on this machine, below its root's real path; None where it leads nowhere."""
    if classified.target is None or classified.local_root is None:
        return None
    return Path(os.path.realpath(classified.local_root)) / os.path.relpath(classified.target, classified.local_root)


def root_in(reference: PathReference, target: Path, start: Path) -> str | None:
    """Return the beginning of a path's text that stands for `start`, where the rest leads from there to `target`."""
    below = target.relative_to(start).as_posix()
    text = reference.text.rstrip("/")
    root = text if below == "." else text.removesuffix("/" + below)
    return None if root == text and below != "." else root
