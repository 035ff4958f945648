"""Reads a Git index: the hash of a file's blob, or of the Git LFS object that it points to.

The repository may be hostile, and its configuration can name programs that Git would run (fsmonitor, hooks, a
remote helper for missing objects). So Git runs in an empty repository of our own and uses only the other's index and
objects, which are data: its configuration is never read.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from sage_doctor.readers.known_hash import KnownHash
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.small_text import read_line

_POINTER = re.compile(rb"version https://git-lfs[^\n]*\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n")
_POINTER_BYTES = 1024  # the LFS specification's limit
_TIMEOUT_S = 5.0
_MOST_LEVELS = 64


@frozen
class WorkTree:
    """A Git work tree: its top directory, its index, and where its objects lie."""

    top: Path
    index: Path
    objects: Path


def find_work_tree(directory: Path) -> WorkTree | None:
    """Return the work tree that holds `directory`, linked work trees and submodules included; else None."""
    place = Path(os.path.realpath(directory))
    for top in (place, *place.parents)[:_MOST_LEVELS]:
        git = top / ".git"
        kind = inspect_path(git).kind
        if kind == "file":
            named = re.fullmatch(r"gitdir: (.+)", read_line(git) or "")
            git = Path(os.path.normpath(top / named[1])) if named else git
        elif kind != "directory":
            continue
        common = read_line(git / "commondir")
        objects = (Path(os.path.normpath(git / common)) if common else git) / "objects"
        if inspect_path(git / "index").kind == "file" and inspect_path(objects).kind == "directory":
            return WorkTree(top=top, index=git / "index", objects=objects)
        return None
    return None


def index_hashes(directory: Path, names: Iterable[str]) -> Mapping[str, KnownHash]:
    """Return what the Git index around `directory` says of its files, by name; empty outside a work tree.

    A pointer gives the sha256 of the LFS object; any other blob its own `git-sha1`, which holds for files that no
    filter or line-end conversion changes on checkout, as weights are. Names that are not in the index are left out.
    """
    tree = find_work_tree(directory)
    wanted = list(names)
    if tree is None or not wanted:
        return {}
    place = os.path.relpath(os.path.realpath(directory), tree.top)
    paths = {os.path.normpath(os.path.join(place, name)): name for name in wanted}
    with tempfile.TemporaryDirectory(prefix="sage-doctor-git-") as own:
        git = _Git(Path(own), tree)
        blobs = git.blobs(list(paths))
        small = [oid for oid, size in git.sizes(blobs.values()).items() if size <= _POINTER_BYTES]
        pointers = git.contents(small)
    found: dict[str, KnownHash] = {}
    for path, oid in blobs.items():
        if path not in paths:
            continue
        pointer = _POINTER.match(pointers.get(oid, b""))
        if pointer:
            known = KnownHash(algorithm="sha256", hex=pointer[1].decode(), source="the Git LFS pointer in the index")
        else:
            known = KnownHash(algorithm="git-sha1", hex=oid, source="the Git index")
        found[paths[path]] = known
    return found


class _Git:
    """Git, run in a repository of our own that borrows another's index and objects."""

    def __init__(self, own: Path, tree: WorkTree) -> None:
        for name in ("objects", "refs"):
            (own / name).mkdir()
        (own / "HEAD").write_text("ref: refs/heads/none\n")
        self._own = own
        self._borrowed = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(own),
            "GIT_DIR": str(own),
            "GIT_WORK_TREE": str(own),
            "GIT_INDEX_FILE": str(tree.index),
            "GIT_OBJECT_DIRECTORY": str(tree.objects),
            "GIT_LITERAL_PATHSPECS": "1",
        }

    def _say(self, *words: str, ask: bytes = b"") -> bytes:
        from sage_doctor.system.git import ENVIRONMENT, git  # noqa: PLC0415 - starting processes is rarely needed

        outcome = git(words, self._own, timeout_s=_TIMEOUT_S, ask=ask, env={**ENVIRONMENT, **self._borrowed})
        return outcome.out if outcome is not None and outcome.code == 0 else b""

    def blobs(self, paths: list[str]) -> dict[str, str]:
        """Return the blob of each path that the index holds as a plain file without conflict."""
        found: dict[str, str] = {}
        for entry in self._say("ls-files", "--stage", "-z", "--", *paths).split(b"\0"):
            match = re.fullmatch(rb"100(?:644|755) ([0-9a-f]{40}) 0\t(.+)", entry, re.DOTALL)
            if match:
                found[os.fsdecode(match[2])] = match[1].decode()
        return found

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """Return the size of each blob that is in the object store."""
        ask = "".join(f"{oid}\n" for oid in dict.fromkeys(oids)).encode()
        said = self._say("cat-file", "--batch-check", ask=ask) if ask else b""
        return {m[1].decode(): int(m[2]) for m in re.finditer(rb"(?m)^([0-9a-f]{40}) blob (\d+)$", said)}

    def contents(self, oids: Iterable[str]) -> dict[str, bytes]:
        """Return the content of each of these blobs, which are small."""
        ask = "".join(f"{oid}\n" for oid in dict.fromkeys(oids)).encode()
        said = self._say("cat-file", "--batch", ask=ask) if ask else b""
        found: dict[str, bytes] = {}
        while match := re.match(rb"([0-9a-f]{40}) blob (\d+)\n", said):
            end = match.end() + int(match[2])
            found[match[1].decode()] = said[match.end() : end]
            said = said[end + 1 :]
        return found
