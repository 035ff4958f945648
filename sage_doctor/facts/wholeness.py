"""Whether a directory holds a whole model or adapter: the one list of reasons why a load would not find all of it.

By names, sizes and headers alone, so that everybody can ask at any time. What has no defect here may still be wrong in
ways that only a check finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from sage_doctor.facts.adapters import AdapterConfig, AdapterWeights, read_adapter_config, read_adapter_weights
from sage_doctor.facts.weights import Weights, read_weights
from sage_doctor.readers.json_object import JsonFile, read_json_object
from sage_doctor.readers.safetensors_header import Header, read_stand_in
from sage_doctor.readers.tree import Tree
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import PathInfo
from sage_doctor.text import join_limited, printable

DefectKind = Literal["config", "no-weights", "index", "file-missing", "file-broken", "tensors-missing"]


@frozen
class Defect:
    """One thing that a load would miss. `message` is a clause that names the file."""

    kind: DefectKind
    message: str


def summary(defects: Sequence[Defect]) -> str:
    """Return the first defect and how many there are besides, empty where there are none."""
    if not defects:
        return ""
    return defects[0].message + (f" (and {len(defects) - 1} more)" if len(defects) > 1 else "")


def directory_defects(tree: Tree) -> tuple[Defect, ...]:
    """Return what a directory lacks of a whole model or, where it has an adapter_config.json, of a whole adapter."""
    if tree.has("adapter_config.json"):
        return adapter_defects(tree, read_adapter_config(tree), read_adapter_weights(tree))
    config = read_json_object(tree.path / "config.json", most=1 << 24)
    return model_defects(tree, config, read_weights(tree, config.value))


def model_defects(tree: Tree, config: JsonFile, weights: Weights) -> tuple[Defect, ...]:
    """Return what a full model lacks, the cause of the rest first."""
    return (*_config_defect("config.json", config), *weight_defects(tree, weights))


def adapter_defects(tree: Tree, config: AdapterConfig, weights: AdapterWeights) -> tuple[Defect, ...]:
    """Return what an adapter lacks in its own directory; its base is another directory."""
    found = list(_config_defect("adapter_config.json", config.file))
    if weights.name is None or weights.node is None:
        found.append(Defect(kind="no-weights", message="the adapter's weights are missing"))
    else:
        header = read_stand_in(tree.path / weights.name) if weights.pickle else weights.header
        found += _file_defect(weights.name, weights.node, header)
    return tuple(found)


def weight_defects(tree: Tree, weights: Weights) -> tuple[Defect, ...]:
    """Return what is missing or broken among the weights that a load of this directory would read."""
    if weights.form == "none":
        return (Defect(kind="no-weights", message="the weights are missing"),)
    index = weights.index
    if index is not None and (index.problem or index.escaping):
        reason = (
            index.problem or f"it names files outside of the directory: {join_limited(list(index.escaping), most=2)}"
        )
        return (Defect(kind="index", message=f"{printable(index.name)} cannot be used: {printable(reason)}"),)
    pickled = weights.form in ("pickle", "pickle-sharded")
    found: list[Defect] = []
    for file in weights.files:
        is_file = file.node.kind == "file"
        header = read_stand_in(tree.path / file.name) if pickled and is_file else file.header
        found += _file_defect(file.name, file.node, header)
    if found or index is None or pickled:  # which tensors a pickle holds is not known: it is never opened
        return tuple(found)
    absent = sorted(index.weight_map.keys() - weights.tensors().keys())
    if not absent:
        return ()
    message = f"{printable(index.name)} names tensors that no file holds: {join_limited(absent, most=2)}"
    return (Defect(kind="tensors-missing", message=message),)


def _config_defect(name: str, file: JsonFile) -> Iterator[Defect]:
    if file.value is None:
        reason = "is missing" if file.missing else f"cannot be used: {printable(file.problem)}"
        yield Defect(kind="config", message=f"{name} {reason}")


def _file_defect(name: str, node: PathInfo, header: Header | None) -> Iterator[Defect]:
    shown = printable(name)
    if node.kind != "file":
        detail = f": {printable(node.detail)}" if node.kind != "missing" and node.detail else ""
        yield Defect(kind="file-missing", message=f"{shown} is missing{detail}")
    elif header is not None and header.problem is not None:
        yield Defect(kind="file-broken", message=f"{shown} is broken: {printable(header.problem.message)}")
