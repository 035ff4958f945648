"""Whether an adapter's tensors change anything: before training, one matrix of each pair is all zeros."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_doctor.facts.adapters import lora_tensors
from sage_doctor.readers.safetensors_entries import BITS
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.system.path_info import read_range

_BLOCK = 1 << 20
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_ZEROS = b"\x00\x80"  # what the last byte of a zero may be: -0.0 has its sign
_MATRICES = frozenset({"A", "B", "embedding_A", "embedding_B"})


def has_no_effect(path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> bool:
    """Return whether every tensor belongs to a LoRA pair whose product is zero. Raises `UnreadableFile`.

    One of its matrices is, or the scale that the configuration, `values`, gives it.

    Whole tensors, rows, biases and magnitudes change the base by themselves. The first block of a file tells in nearly
    every case.
    """
    loras = lora_tensors(tensors.values())
    if not loras or len(loras) != len(tensors) or any(t.part not in _MATRICES for t in loras):
        return False
    if values.get("lora_alpha") == 0 and not values.get("alpha_pattern"):
        return True
    pairs: dict[str, list[Tensor]] = {}
    for lora in sorted(loras, key=lambda t: t.part, reverse=True):  # B is the one that starts with zeros
        pairs.setdefault(f"{lora.module} {lora.part.startswith('embedding')}", []).append(lora.tensor)
    return all(any(_is_zero(path, t) for t in pair) for pair in pairs.values())


def _is_zero(path: Path, tensor: Tensor) -> bool:
    if tensor.dtype not in _FLOATS or tensor.end <= tensor.start:
        return False
    width = BITS[tensor.dtype] // 8
    for at in range(tensor.start, tensor.end, _BLOCK):
        raw = read_range(path, at, min(_BLOCK, tensor.end - at))
        if raw[width - 1 :: width].translate(None, _ZEROS) or any(raw[n::width].strip(b"\0") for n in range(width - 1)):
            return False
    return True
