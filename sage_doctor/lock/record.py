"""A model on disk as an entry of a lock: sizes, hashes, headers and origin. Nothing is loaded."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from sage_doctor.facts.hashing import hash_files
from sage_doctor.lock.entry import (
    LockedBase,
    LockedFile,
    LockedMerge,
    LockedModel,
    LockedTensors,
    digest,
    holds_weights,
    weights_digest,
)
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.known_hash import algorithm_of, is_inside
from sage_doctor.readers.merge_record import RECORD
from sage_doctor.readers.safetensors_header import Header, Tensor
from sage_doctor.readers.tree import TOKENIZER_FILES
from sage_doctor.subjects.model import Model
from sage_doctor.system.activity import Meter, OnProgress, ignore
from sage_doctor.system.path_info import UnreadableFile
from sage_doctor.text import printable

# Small files that decide what a model computes or says. A record of a merge has dates and paths, and is no part of it.
COMPANIONS: Final = TOKENIZER_FILES | {
    *("config.json", "generation_config.json", "adapter_config.json", "added_tokens.json"),
    *("chat_template.jinja", "chat_template.json", "preprocessor_config.json", "processor_config.json"),
}
_MOST_RECORD = 1 << 24


def record_models(
    models: Iterable[Model], *, cache: Path | None, on_progress: OnProgress = ignore
) -> dict[str, LockedModel | UnreadableFile]:
    """Return an entry for each model by name, or why one of its files could not be read.

    `cache` is the file that remembers hashes. `on_progress` is called from any thread with bytes done and bytes in all.
    """
    models = list(models)
    files = {m.name: _files(m) for m in models}
    bases = {m.name: _base_files(m) for m in models}
    wanted = [m.path / n for m in models for n in files[m.name]]
    wanted += [p for paths in bases.values() for p in paths]
    hashes = _hashed(wanted, cache, on_progress)
    found: dict[str, LockedModel | UnreadableFile] = {}
    for model in models:
        unread = next((e for n in files[model.name] if isinstance(e := hashes[model.path / n], UnreadableFile)), None)
        if unread is not None:
            found[model.name] = unread
        else:
            sums = {n: str(hashes[model.path / n]) for n in files[model.name]}
            found[model.name] = _entry(model, sums, [hashes[p] for p in bases[model.name]])
    return found


def _hashed(paths: list[Path], cache: Path | None, on_progress: OnProgress) -> Mapping[Path, str | UnreadableFile]:
    total = sum(os.path.getsize(p) for p in dict.fromkeys(paths) if os.path.exists(p))
    meter = Meter(on_progress, "hashing", total)
    return {p: h for (p, _), h in hash_files([(p, "sha256") for p in paths], cache=cache, progress=meter).items()}


def _files(model: Model) -> list[str]:
    """Return the names of the files that make the model what it is, sorted."""
    names = {n for n in COMPANIONS | _code(model) if model.tree.is_file(n)}
    names |= {n for n, _ in weight_headers(model) if model.tree.info(n).kind == "file"}
    return sorted(n for n in names if is_inside(n) and not any(0xD800 <= ord(c) <= 0xDFFF for c in n))


def _code(model: Model) -> frozenset[str]:
    """Return Python files beside the weights, and the index of shards."""
    entry = {model.weights.entry} if model.weights.index is not None and model.weights.entry else set()
    return frozenset(n for n in model.tree.names if n.endswith(".py")) | frozenset(n for n in entry if n)


def weight_headers(model: Model) -> list[tuple[str, Header | None]]:
    """Return the weight files that a load would read, by name, with their headers where they are safetensors."""
    if model.kind == "adapter":
        weights = model.adapter_weights
        return [(weights.name, weights.header)] if weights.name is not None else []
    return [(f.name, f.header) for f in model.weights.files]


def _base_files(model: Model) -> list[Path]:
    base = model.base.model if model.kind == "adapter" else None
    if base is None or not base.found:
        return []
    return [base.path / n for n, _ in weight_headers(base) if holds_weights(n) and base.tree.info(n).kind == "file"]


def _entry(model: Model, sums: Mapping[str, str], base: list[str | UnreadableFile]) -> LockedModel:
    headers = dict(weight_headers(model))
    files = {}
    for name, sha256 in sums.items():
        header = headers.get(name)
        shape = digest(_lines(header.tensors.values())) if header is not None and header.problem is None else None
        files[name] = LockedFile(size=model.tree.info(name).size, sha256=sha256, header=shape)
    return LockedModel(
        kind=model.kind,
        files=files,
        tensors=locked_tensors(model),
        base=_base(model, base) if model.kind == "adapter" else None,
        merge=_merge(model) if model.kind == "merged" else None,
        repository=model.reference.hub,
        commit=model.hub.commit if model.hub is not None else None,
    )


def _lines(tensors: Iterable[Tensor]) -> list[str]:
    """Return one line a tensor, sorted. JSON, so that a name with a line end in it is still one line."""
    return sorted(json.dumps([t.name, t.dtype, list(t.shape)]) for t in tensors)


def locked_tensors(model: Model) -> LockedTensors | None:
    """Return what the tensors of all weights are together, None where no header can be read."""
    tensors = list(model.tensors.values())
    if not tensors:
        return None
    kinds = Counter(t.dtype for t in tensors)
    return LockedTensors(
        count=len(tensors),
        dtypes=", ".join(f"{name} {kinds[name]}" for name in sorted(kinds)),
        header=digest(_lines(tensors)),
        shapes=digest(sorted(json.dumps([t.name, list(t.shape)]) for t in tensors)),
    )


def _base(model: Model, hashes: list[str | UnreadableFile]) -> LockedBase:
    base = model.base.model
    named = base.name if base is not None and model.siblings.get(base.name) is base else None
    sums = [h for h in hashes if isinstance(h, str)]
    whole = bool(sums) and len(sums) == len(hashes)
    declared = model.adapter_config.base
    return LockedBase(
        declared=printable(declared, limit=500) if declared is not None else None,
        model=named,
        weights=weights_digest(sums) if whole else None,
    )


def _merge(model: Model) -> LockedMerge | None:
    recipe = model.spec.merge if model.spec is not None else None
    record = read_json_object(model.path / RECORD, most=_MOST_RECORD).value or {}
    entry = LockedMerge(
        base=recipe.base if recipe is not None and recipe.base_path is None else None,
        adapter=recipe.adapter if recipe is not None and recipe.adapter_path is None else None,
        base_weights=_recorded(record, "base"),
        adapter_weights=_recorded(record, "adapter"),
    )
    return entry if entry != LockedMerge() else None


def _recorded(record: Mapping[str, Any], part: str) -> str | None:
    """Return the digest of the weights that a merge read from its base or adapter, as its record has them."""
    place = record.get(part)
    root = place.get("path") if isinstance(place, dict) else None
    inputs = record.get("inputs")
    if not isinstance(root, str) or not isinstance(inputs, list):
        return None
    sums = []
    for item in inputs:
        path, sha256 = (item.get("path"), item.get("sha256")) if isinstance(item, dict) else (None, None)
        if not isinstance(path, str) or not holds_weights(path) or os.path.dirname(path) != root.rstrip("/"):
            continue
        if not isinstance(sha256, str) or algorithm_of(sha256) != "sha256":
            return None
        sums.append(sha256)
    return weights_digest(sums) if sums else None
