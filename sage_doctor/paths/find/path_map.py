"""Whose a path is: this machine's, another's, or the system's; and where another machine's path lies here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from sage_doctor.system.location import foreign_home, same_tail
from sage_doctor.system.path_info import inspect_path

# `mappable`: another machine's, and it lies here elsewhere. `foreign`: another machine's, and nothing like it is here.
# `gone`: of a tree of ours, and not there. `here`: of one, and there. `external`: the system's, or anybody's.
PathOrigin = Literal["mappable", "foreign", "gone", "here", "external"]

HOMES = (
    r"/home/[^/\s'\"`:;,)(\]\[}{<>|&$%*?\\]+|/Users/[^/\s'\"`:;,)(\]\[}{<>|&$%*?\\]+|/root(?=/|$)"
    r"|/mnt/[a-z]/Users/[^/\s'\"`:;,)(\]\[}{<>|&$%]+|[A-Za-z]:[\\/]{1,2}Users[\\/]{1,2}[^\\/\s'\"`:;,]+"
)
_OF_SYSTEM = r"/(?:bin|boot|dev|etc|lib\w*|opt|proc|run|sbin|snap|srv|sys|tmp|usr|var|nix|private|System|Library)\b"
_SYSTEM = re.compile(_OF_SYSTEM)
_NEEDLES = (b"/home", b"'home'", b'"home"', b"/Users", b"Users\\", b"'Users'", b'"Users"', b"/root")


# Blanks within names, and nothing in it that a command line or a sentence would have.
_SPACED = re.compile(r"(?:/[^/\s'\"`:;<>|&$*?\\]+(?: [^/\s'\"`:;<>|&$*?\\\-][^/\s'\"`:;<>|&$*?\\]*)*)+/?")

_SAID = re.compile(r" (?:an?|and|are|as|at|be|but|by|for|from|has|in|instead|is|it|not|of|on|or|the|then|to|was|with) ")


@dataclass(frozen=True, kw_only=True)
class ClassifiedPath:
    """Where one path belongs. `target` is where it lies here, `root` the part of it that differs by machine.

    `base` is the directory of ours that stands for `root`. `exists` says whether the target is there.
    """

    place: PathOrigin
    target: Path | None = None
    root: str = ""
    base: Path | None = None
    exists: bool = False


@dataclass(frozen=True, kw_only=True)
class PathMap:
    """What is known of this machine's places and of the other machines'.

    `ours` are directories of this machine, the manifest's first; `others` are homes and roots of other machines, as
    their tables in the manifest say. With `everything`, the system's paths are found as well.
    """

    home: Path
    ours: tuple[Path, ...] = ()
    others: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    everything: bool = False
    _learnt: dict[str, Path] = field(default_factory=dict, repr=False, compare=False)
    _seen: dict[Path, bool] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a path of some machine, to its end, inside of any text."""
        known = [re.escape(root) for root in self._known() if not re.match(HOMES, root)]
        roots = "|".join([*sorted(known, key=len, reverse=True), HOMES, *([_OF_SYSTEM] if self.everything else [])])
        return re.compile(
            rf"(?<![\w.~/$}}\\-])(?:{roots})(?=[/\\\s'\"`:;,)(\]\[}}{{<>|&$%*?]|$)[^\s'\"`:;,)(\]\[<>|&]*"
        )

    @cached_property
    def _needles(self) -> tuple[bytes, ...]:
        return (*_NEEDLES, *(os.fsencode(root) for root in self._known()))

    def may_stand_in(self, raw: bytes) -> bool:
        """Whether a file could name a machine's path at all: most files are done with the answer."""
        return self.everything or any(needle in raw for needle in self._needles)

    def _known(self) -> list[str]:
        return [
            r.rstrip("/") for r in dict.fromkeys([*self.others, *map(str, self.ours), str(self.home)]) if len(r) > 1
        ]

    def learn(self, texts: Iterable[str]) -> None:
        """Learn from whole paths which directory here stands for which of another machine."""
        for text in texts:
            if self._foreign(text) is None:
                continue
            found = self._same(Path(_posix(text)))
            if found is not None:
                self._learnt.setdefault(*found)

    def place(self, text: str) -> ClassifiedPath:
        """Return where a path belongs. Looks at the disk, and never raises for what a text may be."""
        text = _posix(text)
        if "\0" in text or len(text) > 4096:
            return ClassifiedPath(place="external")
        path = Path(os.path.normpath(text))
        foreign = self._foreign(text)
        if foreign is None:
            own = next((r for r in (*self.ours, self.home) if len(r.parts) > 1 and path.is_relative_to(r)), None)
            there = self._is_there(path)
            if own is None:
                return ClassifiedPath(place="external", exists=there)
            return ClassifiedPath(place="here" if there else "gone", target=path, root=str(own), base=own, exists=there)
        if self._is_there(path):
            return ClassifiedPath(place="external", target=path, exists=True)
        return self._counterpart(path) or ClassifiedPath(place="foreign", root=foreign)

    def is_spaced(self, text: str, *, command: bool = False) -> bool:
        """Whether a whole text is a path with blanks in its names: no command line, and no sentence.

        It is where such a path is there. Else a slash must come behind the blanks, and no word of a sentence may be
        among theirs; where a `command` might stand it never is.
        """
        if " " not in text or self.pattern.match(text) is None or _SPACED.fullmatch(text) is None:
            return False
        upper = text.rstrip("/").rpartition("/")[0]
        return self.place(text).exists or (not command and " " in upper and _SAID.search(text) is None)

    def _foreign(self, text: str) -> str | None:
        text = _posix(text)
        if any(text == str(r) or text.startswith(f"{r}/") for r in self.ours if len(r.parts) > 1):
            return None
        return foreign_home(Path(text), self.home, self.others)

    def _counterpart(self, path: Path) -> ClassifiedPath | None:
        """Return where another machine's path lies here: by what was learnt, by its tail, or by that of a parent."""
        text = str(path)
        for root in sorted(self._learnt, key=len, reverse=True):
            if text == root or text.startswith(root + "/"):
                return self._mapped(path, root, self._learnt[root])
        for upper in (path, *path.parents):
            found = self._same(upper)
            if found is not None:
                return self._mapped(path, *found)
        return None

    def _mapped(self, path: Path, root: str, base: Path) -> ClassifiedPath:
        target = base / os.path.relpath(path, root)
        target = Path(os.path.normpath(target))
        return ClassifiedPath(place="mappable", target=target, root=root, base=base, exists=self._is_there(target))

    def _is_there(self, path: Path) -> bool:
        if path not in self._seen:
            self._seen[path] = inspect_path(path).kind != "missing"
        return self._seen[path]

    def _same(self, path: Path) -> tuple[str, Path] | None:
        """Return the foreign root and the one of ours where the same path of two parts or more is below both."""
        roots = [*self.ours, self.home]
        best = next(iter(same_tail(path, roots)), None)
        if best is None:
            return None
        base = max((r for r in roots if best.is_relative_to(r)), key=lambda r: len(r.parts))
        tail = best.relative_to(base).parts
        return str(Path(*path.parts[: len(path.parts) - len(tail)])), base


def landscape(
    *, home: Path, ours: Iterable[Path], others: Iterable[str], names: Iterable[str] = (), everything: bool = False
) -> PathMap:
    """Return a landscape without the roots that everybody has, such as / and /tmp."""
    kept = [r for r in dict.fromkeys(others) if r.startswith("/") and r.count("/") > 1 and not _SYSTEM.match(r)]
    return PathMap(
        home=home,
        ours=tuple(dict.fromkeys(p for p in ours if len(p.parts) > 1)),
        others=tuple(kept),
        names=frozenset(names),
        everything=everything,
    )


def other_roots(machines: Mapping[str, tuple[str | None, Mapping[str, str]]]) -> list[str]:
    """Return the homes and the absolute variables of machines."""
    found = []
    for home, variables in machines.values():
        found += [home] if home else []
        found += [v.rstrip("/") for v in variables.values() if v.startswith("/")]
    return found


def _posix(text: str) -> str:
    """Return a path without what a URL puts before it, and a Windows one with the slashes that both know."""
    text = text.removeprefix("file://")
    return re.sub(r"\\+", "/", text) if re.match(r"[A-Za-z]:\\", text) else text
