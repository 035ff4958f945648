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
