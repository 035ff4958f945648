"""Reads recorded hashes: the names of cached blobs, the hub's listings, and the records of downloads.

Only hashes that were recorded apart from the file's content count; nothing here reads that content.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from sage_doctor.readers.json_object import read_json_object
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start

Algorithm = Literal["sha256", "git-sha1"]

_MOST_HOPS = 8
_DOWNLOADS = ".cache/huggingface/download"
_TREE_BYTES = 64 * 1024 * 1024


@frozen
class KnownHash:
    """What a file's hash should be, and who says so.

    `git-sha1` is the SHA-1 that Git gives a blob: of `blob SIZE`, a NUL and the content. `modified_since` is set
    where the file is newer than the record: somebody may have changed it on purpose.
    """

    algorithm: Algorithm
    hex: str
    source: str
    modified_since: bool = False


@frozen
class HubFile:
    """One file of a repository as the hub listed it. `size` is in bytes."""

    size: int
    algorithm: Algorithm
    hex: str


def algorithm_of(digest: str) -> Algorithm | None:
    """Return what a digest of this length is on the hub: 64 hex digits sha256, 40 Git's SHA-1; else None."""
    if not re.fullmatch(r"[0-9a-f]+", digest):
        return None
    lengths: dict[int, Algorithm] = {64: "sha256", 40: "git-sha1"}
    return lengths.get(len(digest))


def blob_hash(file: str | os.PathLike[str]) -> tuple[Algorithm, str] | None:
    """Return the hash that the Hugging Face cache gave to this snapshot file, from the name of its blob.

    Only a link tells: its way is followed up to the first place that is named like a blob, and no further, because
    a blob may itself be a link to a file of any name.
    """
    place = os.fspath(file)
    for _ in range(_MOST_HOPS):
        try:
            target = os.readlink(place)
        except (OSError, ValueError):
            return None
        place = os.path.normpath(os.path.join(os.path.dirname(place), target))
        folder, name = os.path.split(place)
        algorithm = algorithm_of(name)
        if os.path.basename(folder) == "blobs" and algorithm is not None:
            return algorithm, name
    return None


def read_hub_listing(folder: Path, commit: str) -> Mapping[str, HubFile] | None:
    """Return the listing `trees/COMMIT.json` under `folder`, by path in the repository; None where there is none.

    Written by huggingface_hub from 1.x on (`_tree_cache.py`, format_version 1) beside the snapshots, and under
    `.cache/huggingface` of a directory that was downloaded into.
    """
    if algorithm_of(commit) != "git-sha1":
        return None
    value = read_json_object(folder / "trees" / f"{commit}.json", most=_TREE_BYTES).value
    files = value.get("files") if value is not None and value.get("format_version") == 1 else None
    if not isinstance(files, dict):
        return None
    return {name: e for name, info in files.items() if is_inside(name) and (e := _entry(info)) is not None}


def _entry(info: object) -> HubFile | None:
    if not isinstance(info, dict):
        return None
    digest, size = info.get("lfs_sha256") or info.get("blob_id"), info.get("lfs_size") or info.get("size")
    if not isinstance(digest, str) or not isinstance(size, int):
        return None
    algorithm = algorithm_of(digest)
    return HubFile(size=size, algorithm=algorithm, hex=digest) if algorithm is not None else None


def is_inside(name: str) -> bool:
    """Return whether a path of a repository stays inside the directory it is joined to."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def local_dir_hash(directory: Path, name: str) -> KnownHash | None:
    """Return what `hf download --local-dir` recorded for one file; `name` is relative to `directory`."""
    if not is_inside(name):
        return None
    record = f"{_DOWNLOADS}/{name}.metadata"
    try:
        lines = read_start(directory / record, 4096).decode("ascii").split("\n")
    except (UnreadableFile, UnicodeDecodeError):
        return None
    etag = lines[1].strip().strip('"') if len(lines) > 1 else ""
    algorithm = algorithm_of(etag)
    if algorithm is None:
        return None
    try:
        stamp = float(lines[2])
    except (IndexError, ValueError):
        stamp = float("inf")
    # The hub's own rule: the record holds for a file that is at most one second newer than it.
    newer = inspect_path(directory / name).mtime_ns / 1e9 - 1 > stamp
    return KnownHash(algorithm=algorithm, hex=etag, source=record, modified_since=newer)
