"""A quantisation that config.json states, against the weights beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sage_doctor.readers.safetensors_header import Tensor

_FLOATING = frozenset({"F64", "F32", "F16", "BF16"})
_STATE = (".absmax", ".SCB", ".weight_format", ".quant_map")


def leftover_quantization(config: Mapping[str, Any], tensors: Iterable[Tensor]) -> str | None:
    """Return what a config says of weights that are not quantised at all, as `bitsandbytes, 4 bit`; None otherwise.

    bitsandbytes stores whole numbers and their scales. Without those transformers takes the file for a broken one:
    what is stored in 16 bits is quantised by a load only if the caller asks for it, not if config.json says it is done.
    """
    said = config.get("quantization_config")
    if not isinstance(said, Mapping):
        return None
    four, eight = said.get("load_in_4bit") is True, said.get("load_in_8bit") is True
    method = said.get("quant_method")
    if not (four or eight) or method not in (None, "bitsandbytes", "bitsandbytes_4bit", "bitsandbytes_8bit"):
        return None
    held = list(tensors)
    if not held or any(t.dtype not in _FLOATING or ".quant_state." in t.name or t.name.endswith(_STATE) for t in held):
        return None
    return f"bitsandbytes, {'4' if four else '8'} bit"
