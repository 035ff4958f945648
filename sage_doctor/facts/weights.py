"""The weight files of a model directory, in the order in which `from_pretrained` looks for them.

Order of transformers 5.23 for a local directory (`modeling_utils._get_resolved_checkpoint_files`):
`config.transformers_weights`, `model.safetensors`, `model.safetensors.index.json`, `pytorch_model.bin`,
`pytorch_model.bin.index.json`. Each must be a regular file; a variant (`model.fp16.safetensors`) is not looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from sage_doctor.readers.json_object import JsonFile, read_json_object
from sage_doctor.readers.safetensors_header import Header, Tensor, read_header
from sage_doctor.readers.tree import Tree
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import PathInfo, inspect_path

WeightsFormat = Literal["single", "sharded", "pickle", "pickle-sharded", "none"]

LOOKUP: tuple[tuple[str, WeightsFormat], ...] = (
    ("model.safetensors", "single"),
    ("model.safetensors.index.json", "sharded"),
    ("pytorch_model.bin", "pickle"),
    ("pytorch_model.bin.index.json", "pickle-sharded"),
)
_SHARD = re.compile(r"^(?P<stem>model|pytorch_model)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors$", re.ASCII)


@frozen
class WeightFile:
    """One file that a load would open: its name in the directory, what lies there, and its header."""

    name: str
    node: PathInfo
    header: Header | None = None


@frozen
class ShardIndex:
    """A shard index as read. `problem` is set where it cannot be used; `line` is where, 0 where unknown.

    `escaping` lists file names that lead out of the directory: they are never opened. `total_size` is the bytes of all
    tensors, as it says.
    """

    name: str
    weight_map: Mapping[str, str] = field(default_factory=dict)
    escaping: tuple[str, ...] = ()
    has_metadata: bool = True
    problem: str = ""
    line: int = 0
    total_size: int | None = None

    @property
    def files(self) -> list[str]:
        """The shard files named, sorted, without the escaping ones."""
        return sorted(set(self.weight_map.values()) - set(self.escaping))


@frozen
class Weights:
    """What a load of this directory would read.

    `entry` is the file the loader picks first (None where it would find none); `blocked_names` are names of the
    lookup order that exist but are no regular files, so that the loader passes over them; `shards` are shard files
    in the directory.
    """

    form: WeightsFormat
    entry: str | None
    index: ShardIndex | None = None
    files: tuple[WeightFile, ...] = ()
    shards: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    blocked_names: tuple[tuple[str, PathInfo], ...] = ()
    explicit: str | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the readable files by name. For shards, as the headers say, not the index."""
        found: dict[str, Tensor] = {}
        for file in self.files:
            if file.header is not None:
                found.update(file.header.tensors)
        return found

    @property
    def nbytes(self) -> int:
        """The size of the files that a load would read, in bytes."""
        return sum(f.node.size for f in self.files)


def read_weights(tree: Tree, config: Mapping[str, Any] | None = None) -> Weights:
    """Return what a load of the directory would read; headers only, no pickle is opened."""
    blocked = tuple((name, node) for name, _ in LOOKUP if tree.has(name) and (node := tree.info(name)).kind != "file")
    shards = tuple(n for n in sorted(tree.names) if _SHARD.match(n))
    present = tuple(name for name, _ in LOOKUP if tree.is_file(name))
    common: dict[str, Any] = {"blocked_names": blocked, "shards": shards, "present": present}
    explicit = (config or {}).get("transformers_weights")
    if isinstance(explicit, str):
        return _explicit(tree, explicit, common)
    for name, form in LOOKUP:
        if name in present:
            return _chosen(tree, name, form, common)
    return Weights(form="none", entry=None, **common)


