"""Roles: the scripts that start sessions, gathered by directory, with the models that their code names."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from sage_doctor.init.names import name_of
from sage_doctor.launchers.code import Code
from sage_doctor.launchers.source import Source
from sage_doctor.launchers.starters import Starter, homes_in
from sage_doctor.launchers.uses import ModelUse, models_loaded
from sage_doctor.system.frozen import frozen
from sage_doctor.system.small_text import read_text
from sage_doctor.text import join_limited, printable

MOST_ROLES: Final = 8
MOST_RUNNERS: Final = 20
MOST_PARSED: Final = 300
MOST_CANDIDATES: Final = 5
_RUNS: Final = re.compile(
    r"(?:^|_)(?:run|session|sessions|serve|server|daemon|chat|conversation|agent|main|infer\w*)(?:_|\.py$)"
)
# Scripts that make models rather than hold sessions with them.
_MAKES: Final = re.compile(
    r"(?:test_|conftest|train|finetune|fine_tune|merge|convert|export|download|prepare|setup|build|eval|bench|quantize)"
)
_GENERIC: Final = frozenset({"scripts", "script", "bin", "src", "tools", "runners", "code", "app", "python", "."})
_NOT_SESSIONS: Final = frozenset(
    {"test", "tests", "examples", "docs", "demo", "demos", "benchmarks", "experiments", "exploration", "research",
     "research-notes", "related-work", "tutorials", "notebooks", "forum", "sandbox"}
)  # fmt: skip


@frozen
class Launcher:
    """A script that starts sessions: what it loads, what starts it, and the homes that it names.

    `only` is the machine that it is named after.
    """

    path: Path
    uses: tuple[ModelUse, ...]
    machines: frozenset[str] = frozenset()
    only: str = ""
    is_started: bool = False
    homes: tuple[tuple[str, int], ...] = ()


@frozen
class RoleFound:
    """A role to propose: `runners` are globs with their directory, `models` names that the code leaves no doubt about.

    `candidates` are what it may be where the code does not say. `machines` are those whose units and scripts start it.
    """

    name: str
    runners: tuple[tuple[Path, str], ...]
    launchers: tuple[Launcher, ...]
    models: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()

    @property
    def machines(self) -> frozenset[str]:
        """The machines whose units and scripts start one of its scripts."""
        return frozenset().union(*(launcher.machines for launcher in self.launchers))


def find_launchers(
    code: Code, starters: Sequence[Starter], roots: Sequence[Path], home: Path, covered: frozenset[str]
) -> list[Launcher]:
    """Return the scripts that start sessions with models; `covered` holds the real paths of those that have a role."""
    names = {s.machine for s in starters} - {""}
    started: dict[Path, dict[tuple[tuple[str, str], ...], None]] = defaultdict(dict)
    machines: dict[Path, set[str]] = defaultdict(set)
    for starter in starters:
        for script, options in starter.started:
            started[script][options] = None
            machines[script] |= {starter.machine} - {""}
    meant = [p for p in code.python if _may_start(p, code, roots, started, machines)]
    named = [p for p in meant if p in started or _RUNS.search(p.name)] or meant
    found = []
    sources: dict[Path, Source | None] = {}
    asked = [p for p in named if os.path.realpath(p) not in covered]
    if len(asked) > MOST_PARSED:
        code.remarks.append(
            f"read {MOST_PARSED} of {len(asked):,} scripts that may start sessions, the others not: name narrower "
            "directories"
        )
    for path in asked[:MOST_PARSED]:
        uses = [
            use
            for options in started.get(path, {(): None})
            for use in models_loaded(path, code, home=home, roots=tuple(roots), options=dict(options), sources=sources)
        ]
        if uses:
            homes = homes_in(read_text(path, most=1 << 20) or "")
            own = next((n for n in sorted(names) if n.lower() in path.stem.lower().split("_")), "")
            found.append(
                Launcher(
                    path=path,
                    uses=tuple(dict.fromkeys(uses)),
                    machines=frozenset({own} if own else machines[path]),
                    only=own,
                    is_started=path in started,
                    homes=tuple(homes),
                )
            )
    broken = [printable(p.name, limit=100) for p in asked[:MOST_PARSED] if p in sources and sources[p] is None]
    if broken:
        code.remarks.append(f"left out, not valid Python: {join_limited(broken, most=3)}")
    return found


def _may_start(
    path: Path, code: Code, roots: Sequence[Path], started: Mapping[Path, object], machines: Mapping[Path, object]
) -> bool:
    """Whether a file is one that people start, to hold sessions, with a model that it or what it imports loads."""
    script = code.python[path]
    below = next((path.relative_to(r).parts for r in roots if path.is_relative_to(r)), path.parts)[:-1]
    aside = any(part.lower() in _NOT_SESSIONS for part in below) and not machines.get(path)
    if aside or _MAKES.match(path.name) or not (script.starts or path in started):
        return False
    imported = (code.module(name, path) for name in script.imports)
    return script.loads or any(code.python[p].loads for p in imported if p is not None)


def roles_of(launchers: Iterable[Launcher], code: Code, roots: Sequence[Path]) -> list[RoleFound]:
    """Return a role for each directory of launchers, the largest first; which models they name is told elsewhere."""
    groups: dict[str, list[Launcher]] = defaultdict(list)
    for launcher in launchers:
        name = _role_name(launcher.path, roots)
        groups[f"{name}-{launcher.only}" if launcher.only else name].append(launcher)
    if len(groups) > MOST_ROLES:
        code.remarks.append(f"proposed the {MOST_ROLES} largest of {len(groups)} roles: name narrower directories")
    largest = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))[:MOST_ROLES]
    return [
        RoleFound(name=name, launchers=tuple(found), runners=tuple(_runners(found, code))) for name, found in largest
    ]


def _role_name(path: Path, roots: Sequence[Path]) -> str:
    """Return the name of the nearest directory without a generic name: `raising` for sage/raising/scripts."""
    root = next((r for r in roots if path.is_relative_to(r)), path.parent)
    parts = path.parent.relative_to(root).parts if path.is_relative_to(root) else ()
    return name_of(next((p for p in reversed(parts) if p.lower() not in _GENERIC), "sessions"))


def _runners(launchers: list[Launcher], code: Code) -> Iterator[tuple[Path, str]]:
    """Yield a glob for the launchers that start with the same words, if it matches no module; else their names."""
    families: dict[tuple[Path, str], list[str]] = defaultdict(list)
    for launcher in launchers:
        families[launcher.path.parent, launcher.path.name.partition("_")[0]].append(launcher.path.name)
    for (directory, _), names in families.items():
        glob = f"{_common_start(names)}*.py"
        there = [p for p in code.python.values() if p.path.parent == directory and fnmatchcase(p.path.name, glob)]
        if len(names) > 1 and "_" in glob and all(p.starts for p in there):
            yield directory, glob
        else:
            yield from ((directory, name) for name in sorted(names)[:MOST_RUNNERS])


def _common_start(names: list[str]) -> str:
    """Return the words that all names start with: `run_session_`."""
    words = [n.split("_") for n in names]
    same = next((i for i in range(len(words[0])) if len({tuple(w[: i + 1]) for w in words}) > 1), len(words[0]) - 1)
    return "".join(f"{w}_" for w in words[0][:same])
