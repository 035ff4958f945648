"""The path map: which machine a path belongs to, and where another machine's path is on this one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from sage_doctor.system.location import foreign_home
from sage_doctor.system.path_info import inspect_path

# `mappable`: another machine's, found here under another root. `foreign`: another machine's, not found here.
# `here`: below a root of this machine, and it exists. `gone`: below one, and missing. `external`: all other paths.
PathOrigin = Literal["mappable", "foreign", "gone", "here", "external"]

HOMES = (
    r"/home/[^/\s'\"`:;,)(\]\[}{<>|&$%*?\\]+|/Users/[^/\s'\"`:;,)(\]\[}{<>|&$%*?\\]+|/root(?=/|$)"
    r"|/mnt/[a-z]/Users/[^/\s'\"`:;,)(\]\[}{<>|&$%]+|[A-Za-z]:[\\/]{1,2}Users[\\/]{1,2}[^\\/\s'\"`:;,]+"
)
_SYSTEM_ROOTS = r"/(?:bin|boot|dev|etc|lib\w*|opt|proc|run|sbin|snap|srv|sys|tmp|usr|var|nix|private|System|Library)\b"
_SYSTEM = re.compile(_SYSTEM_ROOTS)
_NEEDLES = (b"/home", b"'home'", b'"home"', b"/Users", b"Users\\", b"'Users'", b'"Users"', b"/root")


# Blanks within names, and nothing that belongs to a command line or a sentence.
_FEWEST_PARTS = 2  # a single name proves nothing about where it came from
_MOST_PARTS = 64

_PATH_WITH_BLANKS = re.compile(r"(?:/[^/\s'\"`:;<>|&$*?\\]+(?: [^/\s'\"`:;<>|&$*?\\\-][^/\s'\"`:;<>|&$*?\\]*)*)+/?")

_SENTENCE_WORDS = re.compile(
    r" (?:an?|and|are|as|at|be|but|by|for|from|has|in|instead|is|it|not|of|on|or|the|then|to|was|with) "
)


@dataclass(frozen=True, kw_only=True)
class ClassifiedPath:
    """A path, and what it is on this machine.

    `root` is the part of it that differs by machine, `local_root` the directory of this machine that corresponds to
    it. `target` is the path below `local_root`; `exists` says whether it is there.
    """

    origin: PathOrigin
    target: Path | None = None
    root: str = ""
    local_root: Path | None = None
    exists: bool = False


@dataclass(frozen=True, kw_only=True)
class PathMap:
    """The roots of this machine and of the other machines.

    `own_roots` are directories of this machine, the manifest's first; `other_roots` are homes and directories of other
    machines, as their tables in the manifest say. `include_system` finds the system's paths as well.
    """

    home: Path
    own_roots: tuple[Path, ...] = ()
    other_roots: tuple[str, ...] = ()
    machine_names: frozenset[str] = frozenset()
    include_system: bool = False
    _root_map: dict[str, Path] = field(default_factory=dict, repr=False, compare=False)
    _existence: dict[Path, bool] = field(default_factory=dict, repr=False, compare=False)
    _found: dict[Path, bool] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a path of any machine, to its end, within a text."""
        known = [re.escape(root) for root in self._all_roots() if not re.match(HOMES, root)]
        roots = "|".join(
            [*sorted(known, key=len, reverse=True), HOMES, *([_SYSTEM_ROOTS] if self.include_system else [])]
        )
        return re.compile(
            rf"(?<![\w.~/$}}\\-])(?:{roots})(?=[/\\\s'\"`:;,)(\]\[}}{{<>|&$%*?]|$)[^\s'\"`:;,)(\]\[<>|&]*"
        )

    @cached_property
    def _needles(self) -> tuple[bytes, ...]:
        return (*_NEEDLES, *(os.fsencode(root) for root in self._all_roots()))

    def may_occur_in(self, raw: bytes) -> bool:
        """Whether a file could name a machine's path at all. Most files need no further look."""
        return self.include_system or any(needle in raw for needle in self._needles)

    def _all_roots(self) -> list[str]:
        return [
            r.rstrip("/")
            for r in dict.fromkeys([*self.other_roots, *map(str, self.own_roots), str(self.home)])
            if len(r) > 1
        ]

    def learn_roots(self, texts: Iterable[str]) -> None:
        """Learn from whole paths which directory here corresponds to which root of another machine."""
        for text in texts:
            if self._foreign(text) is None:
                continue
            path = Path(_posix(text))
            found, upper = self._same_tail(path)
            if found is not None and upper == path:
                self._root_map.setdefault(*found)

    def classify(self, text: str) -> ClassifiedPath:
        """Return what a path is on this machine. Looks at the disk; never raises, whatever the text is."""
        text = _posix(text)
        if "\0" in text or len(text) > 4096:
            return ClassifiedPath(origin="external")
        path = Path(os.path.normpath(text))
        foreign = self._foreign(text)
        if foreign is None:
            own = next((r for r in (*self.own_roots, self.home) if len(r.parts) > 1 and path.is_relative_to(r)), None)
            there = self._exists(path)
            if own is None:
                return ClassifiedPath(origin="external", exists=there)
            return ClassifiedPath(
                origin="here" if there else "gone", target=path, root=str(own), local_root=own, exists=there
            )
        if self._exists(path):
            return ClassifiedPath(origin="external", target=path, exists=True)
        return self._counterpart(path) or ClassifiedPath(origin="foreign", root=foreign)

    def is_path_with_blanks(self, text: str, *, command: bool = False) -> bool:
        """Whether a whole text is a path with blanks in its names, and not a command line or a sentence.

        It is one if the path exists. Otherwise a slash must follow the blanks, and no word may be one of a sentence;
        where the text may be a `command` it never is one.
        """
        if " " not in text or self.pattern.match(text) is None or _PATH_WITH_BLANKS.fullmatch(text) is None:
            return False
        upper = text.rstrip("/").rpartition("/")[0]
        return self.classify(text).exists or (not command and " " in upper and _SENTENCE_WORDS.search(text) is None)

    def _foreign(self, text: str) -> str | None:
        text = _posix(text)
        if any(text == str(r) or text.startswith(f"{r}/") for r in self.own_roots if len(r.parts) > 1):
            return None
        return foreign_home(Path(text), self.home, self.other_roots)

    def _counterpart(self, path: Path) -> ClassifiedPath | None:
        """Return another machine's path as it is here: by a learnt root, by its tail, or by the tail of a parent."""
        text = str(path)
        for root in sorted(self._root_map, key=len, reverse=True):
            if text == root or text.startswith(root + "/"):
                return self._mapped(path, root, self._root_map[root])
        found, _ = self._same_tail(path)
        return self._mapped(path, *found) if found is not None else None

    def _mapped(self, path: Path, root: str, base: Path) -> ClassifiedPath:
        target = base / os.path.relpath(path, root)
        target = Path(os.path.normpath(target))
        return ClassifiedPath(origin="mappable", target=target, root=root, local_root=base, exists=self._exists(target))

    def _exists(self, path: Path) -> bool:
        if path not in self._existence:
            self._existence[path] = inspect_path(path).kind != "missing"
        return self._existence[path]

    def _same_tail(self, path: Path) -> tuple[tuple[str, Path] | None, Path]:
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
                itself = path.is_relative_to(found)
                if end - start >= _FEWEST_PARTS and not itself and (best is None or end > best[0]):
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


def build_path_map(
    *,
    home: Path,
    own_roots: Iterable[Path],
    other_roots: Iterable[str],
    machine_names: Iterable[str] = (),
    include_system: bool = False,
) -> PathMap:
    """Return a path map without the roots that every machine has, such as / and /tmp."""
    kept = [r for r in dict.fromkeys(other_roots) if r.startswith("/") and r.count("/") > 1 and not _SYSTEM.match(r)]
    return PathMap(
        home=home,
        own_roots=tuple(dict.fromkeys(p for p in own_roots if len(p.parts) > 1)),
        other_roots=tuple(kept),
        machine_names=frozenset(machine_names),
        include_system=include_system,
    )


def machine_roots(machines: Mapping[str, tuple[str | None, Mapping[str, str]]]) -> list[str]:
    """Return the homes and the absolute variables of machines."""
    found = []
    for home, variables in machines.values():
        found += [home] if home else []
        found += [v.rstrip("/") for v in variables.values() if v.startswith("/")]
    return found


def _posix(text: str) -> str:
    """Return a path without the `file://` of a URL, and a Windows path with forward slashes."""
    text = text.removeprefix("file://")
    return re.sub(r"\\+", "/", text) if re.match(r"[A-Za-z]:\\", text) else text
