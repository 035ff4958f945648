"""Whether an adapter's tensors change anything: before training, one matrix of each pair is all zeros."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sage_doctor.facts.adapters import LoraTensor, lora_tensors
from sage_doctor.readers.safetensors_entries import BITS
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.system.path_info import read_range

# What mends an adapter without effect: a copy from another machine would be of the same.
LATER_CHECKPOINT: Final = (
    "Take a checkpoint from later in its training. If that one is all zeros as well, none of its layers were trained."
)
_BLOCK = 1 << 20
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_ZEROS = b"\x00\x80"  # what the last byte of a zero may be: -0.0 has its sign
_MATRICES = frozenset({"A", "B", "embedding_A", "embedding_B"})


def is_scaled_to_nothing(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> bool:
    """Return whether the configuration, `values`, gives every pair the scale zero, and there is nothing but pairs."""
    return values.get("lora_alpha") == 0 and not values.get("alpha_pattern") and bool(_only_pairs(tensors))


def has_no_effect(path: Path, tensors: Mapping[str, Tensor]) -> bool:
    """Return whether every tensor belongs to a LoRA pair of which one matrix is zero. Raises `UnreadableFile`.

    The first block of a file tells in nearly every case.
    """
    loras = _only_pairs(tensors)
    pairs: dict[str, list[Tensor]] = {}
    for lora in sorted(loras, key=lambda t: t.part, reverse=True):  # B is the one that starts with zeros
        pairs.setdefault(f"{lora.module} {lora.part.startswith('embedding')}", []).append(lora.tensor)
    return bool(loras) and all(any(_is_zero(path, t) for t in pair) for pair in pairs.values())


def _only_pairs(tensors: Mapping[str, Tensor]) -> list[LoraTensor]:
    """Return the matrices of LoRA pairs, none where others are among the tensors: they change the base by themselves.

    Those are whole tensors, rows, biases and magnitudes.
    """
    loras = lora_tensors(tensors.values())
    return loras if len(loras) == len(tensors) and all(t.part in _MATRICES for t in loras) else []


def _is_zero(path: Path, tensor: Tensor) -> bool:
    if tensor.dtype not in _FLOATS or tensor.end <= tensor.start:
        return False
    width = BITS[tensor.dtype] // 8
    for at in range(tensor.start, tensor.end, _BLOCK):
        raw = read_range(path, at, min(_BLOCK, tensor.end - at))
        if raw[width - 1 :: width].translate(None, _ZEROS) or any(raw[n::width].strip(b"\0") for n in range(width - 1)):
            return False
    return True
