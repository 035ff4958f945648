"""Where inputs really are: none of them may be in the directory that a merge replaces, by whatever way it is reached.

Directories are compared by device and inode, so that links, bind mounts and names in another case are seen. A hard
link is harmless: a merge writes new files and removes names, so the other name keeps its bytes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path

from sage_doctor.merge.refusal import MergeRefused, refused
from sage_doctor.system.frozen import frozen
from sage_doctor.system.walk import Walk
from sage_doctor.text import printable

Inode = tuple[int, int]
_MOST_LINKS = 40


def inode_of(status: os.stat_result) -> Inode:
    """Return what identifies a file or directory on this machine."""
    return status.st_dev, status.st_ino


def passed(path: Path) -> frozenset[Inode]:
    """Return every directory and link that is passed on the way to `path`, links followed, and what is at its end."""
    found: set[Inode] = set()
    here, links = "/", 0
    rest = [*reversed(os.fspath(path.absolute()).split("/")), "/"]
    while rest:
        name = rest.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)  # `here` holds no links
            continue
        there = os.path.join(here, name)
        try:
            status = os.lstat(there)
            found.add(inode_of(status))
            if not stat.S_ISLNK(status.st_mode):
                here = there
                continue
            target = os.readlink(there)
        except OSError:
            break
        links += 1
        if links > _MOST_LINKS:
            break
        rest += reversed(target.split("/"))
        if target.startswith("/"):
            here = "/"
    return frozenset(found)


@frozen
class Removed:
    """What replacing `path` removes: itself and the directories below it, and how many names of each file."""

    path: Path
    directories: frozenset[Inode] = frozenset()
    files: Mapping[Inode, int] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> Removed:
        """Return what is known before the directory at `path` is read, if there is one."""
        try:
            return cls(path=path, directories=frozenset({inode_of(os.stat(path))}))
        except OSError:
            return cls(path=path)


def require_apart(removed: Removed, roots: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise `MergeRefused` if a model directory of `roots`, or a file of `inputs`, would be removed or changed.

    Files behind links of the `roots` count although the merge may not read them: base and adapter stay as they are.
    """
    way = passed(removed.path)
    roots = list(roots)
    for root in roots:
        try:
            own = inode_of(os.stat(root))
        except OSError:
            continue
        if own in way or passed(root) & removed.directories:
            raise refused(
                f"{printable(str(removed.path))} and {printable(str(root))} must not contain one another",
                "Choose another --out.",
            )
    if not removed.directories:
        return
    for path in dict.fromkeys((*inputs, *(link for root in roots for link in _file_links(root)))):
        if passed(path) & removed.directories or _last_name(path, removed.files):
            raise _inside(path, removed.path)


def _last_name(path: Path, files: Mapping[Inode, int]) -> bool:
    """Return whether a file has no name outside of the removed directory (it is mounted from there)."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return inode_of(status) in files and files[inode_of(status)] >= status.st_nlink


def _file_links(root: Path) -> Iterator[Path]:
    """Yield the links to files in a directory and below it."""
    for listing in Walk(roots=[root]).listings():
        listing.below[:] = [e for e in listing.below if e.name != ".git"]
        yield from (Path(e.path) for e in listing.files if e.is_symlink())


def _inside(path: Path, target: Path) -> MergeRefused:
    return refused(
        f"{printable(str(path))} leads into {printable(str(target))}, which the merge would replace "
        f"(it is {printable(os.path.realpath(path))})",
        "Choose another --out, or put a copy of the file in place of the link.",
    )
