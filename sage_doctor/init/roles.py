"""Scripts that start sessions, gathered into roles: which they are, and which models they name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import Final

from sage_doctor.init.names import identifying_tail, name_of
from sage_doctor.init.scripts import Script
from sage_doctor.readers.tree import read_tree
from sage_doctor.subjects.model import Model

MOST_ROLES: Final = 8
MOST_RUNNERS: Final = 20
_RUNS: Final = re.compile(r"(?:^|_)(?:run|session|sessions|serve|server|daemon|chat|agent|main|infer\w*)(?:_|\.py$)")
# Scripts that make models rather than hold sessions with them.
_MAKES: Final = re.compile(
    r"(?:test_|conftest|train|finetune|fine_tune|merge|convert|export|download|prepare|setup|build|eval|bench)"
)
_GENERIC: Final = frozenset({"scripts", "script", "bin", "src", "tools", "runners", "code", "app", "python", "."})
_NOT_SESSIONS: Final = frozenset({"test", "tests", "examples", "docs"})


@dataclass(frozen=True, kw_only=True)
class RoleFound:
    """A role to propose: `runners` are globs with their directory, `models` names; `sure` where scripts name them."""

    name: str
    runners: tuple[tuple[Path, str], ...]
    scripts: tuple[Path, ...]
    models: tuple[str, ...]
    sure: bool


def roles_of(
    scripts: Iterable[Script], roots: Sequence[Path], models: Mapping[str, Model], covered: frozenset[str]
) -> list[RoleFound]:
    """Return roles for the scripts that no role covers yet (`covered` holds real paths), the largest first."""
    meant = [s for s in scripts if s.starts and not _MAKES.match(s.path.name) and not _inside(s.path, roots)]
    runners = [s for s in meant if _RUNS.search(s.path.name)] or meant
    groups: dict[str, list[Script]] = {}
    for script in runners:
        if os.path.realpath(script.path) not in covered:
            groups.setdefault(_role_name(script.path, roots), []).append(script)
    largest = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))[:MOST_ROLES]
    return [_role(name, found, models) for name, found in largest]


def _inside(path: Path, roots: Sequence[Path]) -> bool:
    below = next((path.relative_to(r).parts for r in roots if path.is_relative_to(r)), path.parts)
    return any(part in _NOT_SESSIONS for part in below[:-1])


def _role_name(path: Path, roots: Sequence[Path]) -> str:
    """Return the name of the nearest directory without a generic name: `raising` for sage/raising/scripts."""
    root = next((r for r in roots if path.is_relative_to(r)), path.parent)
    parts = path.parent.relative_to(root).parts if path.is_relative_to(root) else ()
    return name_of(next((p for p in reversed(parts) if p.lower() not in _GENERIC), "sessions"))


def _role(name: str, scripts: list[Script], models: Mapping[str, Model]) -> RoleFound:
    directories: dict[Path, list[str]] = {}
    for script in scripts:
        directories.setdefault(script.path.parent, []).append(script.path.name)
    named = list(dict.fromkeys(n for s in scripts for n in models_named(s, models)))
    return RoleFound(
        name=name,
        runners=tuple((d, g) for d, names in directories.items() for g in _globs(d, sorted(names))),
        scripts=tuple(s.path for s in scripts),
        models=tuple(_without_bases(named, models)),
        sure=bool(named),
    )


def _globs(directory: Path, names: list[str]) -> list[str]:
    """Return one glob for files with a common prefix if it matches no other script; else the names themselves."""
    stems = [n.split("_") for n in names]
    alike = takewhile(lambda parts: len(set(parts)) == 1, zip(*stems, strict=False))
    start = "_".join(parts[0] for parts in alike)
    if len(names) > 1 and start:
        glob = f"{start}_*.py"
        there = {n for n in read_tree(directory).names if fnmatchcase(n, glob)}
        if there <= set(names):
            return [glob]
    return names[:MOST_RUNNERS]


def models_named(script: Script, models: Mapping[str, Model]) -> list[str]:
    """Return the models that a script's strings name: by repository, by path, or by the end of a path that fits one."""
    found: dict[str, None] = {}
    for text in script.texts:
        repository = next((n for n, m in models.items() if m.reference.hub == text), None)
        if repository is not None:
            found[repository] = None
            continue
        parts = [p for p in text.split("/") if p not in ("", ".", "..", "~")]
        fits = [(k, n) for n, m in models.items() if m.reference.path and (k := _shared_tail(parts, m.path))]
        best = [n for k, n in fits if k == max(fits)[0]]
        if len(best) == 1:
            found[best[0]] = None
    return list(found)


def _shared_tail(parts: list[str], path: Path) -> int:
    """Return how many trailing parts a text and a model's path share, 0 if they do not identify the model."""
    same = 0
    for one, other in zip(reversed(parts), reversed(path.parts), strict=False):
        if one != other:
            break
        same += 1
    tail = identifying_tail(path)
    if same >= len(tail) and (same > 1 or _is_distinctive(tail[0])):
        return same
    return 1 if parts == [tail[0]] and _is_distinctive(tail[0]) else 0


def _is_distinctive(word: str) -> bool:
    """Return whether a word alone looks like a model's name, not like an ordinary word."""
    return len(word) > 3 and any(c in "-_.0123456789" for c in word)


def _without_bases(names: list[str], models: Mapping[str, Model]) -> list[str]:
    """Return the models without the bases that others of them are loaded onto."""
    bases = {id(models[n].base.model) for n in names if models[n].kind == "adapter"}
    return [n for n in names if id(models[n]) not in bases]
