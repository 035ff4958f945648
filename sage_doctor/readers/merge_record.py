"""Reads the record that a merge leaves beside its weights: hashes, adapters, and what the merge warned of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.known_hash import KnownHash, algorithm_of
from sage_doctor.system.frozen import frozen
from sage_doctor.text import join_limited

RECORD = "sage-doctor-merge.json"
VANISHING = 0.5  # a smaller cosine between the wanted and the kept change is worth a warning (docs/merge.md)
_MOST_BYTES = 1 << 24


def merge_hashes(directory: Path) -> Mapping[str, KnownHash]:
    """Return what the weight files of a merged model should hash to, by name; empty where no record says."""
    outputs = _record(directory).get("outputs")
    found = {}
    for entry in outputs if isinstance(outputs, list) else []:
        name, digest = (entry.get("path"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        if isinstance(name, str) and isinstance(digest, str) and algorithm_of(digest) == "sha256":
            found[name] = KnownHash(algorithm="sha256", hex=digest, source=f"{RECORD}, written by the merge")
    return found


def merged_adapters(directory: Path) -> tuple[Mapping[str, Any], ...]:
    """Return the adapters that a model holds by its record: path and sha256 of each, the last one merged at the end."""
    record = _record(directory)
    earlier, own, inputs = record.get("merged_before"), record.get("adapter"), record.get("inputs")
    found = [e for e in earlier if isinstance(e, dict)] if isinstance(earlier, list) else []
    place = own.get("path") if isinstance(own, dict) else None
    for entry in inputs if isinstance(inputs, list) else []:
        path = entry.get("path") if isinstance(entry, dict) else None
        if isinstance(path, str) and path == f"{place}/adapter_model.safetensors":
            found.append({"path": place, "sha256": entry.get("sha256")})
    return tuple(found)


@frozen
class MergeLosses:
    """What of an adapter is not in the merged model, as the merge saw it and as its record says later.

    `cosine` is that between the wanted change and the one that rounding kept. `uncovered` are modules that the adapter
    targets without tensors for them, `idle` the tensors for which it holds only zeros, of `merged` ones.
    """

    cosine: float | None = None
    dtype: str = ""
    uncovered: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    merged: int = 0

    def sentences(self) -> list[tuple[str, str]]:
        """Return what is worth a warning: pairs of a finding code and a sentence."""
        found = []
        if self.cosine is not None and self.cosine < VANISHING:
            instead = "merge with --dtype float32, or run base and adapter together"
            what = (
                f"most of the adapter's change is lost to rounding: what is kept has a cosine of {self.cosine:.2f} "
                f"with it (less than {VANISHING}); "
                f"{instead if self.dtype != 'float32' else 'it is too small for float32'}"
            )
            found.append(("merge-delta-vanishes", what))
        if self.uncovered:
            one = len(self.uncovered) == 1
            modules = "a module" if one else f"{len(self.uncovered)} modules"
            what = (
                f"the adapter has no tensors for {modules} that it targets, so {'it is' if one else 'they are'} as in "
                f"the base: {join_limited(list(self.uncovered), most=3)}"
            )
            found.append(("merge-partial", what))
        if self.idle:
            what = (
                f"the adapter holds only zeros for {len(self.idle)} of the {self.merged} merged tensors, so they are "
                f"as in the base: {join_limited(list(self.idle), most=3)}"
            )
            found.append(("merge-partial", what))
        return found


def merge_losses(directory: Path) -> MergeLosses:
    """Return what the record in a directory says is not in the merged model; nothing where there is no record."""
    record = _record(directory)
    kept, tensors = record.get("delta"), record.get("tensors")
    cosine = kept.get("cosine") if isinstance(kept, dict) else None
    merged = tensors.get("changed") if isinstance(tensors, dict) else None
    return MergeLosses(
        cosine=float(cosine) if isinstance(cosine, (int, float)) else None,
        dtype=str(record.get("dtype", "")),
        uncovered=_names(record.get("uncovered")),
        idle=_names(record.get("unchanged")),
        merged=merged if type(merged) is int else 0,
    )


def _names(value: object) -> tuple[str, ...]:
    return tuple(n for n in value if isinstance(n, str)) if isinstance(value, list) else ()


def _record(directory: Path) -> Mapping[str, Any]:
    return read_json_object(directory / RECORD, most=_MOST_BYTES).value or {}
