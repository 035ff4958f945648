"""Where a path leads: how much of it exists, what lies near it, and whose home it names."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import PathInfo, inspect_path

_HOME = re.compile(
    r"^(?P<home>/home/[^/]+|/Users/[^/]+|/root(?=/|$)|/mnt/[a-z]/Users/[^/]+|[A-Za-z]:[\\/]Users[\\/][^\\/]+)"
)
_FEWEST_TAIL = 2  # a single file name proves nothing about where it came from


@frozen
class Location:
    """A declared path and what became of it.

    `existing` is the longest leading part that exists, `near` are paths close to it that do exist (another case,
    a similar name, the same tail under another root), best first. `foreign_home` is the home directory it lies
    under where that is not ours.
    """

    path: Path
    node: PathInfo
    existing: Path
    near: tuple[Path, ...] = ()
    foreign_home: str | None = None


def locate(path: Path, *, home: Path, other_homes: Iterable[str] = (), roots: Iterable[Path] = ()) -> Location:
    """Return where `path` leads. `roots` are directories under which the same tail is looked for."""
    node = inspect_path(path)
    if node.kind not in ("missing", "dangling", "loop"):
        return Location(path=path, node=node, existing=path, foreign_home=foreign_home(path, home, other_homes))
    existing = path.parent
    while existing != existing.parent and inspect_path(existing).kind == "missing":
        existing = existing.parent
    near = dict.fromkeys([*same_tail(path, [home, *roots]), *_similar(path, existing)])
    return Location(
        path=path,
        node=node,
        existing=existing,
        near=tuple(near),
        foreign_home=foreign_home(path, home, other_homes),
    )


def foreign_home(path: Path, home: Path, other_homes: Iterable[str] = ()) -> str | None:
    """Return the home directory `path` lies under where it is another user's or machine's, else None."""
    text = str(path)
    ours = str(home)
    if text == ours or (ours != "/" and text.startswith(ours + "/")):  # a service without a home has /
        return None
    for other in other_homes:
        if text == other or text.startswith(other.rstrip("/") + "/"):
            return other
    match = _HOME.match(text)
    # A home that is here is another user's of this machine: what lacks in it is merely missing.
    return match["home"] if match and inspect_path(match["home"]).kind == "missing" else None


def same_tail(path: Path, roots: Iterable[Path], *, most: int = 5) -> list[Path]:
    """Return existing paths that end as `path` does, longest common tail first: `/home/other/a/b` → `~/a/b`."""
    parts = path.parts[1:] if path.is_absolute() else path.parts
    parts = tuple(p for p in parts if p not in ("..", "."))
    found: dict[Path, None] = {}
    bases = list(dict.fromkeys(roots))
    for skipped in range(len(parts)):
        tail = parts[skipped:]
        if len(tail) < _FEWEST_TAIL:
            break
        for root in bases:
            candidate = root.joinpath(*tail)
            if candidate != path and inspect_path(candidate).kind in ("file", "directory"):
                found.setdefault(candidate)
        if len(found) >= most:
            break
    return list(found)[:most]


def _similar(path: Path, existing: Path) -> list[Path]:
    """Return entries of the deepest existing directory whose name is close to the first part that is missing."""
    rest = path.parts[len(existing.parts) :]
    if not rest:
        return []
    try:
        names = sorted(os.listdir(existing))[:5000]
    except OSError:
        return []
    wanted = rest[0]
    same_case = [n for n in names if n != wanted and n.lower() == wanted.lower()]
    close = [n for n in difflib.get_close_matches(wanted, names, n=3, cutoff=0.75) if n not in (*same_case, wanted)]
    tails = {n: existing.joinpath(n, *rest[1:]) for n in [*same_case, *close]}
    return [tail if inspect_path(tail).kind != "missing" else existing / n for n, tail in tails.items()]
