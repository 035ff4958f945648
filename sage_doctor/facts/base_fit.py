"""Whether a model directory could be an adapter's base at all: it has weights, and they have the adapter's sizes.

That two fit proves nothing: a base and all that was fine-tuned from it have the same shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sage_doctor.facts.adapters import LoraTensor
from sage_doctor.facts.base_modules import BaseModules
from sage_doctor.facts.config import read_config_facts
from sage_doctor.facts.weights import read_weights
from sage_doctor.facts.wholeness import directory_defects
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.tree import read_tree

_MATRIX = 2
_MOST_COMPARED = 64


def could_be_base(path: Path, loras: Sequence[LoraTensor]) -> bool:
    """Return whether the model at `path` is whole, no adapter, and of the sizes of these LoRA tensors.

    Where names cannot be joined, or numbers are packed, only what config.json says of the width is compared.
    """
    tree = read_tree(path)
    if tree.has("adapter_config.json") or directory_defects(tree):
        return False
    values = read_json_object(path / "config.json", most=1 << 24).value or {}
    facts = read_config_facts(values)
    matrices = [t for t in loras if len(t.tensor.shape) == _MATRIX][:_MOST_COMPARED]
    weights = read_weights(tree, values)
    if weights.form in ("single", "sharded") and not facts.quantized:
        modules = BaseModules(weights.tensors())
        joined = [(t, b.shape) for t in matrices if (b := modules.find(t.module)) is not None]
        if joined:
            return all(_free_side(t) in shape for t, shape in joined if len(shape) == _MATRIX)
    sides = {_free_side(t) for t in matrices}
    return facts.hidden_size is None or not sides or facts.hidden_size in sides


def _free_side(lora: LoraTensor) -> int:
    """Return the size of a matrix that is not the rank: the inputs of A, the outputs of B."""
    shape = lora.tensor.shape
    return shape[1] if lora.part in ("A", "embedding_A") else shape[0]
