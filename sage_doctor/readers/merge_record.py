"""Reads the record that a merge leaves beside its weights: their hashes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.known_hash import KnownHash, algorithm_of

RECORD = "sage-doctor-merge.json"
_MOST_BYTES = 1 << 24


def merge_hashes(directory: Path) -> Mapping[str, KnownHash]:
    """Return what the weight files of a merged model should hash to, by name; empty where no record says."""
    outputs = (read_json_object(directory / RECORD, most=_MOST_BYTES).value or {}).get("outputs")
    found = {}
    for entry in outputs if isinstance(outputs, list) else []:
        name, digest = (entry.get("path"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        if isinstance(name, str) and isinstance(digest, str) and algorithm_of(digest) == "sha256":
            found[name] = KnownHash(algorithm="sha256", hex=digest, source=f"{RECORD}, written by the merge")
    return found
