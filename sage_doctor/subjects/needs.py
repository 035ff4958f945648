"""What a model needs of the machine: memory to load it, disk to build it. Nothing is read but headers.

What a session adds per token (the cache of keys and values) is left out: for the tokens a check generates it is small
beside the weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sage_doctor.facts.machine import disk_free
from sage_doctor.facts.quantization import method_of
from sage_doctor.facts.weights import read_weights
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.tree import read_tree
from sage_doctor.subjects.completeness import own_defects
from sage_doctor.subjects.device import own_memory, runs_on_cpu, session_device
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.recipe import recipe_places
from sage_doctor.system.frozen import frozen

# What a session needs besides the weights: interpreter, libraries, activations. Measured with transformers 4.57 and
# 5.23: 250 to 265 MB that no file stands behind on the CPU; an accelerator's libraries and its context take more.
OVERHEAD_CPU_BYTES = 300_000_000
OVERHEAD_BYTES = 700_000_000
# Mapped weights that do not stay in memory are read from the disk again for every token; so much a disk reads in a
# second or less, and nobody notices.
_REREAD_UNNOTICED = 500_000_000
_ELEMENT_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}
_STORED_AS = {"float32": "F32", "float64": "F64", "bfloat16": "BF16", "float16": "F16"}
_FLOATING = ("F64", "F32", "F16", "BF16")
# MXFP4 packs two numbers into a byte; where its kernels are not installed they are unpacked into bfloat16.
_MXFP4_UNPACKED = 4


# Experts that lie in the file one by one are put together while they are loaded: those are copies.
_ONE_BY_ONE = re.compile(r"\.experts\.\d+\.")


@frozen
class Shortage:
    """Bytes that loading a model takes, that are free now, and that could be swapped out to make room."""

    needed: int
    free: int
    swap: int


def shortage(model: Model) -> Shortage | None:
    """Return by how much the machine's memory is too short to load this model now; None where it is not, or untold.

    Of an accelerator with memory of its own nothing is said: only a probe can tell.
    """
    machine = model.host.machine
    if own_memory(model.host, session_device(model.host, model)):
        return None
    free, total = machine.effective_available, machine.memory_total
    if free is None:
        return None
    needed, swap = memory_needed(model), swap_for(model)
    # Swap is slow: where a service has the model loaded, it is asked before anything is swapped for good.
    short = needed > free + swap or (model.served_by is not None and total is not None and needed > total)
    return Shortage(needed=needed, free=free, swap=swap) if short else None


def swap_for(model: Model, *, total: bool = False) -> int:
    """Return the bytes of swap that a load can use, or of all there is.

    Memory that an accelerator shares is pinned while it uses it: never swapped.
    """
    machine = model.host.machine
    if machine.unified_memory and session_device(model.host, model) != "cpu":
        return 0
    memory = machine.memory
    return min(memory.swap_total or 0, memory.swap_limit or memory.swap_total or 0) if total else memory.effective_swap


def memory_needed(model: Model) -> int:
    """Return the bytes that loading this model takes at its peak: its weights, its base's, and what a session needs.

    Weights that are only mapped do not count: the kernel gives their memory away whenever somebody else needs it.
    """
    if model.served_by is not None:  # who has it loaded already is asked before memory is tight
        return weight_bytes(model) + OVERHEAD_BYTES
    overhead = OVERHEAD_CPU_BYTES if runs_on_cpu(model.host, model) else OVERHEAD_BYTES
    return weight_bytes(model) - mapped_bytes(model) + overhead


def mapped_bytes(model: Model) -> int:
    """Return the bytes of weights that a load maps from their files and does not copy.

    safetensors are mapped; what goes to an accelerator, or is turned into another type, is copied.
    """
    whole = model.base.model if model.kind == "adapter" else model
    if whole is None or whole.weights.form not in ("single", "sharded") or quantization(whole):
        return 0
    if not runs_on_cpu(model.host, model) or any(map(_ONE_BY_ONE.search, whole.tensors)):
        return 0
    declared = model.spec.dtype if model.spec is not None else "auto"
    kept = _STORED_AS.get(_loaded_as(whole, declared))
    return sum(t.end - t.start for t in whole.tensors.values() if kept is None or t.dtype == kept)


def rereads(model: Model, free: int) -> int:
    """Return the bytes of weights that do not stay in `free` bytes of memory, 0 where nobody would notice."""
    lacking = memory_needed(model) + mapped_bytes(model) - free
    return lacking if lacking > _REREAD_UNNOTICED else 0


def weight_bytes(model: Model) -> int:
    """Return the bytes that the weights take once loaded, an adapter's base included."""
    declared = model.spec.dtype if model.spec is not None else "auto"
    if model.kind != "adapter":
        return _full(model, declared)
    base = model.base.model
    # peft keeps the adapter's own weights in float32, whatever they are stored in.
    own = sum(t.elements * 4 if t.dtype in _FLOATING else t.end - t.start for t in model.tensors.values())
    return own + (_full(base, declared) if base is not None else 0)


def _full(model: Model, declared: str) -> int:
    if not model.tensors:
        return model.weights.nbytes
    width = _ELEMENT_BYTES.get(_loaded_as(model, declared))
    method = quantization(model)
    unpacked = _MXFP4_UNPACKED if method.get("quant_method") == "mxfp4" and not _has_kernels(model) else 1
    total = 0
    for name, tensor in model.tensors.items():
        stored = tensor.end - tensor.start
        if tensor.dtype not in _FLOATING:
            total += stored * (unpacked if name.endswith("_blocks") else 1)
        elif width is None:
            total += stored
        else:
            total += tensor.elements * width
    if not any(t.dtype not in _FLOATING for t in model.tensors.values()):
        total = int(total * _quantized_on_load(method))
    return total


def _loaded_as(model: Model, declared: str) -> str:
    """Return the type that weights are turned into, `auto` where they stay what they are."""
    dtype = declared if declared != "auto" else model.config.dtype or "auto"
    return dtype.removeprefix("torch.")


def quantization(model: Model) -> Mapping[str, Any]:
    """Return `quantization_config` of config.json, empty where there is none."""
    found = (model.config_file.value or {}).get("quantization_config")
    return found if isinstance(found, Mapping) else {}


def quantization_method(model: Model) -> str | None:
    """Return the quantisation by which a load goes, as transformers names it; None where it goes by none.

    `bitsandbytes` alone, with neither of its two widths asked for, is none.
    """
    return method_of(quantization(model))


def _has_kernels(model: Model) -> bool:
    packages = model.host.session.packages
    return packages.get("kernels") is not None and packages.get("triton") is not None


def _quantized_on_load(method: Mapping[str, Any]) -> float:
    """Return what is left of weights that are stored whole and quantised while they are loaded (bitsandbytes)."""
    if method.get("load_in_4bit") is True:
        return 0.5  # embeddings and norms stay whole, so never count on the full quarter
    return 0.75 if method.get("load_in_8bit") is True else 1.0


def room_to_rebuild(model: Model) -> tuple[int, int] | None:
    """Return the bytes that merging a model again would write, and those that are free where it lies.

    None where it is whole, cannot be built here, or the file system does not tell. A merge keeps the old directory
    until the new one is proved, so what lies there is no room.
    """
    places = recipe_places(model)
    if places is None or (model.found and not own_defects(model)):
        return None
    base = read_weights(read_tree(places[0]), read_json_object(places[0] / "config.json", most=1 << 24).value)
    try:
        return (base.nbytes, disk_free(model.path)) if base.nbytes else None
    except OSError:
        return None
