"""The code below directories, read once and never run: Python and shell scripts, systemd units, launchd jobs."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, read_start
from sage_doctor.system.walk import Walk

MOST_DIRECTORIES: Final = 20_000
MOST_FILES: Final = 20_000
_MOST_BYTES: Final = 1 << 20
SHELL: Final = (".sh", ".bash", ".zsh")
UNITS: Final = (".service", ".plist")
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages", "blobs", "snapshots"})
# What is kept for the record: nothing in it is started or loaded any more.
ARCHIVES: Final = frozenset(
    {
        "archive",
        "archives",
        "archived",
        "attic",
        "backup",
        "backups",
        "deprecated",
        "legacy",
        "obsolete",
        "old",
        "trash",
    }
)
_LOADS: Final = re.compile(rb"\bfrom_pretrained\b|\bpipeline\(|\bLLM\(")
_IMPORT: Final = re.compile(rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import|import[ \t]+([\w., \t]+))", re.MULTILINE)


@frozen
class PythonFile:
    """What is known of a Python file before it is parsed.

    `starts` says that it is meant to be run, not imported; `loads` that it calls what loads models. `imports` are the
    modules it names, with their dots.
    """

    path: Path
    starts: bool
    loads: bool
    imports: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Code:
    """What was read. `texts` are the shell scripts, units and jobs.

    `unreadable` directories could not be listed; `truncated` says that a limit ended the search. `remarks` tell people
    which scripts were left out.
    """

    python: dict[Path, PythonFile] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)
    unreadable: list[Path] = field(default_factory=list)
    truncated: bool = False
    remarks: list[str] = field(default_factory=list)

    @cached_property
    def by_name(self) -> dict[str, list[Path]]:
        """The Python files by the last name that they are imported or started by; a package by its own name."""
        found: dict[str, list[Path]] = defaultdict(list)
        for path in self.python:
            found[path.stem].append(path)
            if path.stem in ("__init__", "__main__"):
                found[path.parent.name].append(path)
        return found

    def module(self, dotted: str, importer: Path) -> Path | None:
        """Return the project's file of a module: the one whose path ends as its name, the nearest to who imports it."""
        parts = [p for p in dotted.split(".") if p]
        fits = [p for p in self.by_name.get(parts[-1] if parts else "", ()) if _ends(p, parts)]
        near = {p: (len(os.path.commonpath([p, importer])), -len(p.parts)) for p in fits}
        best = [p for p in fits if near[p] == max(near.values()) and p.stem != "__main__"]
        return best[0] if len(best) == 1 or (len(parts) > 1 and best) else None

    def script(self, words: str, *, module: bool = False) -> Path | None:
        """Return the Python file that a command line starts: by a path of any machine, or by a module's name."""
        if module:
            parts = words.split(".")
            fits = [p for p in self.by_name.get(parts[-1], ()) if _ends(p, parts) and p.stem != "__init__"]
            return fits[0] if len(fits) == 1 else None
        tail = [p for p in words.split("/") if p not in ("", ".", "..")]
        shared = {
            p: _same_tail(p.parts, tail) for p in self.by_name.get(tail[-1].removesuffix(".py") if tail else "", ())
        }
        best = [p for p, n in shared.items() if n and n == max(shared.values())]
        return best[0] if len(best) == 1 else None


def _ends(path: Path, parts: list[str]) -> bool:
    whole = (*path.parent.parts, path.stem) if path.stem not in ("__init__", "__main__") else path.parent.parts
    return list(whole[-len(parts) :]) == parts


def _same_tail(path: tuple[str, ...], tail: list[str]) -> int:
    same = 0
    for one, other in zip(reversed(path), reversed(tail), strict=False):
        if one != other:
            break
        same += 1
    return same


def read_code(roots: Iterable[Path]) -> Code:
    """Return the code at and below `roots`. Bounded; links to directories are not followed, archives not entered."""
    code = Code()
    for number, path in enumerate(_files(roots, code)):
        if number >= MOST_FILES:
            code.truncated = True
            break
        try:
            raw = read_start(path, _MOST_BYTES)
        except UnreadableFile:
            continue
        if path.suffix == ".py":
            code.python[path] = PythonFile(
                path=path,
                starts=raw.startswith(b"#!") or b"__main__" in raw,
                loads=_LOADS.search(raw) is not None,
                imports=tuple(_imports(raw)),
            )
        else:
            code.texts[path] = raw.decode("utf-8", "replace")
    return code


def _imports(raw: bytes) -> Iterator[str]:
    for match in _IMPORT.finditer(raw):
        names = match[1] or match[2]
        yield from (word.split(b" as ")[0].strip().decode("ascii", "replace") for word in names.split(b","))


def is_archive(path: Path, roots: Iterable[Path]) -> bool:
    """Whether a path below one of the roots lies in a directory for what is no longer used."""
    below = next((path.relative_to(r).parts for r in roots if path.is_relative_to(r)), ())
    return any(part.lower() in ARCHIVES for part in below)


def _files(roots: Iterable[Path], code: Code) -> Iterator[Path]:
    walk = Walk(roots=list(roots), most_directories=MOST_DIRECTORIES)
    for listing in walk.listings():
        if listing.problem:
            code.unreadable.append(Path(listing.path))
        if "pyvenv.cfg" in listing.names:
            listing.below.clear()
            continue
        listing.below = [
            e
            for e in listing.below
            if not e.name.startswith(".") and e.name not in _SKIPPED and e.name.lower() not in ARCHIVES
        ]
        yield from (Path(e.path) for e in listing.files if e.name.endswith((".py", *SHELL, *UNITS)) and _is_file(e))
    code.truncated = code.truncated or not walk.complete


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link loop
        return False
