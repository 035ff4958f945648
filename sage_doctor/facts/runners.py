"""The scripts that start sessions: which files a role's globs match, and the absolute paths a run would use.

Only Python is read for paths, by its syntax tree. Docstrings are left out, and so is a path that the script itself
asks about first (`exists`, a comparison): that is how a script tells which machine it is on.
"""

from __future__ import annotations

import ast
import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.readers.python_source import parse_file
from sage_doctor.readers.regular import UnreadableFile, look, read_start

MOST_RUNNERS = 1000
MOST_PATH = 4096
_ABSOLUTE = re.compile(r"^/[^/\s\0][^\s\0]*/[^\0]*$")
_QUESTIONS = frozenset({"exists", "is_dir", "is_file", "isdir", "isfile", "startswith", "endswith", "match"})


@dataclass(frozen=True, kw_only=True)
class PathLiteral:
    """An absolute path written in a script, and its line."""

    text: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Runner:
    """One script. `parsed` is False where its paths could not be read; `crlf` where its first line ends in CR LF."""

    path: Path
    parsed: bool
    crlf: bool
    literals: tuple[PathLiteral, ...] = ()


def find_runners(pattern: str, directory: Path) -> list[Path]:
    """Return the regular files that a glob matches below `directory` (or anywhere, where it is absolute), sorted."""
    matches = sorted(glob.iglob(pattern, root_dir=directory, recursive=True))[:MOST_RUNNERS]
    return [p for m in matches if look(p := directory / m).kind == "file"]


def read_runner(path: Path) -> Runner:
    """Return the facts of one script. Never raises for what it holds, and runs nothing."""
    try:
        first = read_start(path, 4096).split(b"\n", 1)[0]
    except UnreadableFile:
        return Runner(path=path, parsed=False, crlf=False)
    crlf = first.startswith(b"#!") and first.endswith(b"\r")
    python = path.suffix == ".py" or (first.startswith(b"#!") and b"python" in first)
    module = parse_file(path) if python else None
    if module is None:
        return Runner(path=path, parsed=False, crlf=crlf)
    return Runner(path=path, parsed=True, crlf=crlf, literals=tuple(_literals(module)))


def _literals(module: ast.Module) -> Iterator[PathLiteral]:
    asked = {id(n) for node in ast.walk(module) if _is_no_use(node) for n in ast.walk(node)}
    for node in ast.walk(module):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in asked:
            continue
        if len(node.value) < MOST_PATH and _ABSOLUTE.match(node.value):
            yield PathLiteral(text=node.value, line=node.lineno)


def _is_no_use(node: ast.AST) -> bool:
    """Whether text below this node is documentation, or a question about the machine, rather than a path to use."""
    if isinstance(node, ast.Compare):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in _QUESTIONS
