"""Whether a repair can fix what a check found: asked by the check that names the repair, and again by the repair.

Each question is answered with the obstacle as a sentence, or with an empty text where there is none.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sage_doctor.facts.weights import expected_shards, read_weights, whole_set
from sage_doctor.facts.wholeness import directory_defects, summary, weight_defects
from sage_doctor.readers.safetensors_header import Header, read_header
from sage_doctor.readers.tree import Tree, read_tree
from sage_doctor.subjects.model import Model
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import join_limited, printable

if TYPE_CHECKING:
    from sage_doctor.facts.hub_cache import HubFacts

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


def shard_headers(model: Model) -> dict[str, Header]:
    """Return the headers of the shards that an index is made from, by file name."""
    return {name: read_header(model.path / name) for name in whole_set(model.weights.shards)}


def set_without_index(model: Model) -> list[str] | None:
    """Return the files of the whole weights that a loader would take if the shard index were not there, or None."""
    index = model.weights.index
    if index is None or model.weights.explicit is not None:
        return None
    others = read_weights(_without(model.tree, index.name), model.config_file.value)
    if others.form == "none" or weight_defects(model.tree, others):
        return None
    return [f.name for f in others.files]


def why_not_index(model: Model) -> str:
    """Return why no index can be made from the shards that are there."""
    shards = whole_set(model.weights.shards)
    if model.hub is not None:
        return "it is in the Hugging Face cache, which only downloads change"
    if model.weights.explicit is not None:
        return "config.json names other weights (transformers_weights)"
    if not shards:
        return "there are no shards"
    if len({name.rpartition("-of-")[0].rpartition("-")[0] + name.rpartition("-of-")[2] for name in shards}) > 1:
        return "there are shards of more than one set"
    lacking = expected_shards(shards)
    if lacking:
        return f"shards are missing: {join_limited(lacking, most=3)}"
    headers = shard_headers(model)
    for name, header in headers.items():
        if header.problem is not None:
            return f"{printable(name)}: {printable(header.problem.message)}"
    names = [t for h in headers.values() for t in h.tensors]
    held = Counter(names)
    if len(names) != len(held):
        twice = sorted(n for n, count in held.items() if count > 1)
        return f"shards hold the same tensor: {join_limited(twice, most=2)}"
    index = model.weights.index
    lost = sorted(set(index.weight_map) - set(held)) if index is not None and not index.problem else []
    if lost:
        return f"the index names tensors that no shard holds, so the shards may be wrong: {join_limited(lost, most=2)}"
    return ""


def why_not_quarantine(model: Model) -> str:
    """Return why `model.safetensors` is not known to be the stale one of two sets of weights."""
    if model.hub is not None:
        return "it is in the Hugging Face cache, which only downloads change"
    tree = model.tree
    if not (tree.is_file(SINGLE) and tree.is_file(INDEX)) or model.weights.explicit is not None:
        return "there are not two sets of weights to choose from"
    incomplete = why_not_shards(model)
    if incomplete:
        return incomplete
    if read_header(model.path / SINGLE).problem is not None:
        return ""
    single = inspect_path(model.path / SINGLE).mtime_ns
    others = read_weights(_without(tree, SINGLE), model.config_file.value)
    if any(f.node.mtime_ns <= single for f in others.files):
        return f"both sets are complete, and {SINGLE} is not older than every shard"
    return ""


def why_not_shards(model: Model) -> str:
    """Return why the sharded set beside `model.safetensors` is not whole."""
    others = read_weights(_without(model.tree, SINGLE), model.config_file.value)
    index = others.index
    if index is None or index.problem or index.escaping or not index.has_metadata:
        return f"{INDEX} cannot be used"
    defects = weight_defects(model.tree, others)
    if defects:
        return f"the sharded set is not complete: {summary(defects)}"
    held = {(t, f.name) for f in others.files if f.header is not None for t in f.header.tensors}
    if others.form == "sharded" and held != set(index.weight_map.items()):
        return f"{INDEX} does not match the shards"
    return ""


def _without(tree: Tree, name: str) -> Tree:
    return dataclasses.replace(tree, names=tree.names - {name})


def why_not_ref(hub: HubFacts) -> str:
    """Return why no ref can be written that surely names the right snapshot."""
    if hub.revision != "main":
        return f"which snapshot {printable(hub.revision)} was is not known"
    if len(hub.snapshots) != 1:
        return f"there are {len(hub.snapshots)} snapshots: {join_limited(list(hub.snapshots))}"
    commit = hub.snapshots[0]
    if len(commit) != 40 or set(commit) - set("0123456789abcdef"):
        return f"{printable(commit, limit=60)} is not a commit"
    other = next((name for name, value in hub.refs.items() if value.strip() == commit), None)
    if other is not None:
        return f"the only snapshot is that of {printable(other)}"
    from sage_doctor.facts.hub_cache import resolve_hub  # noqa: PLC0415 - most runs never ask the cache

    found = resolve_hub(hub.folder.parent, hub.repo_id, commit)
    if found.dangling or found.snapshot is None:
        return "the snapshot is not complete: some of its files are broken links"
    defects = directory_defects(read_tree(found.snapshot))
    return f"the snapshot is not complete: {summary(defects)}" if defects else ""


def why_not_links(hub: HubFacts) -> str:
    """Return why the links of a snapshot cannot be made again from the texts that they became."""
    if hub.snapshot is None or not hub.texts:
        return "there are no such texts"
    root = os.path.realpath(hub.folder)
    if os.path.realpath(hub.snapshot) != os.path.join(root, "snapshots", hub.snapshot.name):
        return "the snapshot is a link that leads elsewhere"
    for text in hub.texts:
        blob = inspect_path(hub.folder / "blobs" / text.blob)
        if blob.kind != "file" or blob.is_link:
            return f"the blob of {printable(text.name)} is missing"
        place = os.path.realpath((hub.snapshot / text.name).parent)
        if place != os.path.join(root, "snapshots", hub.snapshot.name) and not place.startswith(
            os.path.join(root, "snapshots", hub.snapshot.name) + os.sep
        ):
            return f"{printable(text.name)} lies in a directory that is a link"
    return ""


def why_not_modes(model: Model, names: Sequence[str]) -> str:
    """Return why the modes of these files must not be changed: a directory may hold links to anything."""
    root = model.hub.folder if model.hub is not None else model.path
    real = os.path.realpath(root)
    for name in names:
        path = model.path / name
        target = os.path.realpath(path)
        if target != real and not target.startswith(real + os.sep):
            return f"{printable(name)} is a link that leads out of the model directory"
        try:
            found = os.stat(target)
        except OSError as error:
            return f"{printable(name)}: {os.strerror(error.errno or 0).lower()}"
        if os.getuid() not in (0, found.st_uid):
            return f"{printable(name)} belongs to user {found.st_uid}; only that user or root may change its mode"
        if found.st_nlink > 1 and os.path.isfile(target):
            return f"{printable(name)} is one file under several names (hard links): its mode would change for all"
    return ""
