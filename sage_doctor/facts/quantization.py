"""A quantisation that config.json states, against the weights beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sage_doctor.readers.safetensors_header import Tensor

# Methods whose tensors are of these types: without a single one, nothing in the weights is quantised.
_STORED: Final = {
    "bitsandbytes_4bit": ("U8", "I8"),
    "bitsandbytes_8bit": ("I8", "U8"),
    "gptq": ("I32",),
    "awq": ("I32",),
    "aqlm": ("I8", "I16", "U8"),
    "auto-round": ("I32",),
}
# What such methods store beside the weights, by the end of its name: where that is, something was quantised.
_STATE: Final = (
    *(".absmax", ".SCB", ".quant_map", ".weight_format", ".qweight", ".qzeros", ".scales", ".g_idx"),
    *(".codebooks", ".codes"),
)

PLAIN: Final = ("F64", "F32", "F16", "BF16", "I64", "BOOL")
# What a quantisation calls the values of a layer, what it stores beside them, and which it is.
_PACKED: Final = {
    "qweight": (("scales", "qzeros"), "GPTQ or AWQ"),
    "weight_packed": (("weight_scale",), "compressed-tensors"),
    "W_q": (("scale", "zero"), "HQQ"),
}
_SCALES: Final = ("weight_scale", "weight_scale_inv", "scales", "SCB", "weight.absmax")


def method_of(settings: Mapping[str, Any]) -> str | None:
    """Return the method that a quantization_config states, as transformers names it; None where it states none."""
    for width in ("4bit", "8bit"):
        if settings.get(f"load_in_{width}") is True:
            return f"bitsandbytes_{width}"
    method = settings.get("quant_method")
    return method if isinstance(method, str) and method and method != "bitsandbytes" else None


def is_of_mlx(config: Mapping[str, Any], tensors: Iterable[Tensor]) -> bool:
    """Return whether weights are quantised by MLX, which has a key of its own in config.json."""
    return isinstance(config.get("quantization"), Mapping) and any(t.dtype == "U32" for t in tensors)


def is_left_over(method: str | None, tensors: Iterable[Tensor]) -> bool:
    """Return whether weights of a quantisation by `method` are not quantised at all.

    transformers takes such a file for a broken one: what is stored in 16 bits is quantised by a load only if the caller
    asks for it, not if config.json says that it is done.
    """
    if method not in _STORED:
        return False
    held = list(tensors)
    quantised = any(t.dtype in _STORED[method] or t.name.endswith(_STATE) or ".quant_state." in t.name for t in held)
    return bool(held) and not quantised


def stored_quantized(tensors: Mapping[str, Tensor]) -> tuple[str, list[str]]:
    """Return which quantisation the names and types of tensors show, and the tensors that hold its values.

    Both are empty where nothing is quantised, or where numbers of few bits have no scale beside them: a load casts
    those as they are.
    """
    found = {name: kind for name, tensor in tensors.items() if (kind := _kind_of(name, tensor, tensors))}
    return next(iter(found.values()), ""), list(found)


def _kind_of(name: str, tensor: Tensor, tensors: Mapping[str, Tensor]) -> str:
    """Return which quantisation this tensor holds values of, by what is beside it; empty where it holds none."""
    layer, _, part = name.rpartition(".")
    if part.endswith("_blocks"):
        return "MXFP4" if f"{name.removesuffix('_blocks')}_scales" in tensors else ""
    beside, kind = _PACKED.get(part, (_SCALES, ""))
    if not any(f"{layer}.{scale}" in tensors for scale in beside):
        return ""
    if kind or part != "weight" or tensor.dtype in PLAIN:
        return kind
    if f"{layer}.SCB" in tensors or f"{layer}.weight.absmax" in tensors:
        return "bitsandbytes"
    if tensor.dtype == "U32":
        return "MLX"
    return "FP8" if tensor.dtype.startswith("F8") else f"{tensor.dtype} with scales"
