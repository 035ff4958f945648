"""What loading a model takes in memory, and whether that much is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sage_doctor.model import Model

# What a session needs besides the weights: interpreter, libraries, activations.
OVERHEAD_BYTES = 700_000_000
_ELEMENT_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}
_STORED_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16}


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """Bytes that loading a model takes, that are free now, and that could be swapped out to make room."""

    needed: int
    free: int
    swap: int


def shortage(model: Model) -> Shortage | None:
    """Return by how much memory is too short to load this model now, or None where it is not or nobody knows."""
    machine = model.host.machine
    free, total = machine.effective_available, machine.memory_total
    if free is None:
        return None
    needed = memory_needed(model)
    swap = machine.memory.swap_free or 0
    short = needed > free + swap or (total is not None and needed > total)
    return Shortage(needed=needed, free=free, swap=swap) if short else None


def memory_needed(model: Model) -> int:
    """Return the bytes that loading this model takes at its peak, estimated from headers and the declared dtype."""
    base = model.base.model if model.kind == "adapter" else None
    dtype = model.spec.dtype if model.spec is not None else "auto"
    total = _in_memory(model, dtype) + (_in_memory(base, dtype) if base is not None else 0)
    return total + OVERHEAD_BYTES


def _in_memory(model: Model, dtype: str) -> int:
    width: Mapping[str, int] = _ELEMENT_BYTES
    if not model.tensors:
        return model.weights.nbytes
    total = 0
    for tensor in model.tensors.values():
        stored = tensor.end - tensor.start
        floating = tensor.dtype in _STORED_BITS
        total += tensor.elements * width[dtype] if floating and dtype in width else stored
    return total
