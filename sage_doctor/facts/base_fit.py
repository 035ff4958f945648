"""Whether a model could be an adapter's base at all: its weights are whole, and have the adapter's sizes.

That two fit proves nothing: a base and all that was fine-tuned from it have the same shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sage_doctor.facts.adapters import LoraTensor
from sage_doctor.facts.base_modules import BaseModules
from sage_doctor.facts.config import largest_named, read_config_facts
from sage_doctor.facts.embeddings import embedding_mismatches
from sage_doctor.facts.quantization import is_of_mlx
from sage_doctor.facts.weights import read_weights
from sage_doctor.facts.wholeness import directory_defects
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.readers.tree import read_tree
from sage_doctor.text import printable

_MATRIX = 2
_MOST_COMPARED = 64


def could_be_base(path: Path, loras: Sequence[LoraTensor], *, surely: bool = False) -> bool:
    """Return whether the model at `path` is whole, no adapter, none of MLX's, and of the sizes of these LoRA tensors.

    `surely` asks that sizes were compared: by the weights' names, not by what config.json says of the width alone,
    and that the two do not contradict each other.
    """
    tree = read_tree(path)
    if tree.has("adapter_config.json") or directory_defects(tree):
        return False
    values, tensors = _read(path)
    if is_of_mlx(values, tensors.values()):
        return False
    if surely and not any(BaseModules(tensors).find(t.module) for t in _matrices(loras)):
        return False
    if surely and any(embedding_mismatches(read_config_facts(values), values, tensors)):
        return False
    return not excluded(values, tensors, loras)


def why_not_base(path: Path, loras: Sequence[LoraTensor]) -> str:
    """Return why the sizes of the model at `path` exclude it as the base of these tensors, empty if they do not."""
    return excluded(*_read(path), loras)


def excluded(values: Mapping[str, Any], tensors: Mapping[str, Tensor], loras: Sequence[LoraTensor]) -> str:
    """Return why a model with this config.json and these tensors cannot be the base, empty where nothing says so.

    Where names cannot be joined, or numbers are packed, only what config.json says of width and depth is compared.
    """
    facts = read_config_facts(values)
    matrices = _matrices(loras)
    modules = BaseModules({} if facts.quantized else tensors)
    joined = [(t, b) for t in matrices if (b := modules.find(t.module)) is not None and len(b.shape) == _MATRIX]
    for lora, found in joined:
        if _free_side(lora) not in found.shape:
            size = "×".join(map(str, found.shape))
            return (
                f"the adapter's {printable(lora.tensor.name)} is for size {_free_side(lora)}, the base has {size} there"
            )
    deepest = largest_named(values, ("layer", "depth", "block"))
    beyond = next((t for t in loras if modules.beyond(t.module) is not None and 0 < deepest <= _layer(t.module)), None)
    if beyond is not None:
        return f"the adapter has {printable(beyond.tensor.name)}, and the base has {deepest} layers"
    sides = {_free_side(t) for t in matrices}
    if not joined and facts.hidden_size is not None and sides and facts.hidden_size not in sides:
        return f"the base has hidden size {facts.hidden_size}, and no matrix of the adapter has that size"
    return ""


def _read(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    """Return config.json and the tensors of a model; none where they cannot be read as safetensors."""
    values = read_json_object(path / "config.json", most=1 << 24).value or {}
    weights = read_weights(read_tree(path), values)
    return values, weights.tensors() if weights.form in ("single", "sharded") else {}


def _matrices(loras: Sequence[LoraTensor]) -> list[LoraTensor]:
    return [t for t in loras if len(t.tensor.shape) == _MATRIX][:_MOST_COMPARED]


def _layer(module: str) -> int:
    """Return the first number in a module's name, -1 without one."""
    return next((int(part) for part in module.split(".") if part.isdecimal() and len(part) < 10), -1)


def _free_side(lora: LoraTensor) -> int:
    """Return the size of a matrix that is not the rank: the inputs of A, the outputs of B."""
    shape = lora.tensor.shape
    return shape[1] if lora.part in ("A", "embedding_A") else shape[0]
