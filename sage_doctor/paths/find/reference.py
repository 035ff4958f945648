"""A reference: a path as a file names it, where it stands, and what it is used for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sage_doctor.system.frozen import frozen

# `use`: a run uses it. `fallback`: a run uses it if nothing else is given (a default). The others are not used.
UsageKind = Literal["use", "fallback", "detection", "documentation", "data"]
# How it is written, which decides whether a program can rewrite it.
# `computed`: from the user's home or the file's own place, so it is right on every machine that has it.
ReferenceForm = Literal[
    "computed", "literal", "joined", "prefix", "f-string", "format", "bytes", "argparse", "embedded", "words"
]
# `needed`: a run fails without it. `created`: a run makes it itself. `optional`: a run looks first, or goes on without
# it. `unknown`: the file does not say.
Need = Literal["needed", "created", "optional", "unknown"]
ValueType = Literal["str", "Path", "bytes"]
Language = Literal[
    "python", "shell", "notebook", "unit", "crontab", "plist", "configuration", "dockerfile", "text", "unknown"
]

USED: frozenset[UsageKind] = frozenset({"use", "fallback"})


def are_opposite(one: str, other: str) -> bool:
    """Whether one of two conditions holds in any case."""
    return any(b in (f"not {a}", f"not ({a})", f"! {a}") for a, b in ((one, other), (other, one)))


@frozen
class PathReference:
    """A path as a file names it. Lines count from 1, columns are characters and count from 0.

    `text` is the path with constant parts joined; of a text that continues at run time it is the constant start.
    `key` is the directive of a unit or the key of a configuration, empty elsewhere. `need` is only asked for paths that
    do not exist. `condition` is that of the only branch that uses it, in the script's own words, where only a run
    decides it.
    """

    text: str
    line: int
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    usage: UsageKind = "use"
    form: ReferenceForm = "words"
    value_type: ValueType = "str"
    key: str = ""
    need: Need = "unknown"
    condition: str = ""

    @property
    def used(self) -> bool:
        """Whether a run would really use this path."""
        return self.usage in USED

    def complements(self, other: PathReference) -> bool:
        """Return whether a run that does not meet this one's condition meets the other's, and the other way round."""
        return are_opposite(self.condition, other.condition)


@frozen
class Script:
    """One file and its references. `problem` says why its paths are unknown or uncertain; empty if they are certain.

    `interpreter` is the program of the first line, `env_program` the one that `env` is to find. `crlf` is True if the
    first line ends in CR LF, and `crlf_lines` if most lines of a shell script do. `hostname` is the one that a test at
    the top of the file, or a unit, asks for; `user` is whom a unit runs as. `configurations` are the names of
    configuration files in the text.
    """

    path: Path
    language: Language
    problem: str = ""
    crlf: bool = False
    crlf_lines: bool = False
    executable: bool = False
    interpreter: str | None = None
    env_program: str | None = None
    references: tuple[PathReference, ...] = ()
    hostname: str = ""
    user: str = ""
    configurations: tuple[str, ...] = ()
