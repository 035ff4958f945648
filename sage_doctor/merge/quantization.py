"""The quantisation of a base: which of its tensors are quantised, and which plain tensors they represent.

Read from names and headers. For each format here the result of `decoding` was compared, bit for bit, with that of
transformers. Every other format is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sage_doctor.merge.edits import CONV1D, FLOATS, STORED, QuantizedStorage, TensorLocation
from sage_doctor.merge.refusal import MergeRefused, refused
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, read_range
from sage_doctor.text import format_bytes, printable

KEYS = ("quantization_config", "quantization")
_STATE = ".quant_state.bitsandbytes__"
_MOST_STATE_BYTES = 1 << 16
_ACTIVATIONS = (".activation_scale", ".input_scale")
_PACKED = frozenset(
    {"U8", "I8", "U16", "I16", "I32", "U32", "F4", "F6_E2M3", "F6_E3M2", "F8_E4M3", "F8_E5M2", "F8_E8M0"}
)
_MOST_BLOCK = 1 << 20


@frozen
class BaseQuantization:
    """How a base is quantised. `plain` are its tensors once dequantised; `obstacle` says why that is impossible.

    `quantized` are the names, as stored, of the tensors that are quantised or belong to one that is.
    """

    method: str
    settings: Mapping[str, Any]
    quantized: frozenset[str]
    plain: Mapping[str, TensorLocation]
    obstacle: str = ""

    @property
    def nbytes(self) -> tuple[int, int]:
        """The bytes of the tensors before and after, the former being those of the coded numbers alone."""
        wide = {"F64": 8, "F32": 4}
        after = sum(
            p.tensor.elements * wide.get(p.tensor.dtype, 2) if p.quantized else p.nbytes for p in self.plain.values()
        )
        parts = [q for p in self.plain.values() for q in (p.quantized.parts.values() if p.quantized else [p])]
        return sum(p.nbytes for p in parts), after

    def losses(self) -> tuple[str, ...]:
        """Return what a merge into the dequantised base loses, one phrase each."""
        before, after = self.nbytes
        found = [
            f"the quantised format: {format_bytes(before)} of weights become {format_bytes(after)}",
            f"nothing that {self.method} rounded away is restored",
        ]
        if any(p.quantized and p.quantized.form in ("bnb-8bit", "fp8") for p in self.plain.values()):
            found.append("activations are no longer rounded, as a runtime of this format may do")
        return tuple(found)

    def needs_dequantize(self) -> MergeRefused:
        """Return the refusal of a merge that needs `--dequantize`."""
        what = f"the base is quantised ({self.method}) where the adapter changes it"
        if self.obstacle:
            return self.refusal()
        before, after = self.nbytes
        return refused(
            what,
            "Merge into the unquantised model it was made from, and quantise the result. Or use --dequantize: the "
            f"result is a plain model ({format_bytes(after)} instead of {format_bytes(before)}), without what the "
            "quantisation rounded away. Or run sessions on base and adapter together.",
        )

    def refusal(self) -> MergeRefused:
        """Return the refusal of a base that cannot be dequantised here."""
        return refused(
            f"the base is quantised ({self.method}) and cannot be dequantised here: {self.obstacle}",
            "Merge into the unquantised model it was made from, and quantise the result; or run sessions on base and "
            "adapter together.",
        )


def read_quantization(
    config: Mapping[str, Any], tensors: Mapping[str, TensorLocation], kind: str
) -> BaseQuantization | None:
    """Return how the base with these stored tensors is quantised, None if its configuration does not say so.

    `kind` is the model's type. Reads the few bytes in which bitsandbytes states its numbers; never raises.
    """
    settings = _settings(config)
    if settings is None:
        return None
    method = _method(settings)
    quantized, plain = _not_plain(tensors), dict(tensors)
    try:
        found = dict(_forms(settings, tensors, _dtype(config)))
        consumed = {q.tensor.name for p in found.values() if p.quantized for q in p.quantized.parts.values()}
        consumed |= _of_activations(found, tensors)
        plain = {n: p for n, p in tensors.items() if n not in consumed} | found
        quantized |= consumed
        rest = sorted(n for n, p in plain.items() if p.quantized is None and p.tensor.dtype in _PACKED)
        if rest:
            raise _UnsupportedFormat(f"the format of {printable(rest[0])} is unknown ({plain[rest[0]].tensor.dtype})")
        if not found:
            raise _UnsupportedFormat("none of its tensors is stored in a known format")
        _require_upright(settings, kind)
    except _UnsupportedFormat as unknown:
        return BaseQuantization(
            method=method, settings=settings, quantized=quantized, plain=plain, obstacle=str(unknown)
        )
    return BaseQuantization(method=method, settings=settings, quantized=quantized, plain=plain)


def _not_plain(tensors: Mapping[str, TensorLocation]) -> frozenset[str]:
    """Return the tensors that are not floating numbers, or belong to a module with more than a weight and a bias."""
    odd = {n.rpartition(".")[0] for n in tensors if n.rpartition(".")[2] not in ("weight", "bias")}
    return frozenset(
        n for n, p in tensors.items() if p.tensor.dtype not in FLOATS or n in odd or n.rpartition(".")[0] in odd
    )


class _UnsupportedFormat(Exception):
    """A quantisation format that is not supported."""


def _settings(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    inner = config.get("text_config")
    for part in (config, inner if isinstance(inner, Mapping) else {}):
        for key in KEYS:
            if isinstance(part.get(key), Mapping):
                return dict(part[key])
    return None


def without_quantization(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without its quantisation."""
    plain = {k: v for k, v in config.items() if k not in KEYS}
    if isinstance(plain.get("text_config"), Mapping):
        plain["text_config"] = {k: v for k, v in plain["text_config"].items() if k not in KEYS}
    return plain


