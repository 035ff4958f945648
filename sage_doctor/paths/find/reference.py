"""What the readers of scripts find: a path, where it stands, and what it is there for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# `use`: a run takes it. `fallback`: a run takes it where nothing else was said (a default). The others are no use.
Context = Literal["use", "fallback", "detection", "documentation", "data"]
# How it is written, which decides whether it can be written otherwise by a program.
ReferenceForm = Literal["literal", "joined", "prefix", "f-string", "format", "bytes", "argparse", "embedded", "words"]
Value = Literal["str", "Path", "bytes"]
Language = Literal["python", "shell", "unit", "crontab", "plist", "configuration", "dockerfile", "text", "unknown"]

USED: frozenset[Context] = frozenset({"use", "fallback"})


@dataclass(frozen=True, kw_only=True)
class PathReference:
    """A path as a file names it. Lines count from 1, columns are characters and count from 0.

    `text` is the path with constant parts put together; of a text that goes on at run time it is the constant start.
    `key` is the directive of a unit or the key of a configuration, empty elsewhere.
    """

    text: str
    line: int
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    context: Context = "use"
    form: ReferenceForm = "words"
    value: Value = "str"
    key: str = ""

    @property
    def used(self) -> bool:
        """Whether a run would really take this path."""
        return self.context in USED


@dataclass(frozen=True, kw_only=True)
class Script:
    """One file. `problem` says why its paths are not known, or not for certain; it is empty where they are.

    `interpreter` is the first line's program, `asked` the program that `env` is to look for. `crlf` where the first
    line ends in CR LF.
    """

    path: Path
    language: Language
    problem: str = ""
    crlf: bool = False
    executable: bool = False
    interpreter: str | None = None
    asked: str | None = None
    occurrences: tuple[PathReference, ...] = ()
