"""Where another machine's path is on this one: what the manifest says, what other paths show, and what is on the disk.

A tail of names that is found here shows a root: `/home/a/HRM/zoo/m` and `~/HRM/zoo/m` say that `/home/a/HRM` is
`~/HRM`. That is learnt for other paths only where nothing contradicts it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import field
from pathlib import Path

from sage_doctor.system.frozen import frozen
from sage_doctor.system.location import foreign_home
from sage_doctor.system.path_info import inspect_path

_FEWEST_PARTS = 2  # a single name proves nothing about where it came from
_PARTS_THAT_PROVE = 3  # two names, such as src/main.py, are in many trees
_MOST_PARTS = 64

Pair = tuple[str, Path]  # a root of another machine, and the directory of this machine that it is


@frozen
class Counterpart:
    """A path's place on this machine.

    `certain` says that it exists and is known to be the same thing, `agreed` that nothing contradicts its root.
    """

    target: Path
    root: str
    local_root: Path
    certain: bool = False
    agreed: bool = False


@frozen
class Correspondence:
    """Which directories of this machine are those of others.

    `counterparts` are what the manifest says: a home and a home, a variable and the same variable.
    """

    home: Path
    own_roots: tuple[Path, ...] = ()
    counterparts: tuple[Pair, ...] = ()
    _learnt: dict[str, dict[Path, set[Path]]] = field(default_factory=dict, repr=False, compare=False)
    _roots: dict[str, Path] = field(default_factory=dict, repr=False, compare=False)
    _found: dict[Path, bool] = field(default_factory=dict, repr=False, compare=False)

    def learn(self, paths: Iterable[Path]) -> None:
        """Learn roots from those of another machine's paths that are found here with their whole tails."""
        for path in paths:
            tail, upper = self._same_tail(path)
            if tail is not None and upper == path:
                root, base = tail
                self._learnt.setdefault(root, {}).setdefault(base, set()).add(path)
        self._roots.clear()
        for root, bases in self._learnt.items():
            self._roots.update((root, base) for base in bases if not self._is_contradicted(root, base))

    def of(self, path: Path) -> Counterpart | None:
        """Return where a path is here; None if nothing says it.

        What exists goes before what does not: by a root that is known, the deepest first, or by its own tail. Then a
        root that was learnt, or the tail of a parent, says where it would be.
        """
        text = str(path)
        known = [
            p for p in self._roots.items() if _is_below(text, p[0]) and (text != p[0] or self._is_proved(path, *p))
        ]
        learnt = sorted(known, key=_depth, reverse=True)
        for pair in sorted([*learnt, *self._declared(text)], key=_depth, reverse=True):
            if inspect_path(_moved(path, *pair)).kind != "missing":
                return self._counterpart(path, *pair)
        tail, upper = self._same_tail(path)
        if tail is not None and upper == path:
            return self._counterpart(path, *tail)
        if learnt:
            return self._counterpart(path, *learnt[0])
        return self._counterpart(path, *tail) if tail is not None and not self._is_contradicted(*tail) else None

    def same_tail(self, path: Path) -> Path | None:
        """Return what exists here and ends as a path does, by two names or more; None if there is none."""
        tail, upper = self._same_tail(path)
        return _moved(path, *tail) if tail is not None and upper == path else None

    def _counterpart(self, path: Path, root: str, base: Path) -> Counterpart:
        target = _moved(path, root, base)
        certain = inspect_path(target).kind != "missing" and self._is_proved(path, root, base)
        agreed = certain or self._roots.get(root) == base
        return Counterpart(target=target, root=root, local_root=base, certain=certain, agreed=agreed)

    def _declared(self, text: str) -> list[Pair]:
        """Return the counterparts that a path is below, the deepest first."""
        return sorted((p for p in self.counterparts if _is_below(text, p[0])), key=_depth, reverse=True)

    def _is_contradicted(self, root: str, base: Path) -> bool:
        """Whether a root is known to be another directory, or holds one that is known to be elsewhere."""
        if set(self._learnt.get(root, ())) - {base}:
            return True
        home = foreign_home(Path(root), self.home)  # of the manifest's machines or not
        pairs = [*self._declared(root), *([(home, self.home)] if home is not None and home != root else [])]
        places = [_moved(Path(root), *pair) for pair in pairs]
        if any(place != base and self._is_found(place) for place in places):
            return True
        below = [(other, found) for other, bases in self._learnt.items() for found in bases] + [*self.counterparts]
        return any(
            other != root and _is_below(other, root) and found != _moved(Path(other), root, base)
            for other, found in below
        )

    def _is_proved(self, path: Path, root: str, base: Path) -> bool:
        """Whether what is found is known to be the same thing.

        The manifest says so, or nothing contradicts it and more than two names speak for it: the root has the same
        name, the tail is longer, or a second path has the same root.
        """
        target = _moved(path, root, base)
        other = self.same_tail(path)
        if other is not None and os.path.realpath(other) != os.path.realpath(target):
            return False
        if (root, base) in self._declared(str(path)):
            return True
        if self._is_contradicted(root, base):
            return False
        speaking = self._learnt.get(root, {}).get(base, set()) | ({path} - {Path(root)})
        return (
            os.path.basename(root).lower() == base.name.lower()
            or len(speaking) > 1
            or any(len(Path(os.path.relpath(p, root)).parts) >= _PARTS_THAT_PROVE for p in speaking)
        )

    def _same_tail(self, path: Path) -> tuple[Pair | None, Path]:
        """Return another machine's root, and the own root below which two or more parts of a path exist.

        The last part that exists counts most, then the first: the path up to the last one is returned too.
        """
        parts = [p for p in path.parts if p not in ("/", "..", ".")]
        roots = [*self.own_roots, self.home]
        best: tuple[int, Path] | None = None
        for start in range(len(parts) - 1 if len(parts) <= _MOST_PARTS else 0):
            for root in roots:
                found, end = root, start
                while end < len(parts) and self._is_found(found / parts[end]):
                    found, end = found / parts[end], end + 1
                farther = end - start >= _FEWEST_PARTS and (best is None or end > best[0])
                if farther and not path.is_relative_to(found):
                    best = (end, found)
        if best is None:
            return None, path
        end, found = best
        upper = Path(*path.parts[: len(path.parts) - len(parts) + end])
        base = max((r for r in roots if found.is_relative_to(r)), key=lambda r: len(r.parts))
        tail = found.relative_to(base).parts
        return (str(Path(*upper.parts[: len(upper.parts) - len(tail)])), base), upper

    def _is_found(self, path: Path) -> bool:
        if path not in self._found:
            self._found[path] = inspect_path(path).kind in ("file", "directory")
        return self._found[path]


def _is_below(text: str, root: str) -> bool:
    return text == root or text.startswith(root.rstrip("/") + "/")


def _moved(path: Path, root: str, base: Path) -> Path:
    return Path(os.path.normpath(base / os.path.relpath(path, root)))


def _depth(pair: Pair) -> int:
    return len(pair[0])