def _method(settings: Mapping[str, Any]) -> str:
    method = printable(str(settings.get("quant_method") or "MLX"), limit=40)
    if method == "bitsandbytes":
        four = settings.get("load_in_4bit") or settings.get("_load_in_4bit")
        return (
            f"bitsandbytes {printable(str(settings.get('bnb_4bit_quant_type', 'fp4')), limit=10) if four else 'int8'}"
        )
    return method


def _dtype(config: Mapping[str, Any]) -> str:
    """Return the dtype a model without its quantisation is in, as safetensors names it."""
    inner = config.get("text_config")
    for part in (config, inner if isinstance(inner, Mapping) else {}):
        for key in ("dtype", "torch_dtype"):
            stated = part.get(key)
            if isinstance(stated, str) and stated in STORED:
                return STORED[stated]
    return "BF16"


def _forms(
    settings: Mapping[str, Any], tensors: Mapping[str, TensorLocation], dtype: str
) -> Iterator[tuple[str, TensorLocation]]:
    """Yield the quantised tensors as what they stand for."""
    method = settings.get("quant_method")
    if method == "bitsandbytes":
        for name in tensors:
            weight, mark, kind = name.partition(_STATE)
            if mark:
                yield weight, _four_bits(weight, kind, tensors)
            elif name.endswith(".SCB"):
                yield f"{name.removesuffix('.SCB')}.weight", _eight_bits(name.removesuffix(".SCB"), tensors, dtype)
    elif method == "fp8":
        for name in tensors:
            if name.endswith("_scale_inv"):
                yield name.removesuffix("_scale_inv"), _fp8(name, settings, tensors, dtype)


def _plain(stored: TensorLocation, dtype: str, shape: tuple[int, ...], quantized: QuantizedStorage) -> TensorLocation:
    tensor = stored.tensor._replace(dtype=dtype, shape=shape)
    return TensorLocation(stored.path, tensor, quantized)


def _require(
    tensors: Mapping[str, TensorLocation], name: str, dtypes: frozenset[str] | set[str], elements: int | None
) -> TensorLocation:
    found = tensors.get(name)
    if found is None:
        raise _UnsupportedFormat(f"{printable(name)} is missing")
    if found.tensor.dtype not in dtypes or elements not in (None, found.tensor.elements):
        raise _UnsupportedFormat(f"{printable(name)} is not in the expected format")
    return found


