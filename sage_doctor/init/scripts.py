"""The code below a directory, read but never run: which scripts load models, and which models and homes they name."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sage_doctor.readers.python_source import parse_file
from sage_doctor.system.path_info import UnreadableFile, read_start
from sage_doctor.system.walk import Walk

MOST_DIRECTORIES: Final = 20_000
MOST_SCRIPTS: Final = 20_000
MOST_PARSED: Final = 500
_MOST_BYTES: Final = 1 << 20
_MOST_TEXT: Final = 1024
_CODE: Final = (".py", ".sh", ".bash", ".zsh", ".service", ".plist")
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages", "blobs", "snapshots"})
_HOME: Final = re.compile(rb"(?<![\w.~/-])(?:/home|/Users)/([A-Za-z_][A-Za-z0-9_.-]{0,31})(?=/)")
# Home directories in examples and container images, which belong to nobody.
_PLACEHOLDERS: Final = frozenset(
    {"user", "username", "you", "your", "yourname", "name", "me", "someone", "example", "Shared"}
)


@dataclass(frozen=True, kw_only=True)
class Script:
    """A Python script that loads models.

    `starts` says that it is meant to be run, not imported. `texts` are its strings without docstrings;
    `loaded` those in calls of `from_pretrained`.
    """

    path: Path
    starts: bool
    texts: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mention:
    """The first file and line in which a home directory is named."""

    home: str
    file: Path
    line: int


@dataclass(kw_only=True)
class Code:
    """What was read. `unreadable` directories could not be listed; `truncated` says that a limit ended the search."""

    scripts: list[Script] = field(default_factory=list)
    homes: dict[str, Mention] = field(default_factory=dict)
    unreadable: list[Path] = field(default_factory=list)
    truncated: bool = False


def read_code(roots: Iterable[Path]) -> Code:
    """Return what the code at and below `roots` says. Bounded; links to directories are not followed."""
    code = Code()
    parsed = 0
    for number, path in enumerate(_files(roots, code)):
        if number >= MOST_SCRIPTS:
            code.truncated = True
            break
        try:
            raw = read_start(path, _MOST_BYTES)
        except UnreadableFile:
            continue
        for match in _HOME.finditer(raw):
            home = match[0].decode("ascii")
            if match[1].decode("ascii") not in _PLACEHOLDERS and home not in code.homes:
                code.homes[home] = Mention(home=home, file=path, line=raw.count(b"\n", 0, match.start()) + 1)
        if path.suffix == ".py" and (b"from_pretrained" in raw or b"pipeline(" in raw):
            if parsed >= MOST_PARSED:
                code.truncated = True
                continue
            parsed += 1
            script = _script(path, shebang=raw.startswith(b"#!"))
            if script is not None:
                code.scripts.append(script)
    return code


def _files(roots: Iterable[Path], code: Code) -> Iterator[Path]:
    walk = Walk(roots=list(roots), most_directories=MOST_DIRECTORIES)
    for listing in walk.listings():
        if listing.problem:
            code.unreadable.append(Path(listing.path))
        if "pyvenv.cfg" in listing.names:
            listing.below.clear()
            continue
        listing.below = [e for e in listing.below if not e.name.startswith(".") and e.name not in _SKIPPED]
        yield from (Path(e.path) for e in listing.files if e.name.endswith(_CODE) and _is_file(e))
    code.truncated = code.truncated or not walk.complete


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link loop
        return False


def _script(path: Path, *, shebang: bool) -> Script | None:
    """Return the facts of a script, None if it loads no model."""
    module = parse_file(path)
    if module is None:
        return None
    calls = [n for n in ast.walk(module) if isinstance(n, ast.Call) and _loads(n.func)]
    if not calls:
        return None
    said = {id(n.value) for n in ast.walk(module) if isinstance(n, ast.Expr)}  # documentation
    texts = [t for n in ast.walk(module) if id(n) not in said and (t := _text(n)) is not None]
    loaded = [t for c in calls for a in c.args[:1] if (t := _text(a)) is not None]
    return Script(
        path=path,
        starts=shebang or any(_is_main_guard(n) for n in module.body),
        texts=tuple(dict.fromkeys(texts)),
        loaded=tuple(dict.fromkeys(loaded)),
    )


def _loads(called: ast.expr) -> bool:
    if isinstance(called, ast.Attribute):
        return called.attr == "from_pretrained"
    return isinstance(called, ast.Name) and called.id == "pipeline"


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) <= _MOST_TEXT:
        return node.value
    return None


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.dump(node.test) and "__main__" in ast.dump(node.test)
