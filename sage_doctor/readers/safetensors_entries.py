"""Reads the JSON of a safetensors header: tensor entries and metadata, accepted and refused as by the library.

Format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final, NamedTuple, TypeGuard

from sage_doctor.readers.strict_json import Repeated, pairs_of, parse_strictly, refuse_half_surrogates, refuse_odd
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable

_MOST: Final = 1 << 64

BITS: Final[Mapping[str, int]] = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
    "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip


class Tensor(NamedTuple):
    """One tensor's entry. `start` and `end` are offsets in bytes from the beginning of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def elements(self) -> int:
        """The number of elements: 1 for a scalar."""
        count = 1
        for n in self.shape:
            count *= n
        return count


@frozen
class HeaderProblem:
    """Why a file cannot be read as safetensors: a finding code and what was seen."""

    code: str
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


class InvalidHeader(Exception):
    """Carries a `HeaderProblem` out of the parser."""

    def __init__(self, code: str, message: str, **evidence: Any) -> None:
        self.problem = HeaderProblem(code=code, message=message, evidence=evidence)


def parse_entries(raw: bytes) -> tuple[dict[str, Any], dict[str, str] | None, list[str]]:
    """Return tensor entries, metadata (None without it) and the names that stand twice. Raises `InvalidHeader`."""
    try:
        entries = parse_strictly(raw)
        if not isinstance(entries, dict):
            raise InvalidHeader("weights-header-invalid", "the header is not a JSON object")
        duplicates = entries.names if isinstance(entries, Repeated) else []
        metadata = _metadata(entries.pop("__metadata__", None))
        for name in entries:
            refuse_half_surrogates(name)
    except UnicodeDecodeError as error:
        raise InvalidHeader("weights-header-invalid", "the header is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "no reader accepts it"
        raise InvalidHeader("weights-header-invalid", f"the header is not valid JSON: {reason}") from error
    return entries, metadata, duplicates


def _metadata(value: object) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(v, str) for _, v in pairs_of(value)):
        raise InvalidHeader("weights-header-invalid", "the header's __metadata__ is not a map of texts")
    refuse_odd(value)
    return value


def read_tensors(entries: Mapping[str, Any], data_start: int) -> dict[str, Tensor]:
    """Return the tensors of parsed entries; their data begin at byte `data_start`. Raises `InvalidHeader`."""
    tensors = {}
    for name, entry in entries.items():
        dtype, shape, offsets = _fields(name, entry)
        if not isinstance(dtype, str) or dtype not in BITS:
            what = f"the unknown dtype {printable(dtype, limit=40)}" if isinstance(dtype, str) else "no usable dtype"
            raise InvalidHeader("weights-header-invalid", f"{_shown(name)} has {what}", tensor=name)
        if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
            raise InvalidHeader(
                "weights-header-invalid", f"{_shown(name)} has no usable shape or data_offsets", tensor=name
            )
        tensor = Tensor(
            name=name,
            dtype=dtype,
            shape=tuple(shape),
            start=data_start + offsets[0],
            end=data_start + offsets[1],
        )
        bits = _bits(shape, dtype)
        if bits is None:
            message = f"{_shown(name)}: no machine can hold shape {printable(str(shape), limit=80)}"
            raise InvalidHeader("weights-header-invalid", message, tensor=name)
        if bits != (tensor.end - tensor.start) * 8:
            takes = f"{bits // 8} bytes" if bits % 8 == 0 else f"{bits} bits, no whole number of bytes"
            given = tensor.end - tensor.start
            raise InvalidHeader(
                "weights-header-invalid",
                f"{_shown(name)}: shape {printable(str(shape), limit=80)} of {dtype} "
                f"takes {takes}, the header gives it {given}",
                tensor=name,
            )
        tensors[name] = tensor
    return tensors


def _fields(name: str, entry: object) -> tuple[object, object, object]:
    """Return dtype, shape and offsets of an entry as they stand there.

    Besides the usual object the library takes a list of the three, and `{"F32": null}` for a dtype; it passes over
    further fields, as long as they are readable JSON.
    """
    if isinstance(entry, list) and len(entry) == 3:
        dtype, shape, offsets = entry
    elif isinstance(entry, dict):
        dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
        twice = set(entry.names) & {"dtype", "shape", "data_offsets"} if isinstance(entry, Repeated) else set()
        if twice:
            message = f"the header states the {min(twice)} of {_shown(name)} twice"
            raise InvalidHeader("weights-header-invalid", message, tensor=name)
        if len(entry) > 3 or isinstance(entry, Repeated):
            try:
                refuse_odd(entry, depth=2)
            except ValueError as error:
                message = f"the header's entry for {_shown(name)} is not valid JSON: {error}"
                raise InvalidHeader("weights-header-invalid", message, tensor=name) from error
    else:
        raise InvalidHeader(
            "weights-header-invalid", f"the header's entry for {_shown(name)} is not an object", tensor=name
        )
    if type(dtype) is dict and len(dtype) == 1:
        ((variant, nothing),) = dtype.items()
        dtype = variant if nothing is None else dtype
    return dtype, shape, offsets


def _shown(name: str) -> str:
    return printable(name, limit=120)


def _sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < _MOST for n in value)


def _bits(shape: list[int], dtype: str) -> int | None:
    """Return the size of a tensor in bits, or None where a 64-bit product overflows on the way, as a reader's does."""
    bits = 1
    for n in (*shape, BITS[dtype]):
        bits *= n
        if bits >= _MOST:
            return None
    return bits