def _explicit(tree: Tree, name: str, common: dict[str, Any]) -> Weights:
    sharded = name.endswith(".safetensors.index.json")
    pickle = name == "adapter_model.bin"  # the one other name that transformers lets through
    if escapes(name):
        index = ShardIndex(name="config.json", escaping=(name,))
        return Weights(form="single", entry=name, index=index, explicit=name, **common)
    if not (sharded or pickle or name.endswith(".safetensors")):
        problem = f"transformers_weights is {name!r}, neither *.safetensors nor *.safetensors.index.json"
        index = ShardIndex(name="config.json", problem=problem)
        return Weights(form="single", entry=name, index=index, explicit=name, **common)
    if inspect_path(tree.path / name).kind != "file" and not sharded:
        return Weights(form="none", entry=None, explicit=name, **common)
    form: WeightsFormat = "sharded" if sharded else "pickle" if pickle else "single"
    return _chosen(tree, name, form, {**common, "explicit": name})


def _chosen(tree: Tree, name: str, form: WeightsFormat, common: dict[str, Any]) -> Weights:
    if form == "single":
        return Weights(form=form, entry=name, files=(_weight_file(tree.path, name),), **common)
    if form == "pickle":
        return Weights(form=form, entry=name, files=(WeightFile(name=name, node=tree.info(name)),), **common)
    index = read_shard_index(tree.path / name)
    if index.files:  # the end of the first shard's name decides how all are read, whatever the index is called
        form = "sharded" if index.files[0].endswith(".safetensors") else "pickle-sharded"
    if form == "sharded":
        files = tuple(_weight_file(tree.path, n) for n in index.files)
    else:
        files = tuple(
            _weight_file(tree.path, n)
            if n.endswith(".safetensors")
            else WeightFile(name=n, node=inspect_path(tree.path / n))
            for n in index.files
        )
    return Weights(form=form, entry=name, index=index, files=files, **common)


def _weight_file(directory: Path, name: str) -> WeightFile:
    path = directory / name
    node = inspect_path(path)
    return WeightFile(name=name, node=node, header=read_header(path) if node.kind == "file" else None)


def escapes(name: str) -> bool:
    """Return whether a file name from a config or index leads out of its directory, or could be made to."""
    return os.path.isabs(name) or "\0" in name or "\\" in name or os.path.normpath(name).split(os.sep)[0] == ".."


def read_shard_index(path: Path) -> ShardIndex:
    """Return the shard index at `path`. Never raises for what it holds."""
    file: JsonFile = read_json_object(path)
    name = path.name
    if file.value is None:
        return ShardIndex(name=name, problem="missing" if file.missing else file.problem, line=file.line)
    weight_map = file.value.get("weight_map")
    if not isinstance(weight_map, dict):
        what = "no weight_map" if weight_map is None else "a weight_map that is not an object"
        return ShardIndex(name=name, problem=f"it has {what}")
    if not weight_map:
        return ShardIndex(name=name, problem="its weight_map is empty")
    odd = next((k for k, v in weight_map.items() if not isinstance(v, str) or not v), None)
    if odd is not None:
        return ShardIndex(name=name, problem=f"its weight_map names no file for the tensor {odd!r}")
    metadata = file.value.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    return ShardIndex(
        name=name,
        weight_map=weight_map,
        total_size=total if isinstance(total, int) and 0 < total < 1 << 60 else None,
        escaping=tuple(sorted({v for v in weight_map.values() if escapes(v)})),
        has_metadata=isinstance(metadata, dict),
    )


def whole_set(names: Sequence[str]) -> tuple[str, ...]:
    """Return the shards of the only set (by its `-of-N`) that is complete by name; all where none or several are."""
    sets: dict[tuple[str, str], list[str]] = {}
    for name in names:
        if (m := _SHARD.match(name)) is not None:
            sets.setdefault((m["stem"], m["count"]), []).append(name)
    whole = [tuple(s) for (_, count), s in sets.items() if len(s) == int(count)]
    return whole[0] if len(whole) == 1 else tuple(names)


def expected_shards(names: tuple[str, ...]) -> list[str]:
    """Return the shard names that the `-of-N` in the given names promises but that are not among them."""
    missing: list[str] = []
    groups = {(m["stem"], int(m["count"])) for n in names if (m := _SHARD.match(n))}
    for stem, count in sorted(groups):
        if count <= 9999:
            want = (f"{stem}-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1))
            missing += [n for n in want if n not in names]
    return missing
