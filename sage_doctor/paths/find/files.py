"""The files that a manifest's globs match: git's files in a checkout, otherwise those of a bounded walk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from sage_doctor.system.git import git
from sage_doctor.system.globbing import glob_pattern
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.walk import Walk

MOST_FILES = 20_000
_LOG_DEADLINE_S = 5.0
# Never read, whatever the globs say.
EXCLUDED_DIRECTORIES = frozenset(
    {".git", ".hg", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".mypy_cache", "site-packages"}
)


def find_files(directory: Path, globs: Iterable[str], ignore: Iterable[str]) -> tuple[list[Path], bool]:
    """Return the files below `directory` that a glob and no `ignore` matches, and whether these are all.

    Files that git ignores are left out if the directory is in a checkout and git is installed.
    """
    wanted = [glob_pattern(g) for g in globs]
    unwanted = [glob_pattern(g) for g in ignore]
    found: list[Path] = []
    listed = _listed_by_git(directory)
    for name in _walked(directory) if listed is None else listed:
        if any(p.fullmatch(name) for p in wanted) and not any(p.fullmatch(name) for p in unwanted):
            if len(found) == MOST_FILES:
                return found, False
            found.append(directory / name)
    return sorted(p for p in found if inspect_path(p).kind == "file"), True


def _listed_by_git(directory: Path) -> list[str] | None:
    """Return the names that git tracks or would track; None outside a checkout or without git."""
    if not any((upper / ".git").exists() for upper in (directory, *directory.parents)):
        return None
    done = git(["ls-files", "-z", "--cached", "--others", "--exclude-standard"], directory)
    if done is None or done.code != 0:
        return None
    machine_names = [os.fsdecode(n) for n in done.out.split(b"\0") if n]
    return sorted({n for n in machine_names if not EXCLUDED_DIRECTORIES & set(n.split("/"))})


def repository(path: Path) -> Path | None:
    """Return the top of the checkout that a file lies in."""
    return next((upper for upper in path.parents if (upper / ".git").exists()), None)


def uncommitted(top: Path, files: Iterable[Path], *, but: Iterable[Path] = ()) -> list[str] | None:
    """Return the files with uncommitted changes in a checkout, and those of `files` that git does not track.

    Files in `but` do not count. None if git fails.
    """
    machine_names = [os.path.relpath(f, top) for f in files]
    ignored = {os.path.relpath(f, top) for f in but}
    status = ("diff", "--name-only", "-z", "HEAD", "--")
    other_roots = ("ls-files", "-z", "--others", "--", *(f":(literal){n}" for n in machine_names))
    found: list[str] = []
    for command in (status, other_roots):
        done = git(command, top)
        if done is None or done.code != 0:
            return None
        found += [os.fsdecode(n) for n in done.out.split(b"\0") if n]
    return [n for n in dict.fromkeys(found) if n not in ignored]


def removal_commit(directory: Path, path: Path) -> str | None:
    """Return the commit that removed a path from the checkout at `directory`; None if git knows none."""
    if not path.is_relative_to(directory):
        return None
    name = os.path.relpath(path, directory)
    log = ("log", "-1", "--format=%h", "--diff-filter=D", "--", f":(literal){name}")
    done = git(log, directory, timeout_s=_LOG_DEADLINE_S)
    said = done.text.strip() if done is not None and done.code == 0 else ""
    return said if re.fullmatch(r"[0-9a-f]{4,64}", said) else None


def _walked(directory: Path) -> Iterator[str]:
    for listing in Walk(roots=[directory]).listings():
        listing.below = [e for e in listing.below if e.name not in EXCLUDED_DIRECTORIES]
        yield from (os.path.relpath(e.path, directory) for e in listing.files)