def _four_bits(weight: str, kind: str, tensors: Mapping[str, TensorLocation]) -> TensorLocation:
    """Return a weight of bitsandbytes' nf4 or fp4; the absolute maxima of its blocks may be quantised themselves."""
    state = _state(tensors[f"{weight}{_STATE}{kind}"])
    shape, block, dtype = state.get("shape"), state.get("blocksize"), STORED.get(str(state.get("dtype")))
    if kind not in ("nf4", "fp4") or dtype is None or not isinstance(shape, list) or not _size(block):
        raise _UnsupportedFormat(f"the state of {printable(weight)} is not one of bitsandbytes 0.41 to 0.50")
    if len(shape) != 2 or not all(_size(n) for n in shape):
        raise _UnsupportedFormat(f"{printable(weight)} is not a matrix")
    assert isinstance(block, int)
    elements = shape[0] * shape[1]
    blocks = -(-elements // block)
    parts = {
        "codes": _require(tensors, weight, {"U8"}, -(-elements // 2)),
        "map": _require(tensors, f"{weight}.quant_map", {"F32"}, 16),
        "state": tensors[f"{weight}{_STATE}{kind}"],
    }
    numbers: dict[str, float] = {"block": block}
    if f"{weight}.nested_absmax" in tensors:
        inner, offset = state.get("nested_blocksize"), state.get("nested_offset")
        if not _size(inner) or not isinstance(offset, (int, float)) or state.get("nested_dtype") != "float32":
            raise _UnsupportedFormat(f"the state of {printable(weight)} is not one of bitsandbytes 0.41 to 0.50")
        assert isinstance(inner, int)
        parts["absmax"] = _require(tensors, f"{weight}.absmax", {"U8"}, blocks)
        parts["nested"] = _require(tensors, f"{weight}.nested_absmax", {"F32"}, -(-blocks // inner))
        parts["nested_map"] = _require(tensors, f"{weight}.nested_quant_map", {"F32"}, 256)
        numbers |= {"nested_block": inner, "offset": offset}
    else:
        parts["absmax"] = _require(tensors, f"{weight}.absmax", {"F32"}, blocks)
    return _plain(
        parts["codes"], dtype, (shape[0], shape[1]), QuantizedStorage(form="bnb-4bit", parts=parts, numbers=numbers)
    )


def _size(value: object) -> bool:
    return type(value) is int and 0 < value <= (1 << 40)


def _state(location: TensorLocation) -> Mapping[str, Any]:
    """Return what bitsandbytes wrote, as JSON in a tensor of bytes, of a weight's numbers."""
    if location.tensor.dtype != "U8" or location.nbytes > _MOST_STATE_BYTES:
        raise _UnsupportedFormat(f"{printable(location.tensor.name)} is not in the expected format")
    try:
        found = json.loads(_bytes(location))
    except (ValueError, RecursionError) as error:
        raise _UnsupportedFormat(f"{printable(location.tensor.name)} cannot be read") from error
    return found if isinstance(found, dict) else {}


def _bytes(location: TensorLocation) -> bytes:
    try:
        return bytes(read_range(location.path, location.tensor.start, location.nbytes))
    except UnreadableFile as error:
        raise _UnsupportedFormat(f"{printable(location.tensor.name)} cannot be read: {error}") from error


def _eight_bits(module: str, tensors: Mapping[str, TensorLocation], dtype: str) -> TensorLocation:
    """Return a weight of LLM.int8: whole numbers, and one scale for each row."""
    codes = _require(tensors, f"{module}.weight", {"I8"}, None)
    if len(codes.shape) != 2:
        raise _UnsupportedFormat(f"{printable(module)} is not a matrix")
    parts = {"codes": codes, "scales": _require(tensors, f"{module}.SCB", {"F32"}, codes.shape[0])}
    layout = tensors.get(f"{module}.weight_format")
    if layout is not None:
        if layout.nbytes != 1 or _bytes(layout) != b"\0":
            raise _UnsupportedFormat(f"{printable(module)} is laid out for one type of processor")
        parts["layout"] = layout
    return _plain(codes, dtype, codes.shape, QuantizedStorage(form="bnb-8bit", parts=parts, numbers={}))


def _fp8(name: str, settings: Mapping[str, Any], tensors: Mapping[str, TensorLocation], dtype: str) -> TensorLocation:
    """Return a weight in fp8 with a scale for each block of it, or for the whole."""
    scales = _require(tensors, name, set(FLOATS), None)
    codes = _require(tensors, name.removesuffix("_scale_inv"), {"F8_E4M3"}, None)
    if len(codes.shape) != 2 or len(scales.shape) not in (0, 1, 2):
        raise _UnsupportedFormat(f"{printable(name)} does not belong to a matrix")
    rows, columns = codes.shape
    block = settings.get("weight_block_size")
    height, width = rows, columns
    if scales.tensor.elements != 1:
        if not isinstance(block, list) or len(block) != 2 or not all(_size(n) and n <= _MOST_BLOCK for n in block):
            raise _UnsupportedFormat("its configuration states no weight_block_size")
        height, width = block
        if scales.shape != (-(-rows // height), -(-columns // width)):
            raise _UnsupportedFormat(f"{printable(name)} does not have one number for each block of {height}×{width}")
    parts = {"codes": codes, "scales": scales}
    return _plain(codes, dtype, (rows, columns), QuantizedStorage(
        form="fp8", parts=parts, numbers={"rows": max(height, 1), "columns": max(width, 1)},
    ))  # fmt: skip


def _of_activations(found: Mapping[str, TensorLocation], tensors: Mapping[str, TensorLocation]) -> set[str]:
    """Return the scales of activations, which a plain model does not use."""
    modules = {n.rpartition(".")[0] for n in found}
    return {m + suffix for m in modules for suffix in _ACTIVATIONS if m + suffix in tensors}


def _require_upright(settings: Mapping[str, Any], kind: str) -> None:
    if settings.get("quant_method") == "bitsandbytes" and kind in CONV1D:
        raise _UnsupportedFormat(f"bitsandbytes stores the weights of a {printable(kind, limit=30)} transposed")
