"""The path map: which machine a path belongs to, and where another machine's path is on this one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Literal

from sage_doctor.paths.find.correspondence import Correspondence
from sage_doctor.system.frozen import frozen
from sage_doctor.system.location import foreign_home
from sage_doctor.system.path_info import inspect_path

# `mappable`: another machine's, found here under another root. `foreign`: another machine's, not found here.
# `here`: below a root of this machine, and it exists. `gone`: below one, and missing; with `anywhere`, below any.
# `external`: all other paths.
PathOrigin = Literal["mappable", "foreign", "gone", "here", "external"]

HOMES = (
    r"/home/[^/\s'\"`:;,)(\]\[}{<>|&$%*?\\]+|/Users/[^/\s'\"`:;,)(\]\[}{<>|&$%*?\\]+|/root(?=/|$)"
    r"|/mnt/[a-z]/Users/[^/\s'\"`:;,)(\]\[}{<>|&$%]+|[A-Za-z]:[\\/]{1,2}Users[\\/]{1,2}[^\\/\s'\"`:;,]+"
    r"|/mnt/[a-z](?=/[^/\s])"
)
_DRIVE = re.compile(r"/mnt/[a-z](?=/|$)")  # a drive of Windows, as WSL mounts it
_SYSTEM_ROOTS = r"/(?:bin|boot|dev|etc|lib\w*|opt|proc|run|sbin|snap|srv|sys|tmp|usr|var|nix|private|System|Library)\b"
_SYSTEM = re.compile(_SYSTEM_ROOTS)
# Where people put models, environments and data outside homes: anywhere that is not the system's own.
_ANYWHERE = (
    r"/(?!(?:bin|boot|dev|etc|lib\w*|proc|run|sbin|snap|sys|tmp|usr|var|nix|private|System|Library)/)"
    r"\w[\w.-]*(?=/[^/\s])"
)
_NEEDLES = (
    *(b"/home", b"'home'", b'"home"', b"/Users", b"Users\\", b"'Users'", b'"Users"', b"/root", b"/mnt/"),
    *(b"~/", b"'~'", b'"~"', b".home(", b"HOME"),  # a home that is asked for at run time
)

# Blanks within names, and nothing that belongs to a command line or a sentence.
_PATH_WITH_BLANKS = re.compile(r"(?:/[^/\s'\"`:;<>|&$*?\\]+(?: [^/\s'\"`:;<>|&$*?\\\-][^/\s'\"`:;<>|&$*?\\]*)*)+/?")

_SENTENCE_WORDS = re.compile(
    r" (?:an?|and|are|as|at|be|but|by|for|from|has|in|instead|is|it|not|of|on|or|the|then|to|was|with) "
)


@frozen
class ClassifiedPath:
    """A path, and what it is on this machine.

    `root` is the part of it that differs by machine, `local_root` the directory of this machine that corresponds to
    it. `target` is the path below `local_root`; `exists` says whether it is there, `certain` whether it is known to be
    the same thing, and not only something of the same name; `agreed` whether nothing contradicts the root.
    """

    origin: PathOrigin
    target: Path | None = None
    root: str = ""
    local_root: Path | None = None
    exists: bool = False
    certain: bool = False
    agreed: bool = False


@frozen
class PathMap:
    """The roots of this machine and of the other machines.

    `own_roots` are directories of this machine, the manifest's first; `other_roots` are homes and directories of other
    machines, as their tables in the manifest say. `counterparts` are those of them that this machine has too: a home
    and a home, a variable and the same variable. `include_system` finds the system's paths as well, `anywhere` those
    below any other directory. With `blind`, nothing exists: every path that would be told if it were missing is found.
    `own_names` are what this machine is called: its name in the manifest, and its hostname.
    """

    home: Path
    own_roots: tuple[Path, ...] = ()
    other_roots: tuple[str, ...] = ()
    counterparts: tuple[tuple[str, Path], ...] = ()
    machine_names: frozenset[str] = frozenset()
    own_names: frozenset[str] = frozenset()
    include_system: bool = False
    anywhere: bool = False
    blind: bool = False
    _existence: dict[Path, bool] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a path of any machine, to its end, within a text."""
        return _path_below(self._roots)

    @cached_property
    def wide_pattern(self) -> re.Pattern[str]:
        """Matches what `pattern` does and, with `anywhere`, paths below other directories."""
        return _path_below([*self._roots, _ANYWHERE]) if self.anywhere else self.pattern

    @cached_property
    def _roots(self) -> list[str]:
        """Expressions for the directories that `pattern` finds paths below, the longest first."""
        known = [re.escape(root) for root in self._all_roots() if not re.match(HOMES, root)]
        return [*sorted(known, key=len, reverse=True), HOMES, *([_SYSTEM_ROOTS] if self.include_system else [])]

    def first(self, text: str) -> re.Match[str] | None:
        """Return the first path of a machine in a text; where it has none, with `anywhere`, the first of all others."""
        return self.pattern.search(text) or self.wide_pattern.search(text)

    @cached_property
    def _needles(self) -> tuple[bytes, ...]:
        return (*_NEEDLES, *(os.fsencode(root) for root in self._all_roots()))

    def may_occur_in(self, raw: bytes) -> bool:
        """Whether a file could name a machine's path at all. Most files need no further look."""
        return self.include_system or self.anywhere or any(needle in raw for needle in self._needles)

    def _all_roots(self) -> list[str]:
        return [
            r.rstrip("/")
            for r in dict.fromkeys([*self.other_roots, *map(str, self.own_roots), str(self.home)])
            if len(r) > 1
        ]

    @cached_property
    def _correspondence(self) -> Correspondence:
        return Correspondence(home=self.home, own_roots=self.own_roots, counterparts=self.counterparts)

    def learn_roots(self, texts: Iterable[str]) -> None:
        """Learn from whole paths which directory here corresponds to which root of another machine."""
        self._correspondence.learn(Path(_posix(t)) for t in texts if self._foreign(t) is not None)

    def same_tail(self, path: Path) -> Path | None:
        """Return what exists here and ends as a missing path does, by two names or more."""
        return self._correspondence.same_tail(path)

    def classify(self, text: str) -> ClassifiedPath:
        """Return what a path is on this machine. Looks at the disk; never raises, whatever the text is."""
        text = _posix(text)
        if "\0" in text or len(text) > 4096:
            return ClassifiedPath(origin="external")
        path = Path(os.path.normpath(text))
        foreign = self._foreign(text)
        if foreign is None:
            drive = _DRIVE.match(text)
            roots = [*self.own_roots, self.home, *([Path(drive[0])] if drive is not None else [])]
            own = next((r for r in roots if len(r.parts) > 1 and path.is_relative_to(r)), None)
            there = self._exists(path)
            if own is None:
                lost = self.anywhere and not there and re.match(_ANYWHERE, text) is not None
                return ClassifiedPath(origin="gone" if lost else "external", exists=there)
            return ClassifiedPath(
                origin="here" if there else "gone",
                target=path,
                root=str(own),
                local_root=own,
                exists=there,
                certain=there,
                agreed=True,
            )
        if self._exists(path):
            return ClassifiedPath(origin="external", target=path, exists=True)
        found = self._correspondence.of(path)
        if found is None:
            return ClassifiedPath(origin="foreign", root=foreign)
        return ClassifiedPath(
            origin="mappable",
            target=found.target,
            root=found.root,
            local_root=found.local_root,
            exists=self._exists(found.target),
            certain=found.certain,
            agreed=found.agreed,
        )

    def is_path_with_blanks(self, text: str, *, command: bool = False) -> bool:
        """Whether a whole text is a path with blanks in its names, and not a command line or a sentence.

        It is one if the path exists. Otherwise a slash must follow the blanks, and no word may be one of a sentence;
        where the text may be a `command` it never is one.
        """
        if " " not in text or self.wide_pattern.match(text) is None or _PATH_WITH_BLANKS.fullmatch(text) is None:
            return False
        upper = text.rstrip("/").rpartition("/")[0]
        return self.classify(text).exists or (not command and " " in upper and _SENTENCE_WORDS.search(text) is None)

    def may_be_route(self, text: str) -> bool:
        """Whether a text may be part of an address (`/v1/models`) as well as a path: nothing here begins as it does."""
        placed = self.classify(text)
        return placed.origin == "gone" and placed.local_root is None and not self._exists(Path(*Path(text).parts[:2]))

    def _foreign(self, text: str) -> str | None:
        text = _posix(text)
        if any(text == str(r) or text.startswith(f"{r}/") for r in self.own_roots if len(r.parts) > 1):
            return None
        found = foreign_home(Path(text), self.home, self.other_roots)
        drive = _DRIVE.match(text) if found is None else None
        return drive[0] if drive is not None and not self._exists(Path(drive[0])) else found

    def is_here(self, text: str) -> bool | None:
        """Whether a path exists; None where nothing is looked at."""
        return None if self.blind or "\0" in text else self._exists(Path(os.path.normpath(text)))

    def _exists(self, path: Path) -> bool:
        if self.blind:
            return False
        if path not in self._existence:
            fixed, pattern, _ = str(path).partition("*")  # of a pattern, what it starts from has to be there
            place = Path(fixed.rpartition("/")[0] or "/") if pattern else path
            self._existence[path] = inspect_path(path).kind != "missing" or (
                bool(pattern) and inspect_path(place).kind != "missing"
            )
        return self._existence[path]


