"""The expected hashes of a model directory's files: from records of the cache, downloads, merges and Git, offline."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from sage_doctor.readers.git_pointer import index_hashes
from sage_doctor.readers.known_hash import (
    HubFile,
    KnownHash,
    algorithm_of,
    blob_hash,
    is_inside,
    local_dir_hash,
    read_hub_listing,
)
from sage_doctor.readers.merge_record import merge_hashes


def expected_hashes(directory: Path, files: Iterable[str]) -> Mapping[str, KnownHash]:
    """Return what is known of each of these files, by name relative to `directory`; unknown ones are left out.

    The closest record wins: the name of the cached blob a file links to, the listing that the hub gave for the
    snapshot, the record of a download into this directory, the record of the merge that wrote it, then the Git index
    (one run of Git for all files).
    """
    found: dict[str, KnownHash] = {}
    rest: list[str] = []
    listing = _snapshot_listing(directory)
    merged = merge_hashes(directory)
    for file in files:
        if not is_inside(file):
            continue
        known = _blob_name(directory, file) or _listed(listing, file) or local_dir_hash(directory, file)
        known = known or merged.get(file)
        if known is None:
            rest.append(file)
        else:
            found[file] = known
    return {**found, **index_hashes(directory, rest)}


def _blob_name(directory: Path, file: str) -> KnownHash | None:
    known = blob_hash(directory / file)
    return KnownHash(algorithm=known[0], hex=known[1], source="the name of its blob in the cache") if known else None


def _snapshot_listing(directory: Path) -> tuple[str, Mapping[str, HubFile]] | None:
    """Return the hub's listing where `directory` is a cache snapshot: those copied without links have no blob names."""
    real_path = Path(os.path.realpath(directory))
    if real_path.parent.name != "snapshots" or algorithm_of(real_path.name) != "git-sha1":
        return None
    entries = read_hub_listing(real_path.parent.parent, real_path.name)
    return (real_path.name, entries) if entries else None


def _listed(listing: tuple[str, Mapping[str, HubFile]] | None, file: str) -> KnownHash | None:
    if listing is None or file not in listing[1]:
        return None
    entry = listing[1][file]
    return KnownHash(algorithm=entry.algorithm, hex=entry.hex, source=f"trees/{listing[0]}.json in the cache")