def build_path_map(
    *,
    home: Path,
    own_roots: Iterable[Path],
    other_roots: Iterable[str],
    counterparts: Iterable[tuple[str, Path]] = (),
    machine_names: Iterable[str] = (),
    own_names: Iterable[str] = (),
    include_system: bool = False,
) -> PathMap:
    """Return a path map without the roots that every machine has, such as / and /tmp."""
    kept = [r for r in dict.fromkeys(other_roots) if r.startswith("/") and r.count("/") > 1 and not _SYSTEM.match(r)]
    return PathMap(
        home=home,
        own_roots=tuple(dict.fromkeys(p for p in own_roots if len(p.parts) > 1)),
        other_roots=tuple(kept),
        counterparts=tuple(dict.fromkeys(c for c in counterparts if c[0] in kept)),
        machine_names=frozenset(machine_names),
        own_names=frozenset(own_names),
        include_system=include_system,
    )


def machine_roots(machines: Mapping[str, tuple[str | None, Mapping[str, str]]]) -> list[str]:
    """Return the homes and the absolute variables of machines."""
    found = []
    for home, variables in machines.values():
        found += [home] if home else []
        found += [v.rstrip("/") for v in variables.values() if v.startswith("/")]
    return found


def _path_below(roots: Iterable[str]) -> re.Pattern[str]:
    return re.compile(
        rf"(?<![\w.~/$}}\\*?%)\]-])(?<!^[A-Za-z]:)(?<![\s'\"=(,][A-Za-z]:)(?:{'|'.join(roots)})"
        r"(?=[/\\\s'\"`:;,)(\]\[}{<>|&$%*?]|$)[^\s'\"`:;,)(\]\[<>|&]*"
    )


def _posix(text: str) -> str:
    """Return a path without the `file://` of a URL, and a Windows path with forward slashes."""
    text = text.removeprefix("file://")
    return re.sub(r"\\+", "/", text) if re.match(r"[A-Za-z]:\\", text) else text
