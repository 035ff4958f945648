"""The header of a safetensors file, and a diagnosis where it is not one.

Format: https://github.com/huggingface/safetensors#format — eight bytes little-endian header length, a JSON object
of tensors, then their data without holes. The library accepts or refuses; it says neither what the file is instead
nor how many bytes lack, so the header is read here. A differential test holds this reader to the library's verdict.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeGuard

from sage_doctor.readers.regular import UnreadableFile, look, read_range, read_start
from sage_doctor.readers.signature import describe_content
from sage_doctor.text import human_bytes, printable

MOST_HEADER_BYTES: Final = 100_000_000  # the library's own limit
_MOST_DIMENSION: Final = 1 << 63
_LARGE_HEADER: Final = 1 << 20

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


@dataclass(frozen=True, kw_only=True)
class HeaderProblem:
    """Why a file cannot be read as safetensors: a finding code and what was seen."""

    code: str
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a safetensors file holds. Where `problem` is set, `tensors` may be empty or incomplete."""

    path: str
    size: int
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    problem: HeaderProblem | None = None


class _Invalid(Exception):
    """Carries a `HeaderProblem` out of the parser."""

    def __init__(self, code: str, message: str, **evidence: Any) -> None:
        self.problem = HeaderProblem(code=code, message=message, evidence=evidence)


def read_header(path: str | os.PathLike[str]) -> Header:
    """Return the header of the safetensors file at `path`. Reads the header only; never raises for what it holds."""
    node = look(path)
    name = os.fspath(path)
    if node.kind != "file":
        detail = node.detail or f"a {node.kind}"
        return Header(path=name, size=0, problem=HeaderProblem(code="weights-unreadable", message=detail))
    try:
        start = read_start(path, 512)
        try:
            length = _header_length(start, node.size)
            raw = start[8 : 8 + length] if len(start) >= 8 + length else read_range(path, 8, length)
            with _collector_paused(length > _LARGE_HEADER):
                entries, metadata, duplicates = _parse(raw)
                tensors = _tensors(entries, data_start=8 + length)
                _cover(tensors, node.size, data_start=8 + length)
                _refuse_duplicates(duplicates)
        except _Invalid as invalid:
            return Header(path=name, size=node.size, problem=invalid.problem)
    except UnreadableFile as error:
        return Header(path=name, size=node.size, problem=HeaderProblem(code="weights-unreadable", message=str(error)))
    return Header(path=name, size=node.size, tensors=tensors, metadata=metadata)


@contextlib.contextmanager
def _collector_paused(wanted: bool) -> Iterator[None]:
    """Pause the cyclic garbage collector: on a header of a million entries it takes more time than the parsing."""
    paused = wanted and gc.isenabled()
    if paused:
        gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _header_length(start: bytes, size: int) -> int:
    """Return the length of the JSON in bytes, having ruled out that the file is something else."""
    what = describe_content(start, size)
    if what == "a Git LFS pointer":
        raise _Invalid("weights-lfs-pointer", "a Git LFS pointer, not the weights", **_pointer(start))
    if size < 8:
        raise _Invalid("weights-empty", "empty" if size == 0 else f"only {size} bytes long", bytes=size)
    length = int.from_bytes(start[:8], "little")
    opened = start[8:].lstrip(b" \t\r\n")[:1] == b"{"
    if what and not opened:
        raise _Invalid("weights-not-safetensors", f"{what}, not safetensors", content=what)
    if length > MOST_HEADER_BYTES:
        if opened or not what:
            raise _Invalid(
                "weights-header-invalid",
                f"the header claims {human_bytes(length)}; readers accept {human_bytes(MOST_HEADER_BYTES)} at most",
                header_bytes=length,
            )
        raise _Invalid("weights-not-safetensors", f"{what}, not safetensors", content=what)
    if 8 + length > size:
        raise _Invalid(
            "weights-truncated",
            f"cut off inside its header: at least {human_bytes(8 + length - size)} lack",
            bytes=size,
            bytes_lacking_at_least=8 + length - size,
        )
    if length < 2:
        raise _Invalid("weights-header-invalid", f"the header is {length} bytes long, which holds nothing")
    return length


def _pointer(start: bytes) -> dict[str, Any]:
    fields = dict(line.split(" ", 1) for line in start.decode("ascii", "replace").splitlines() if " " in line)
    size = fields.get("size", "")
    oid = printable(fields.get("oid", ""), limit=80)
    return {"oid": oid, **({"size": int(size)} if size.isdecimal() and len(size) < 19 else {})}


def _parse(raw: bytes) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Return tensor entries, metadata and the names that stand twice."""
    duplicates: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            seen: set[str] = set()
            duplicates.extend(k for k, _ in items if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        return found

    try:
        entries = json.loads(raw.decode("utf-8"), object_pairs_hook=pairs, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise _Invalid("weights-header-invalid", "the header is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "no reader accepts it"
        raise _Invalid("weights-header-invalid", f"the header is not valid JSON: {reason}") from error
    if not isinstance(entries, dict):
        raise _Invalid("weights-header-invalid", "the header is not a JSON object")
    metadata = entries.pop("__metadata__", {}) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _Invalid("weights-header-invalid", "the header's __metadata__ is not a map of texts")
    return entries, metadata, duplicates


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _tensors(entries: Mapping[str, Any], data_start: int) -> dict[str, Tensor]:
    tensors = {}
    for name, entry in entries.items():
        shown = printable(name, limit=120)
        if not isinstance(entry, dict):
            raise _Invalid("weights-header-invalid", f"the header's entry for {shown} is not an object", tensor=name)
        dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
        if not isinstance(dtype, str) or dtype not in BITS:
            raise _Invalid(
                "weights-header-invalid",
                f"{shown} has the unknown dtype {printable(str(dtype), limit=40)}",
                tensor=name,
            )
        if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
            raise _Invalid("weights-header-invalid", f"{shown} has no usable shape or data_offsets", tensor=name)
        tensor = Tensor(
            name=name,
            dtype=dtype,
            shape=tuple(shape),
            start=data_start + offsets[0],
            end=data_start + offsets[1],
        )
        bits = tensor.elements * BITS[dtype]
        if bits != (tensor.end - tensor.start) * 8:
            raise _Invalid(
                "weights-header-invalid",
                f"{shown}: shape {list(shape)} of {dtype} takes {bits // 8} bytes, the header gives it "
                f"{tensor.end - tensor.start}",
                tensor=name,
            )
        tensors[name] = tensor
    return tensors


def _sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < _MOST_DIMENSION for n in value)


def _cover(tensors: Mapping[str, Tensor], size: int, data_start: int) -> None:
    """Check that the data follow each other without holes and end where the file ends."""
    expected = data_start
    for tensor in sorted(tensors.values(), key=lambda t: (t.start, t.end)):
        if tensor.start != expected:
            what = "overlaps the tensor before it" if tensor.start < expected else "leaves a hole before it"
            shown = printable(tensor.name, limit=120)
            raise _Invalid("weights-header-invalid", f"the data of {shown} {what}", tensor=tensor.name)
        expected = tensor.end
    if size < expected:
        lack = expected - size
        message = f"cut off: {human_bytes(size)} of {human_bytes(expected)}, {lack:,} bytes lack"
        raise _Invalid("weights-truncated", message, bytes=size, expected_bytes=expected, bytes_lacking=lack)
    if size > expected:
        message = f"{size - expected:,} bytes longer than its header accounts for"
        raise _Invalid("weights-oversized", message, bytes=size, expected_bytes=expected)


def _refuse_duplicates(names: list[str]) -> None:
    if names:
        shown = printable(names[0], limit=120)
        raise _Invalid("weights-header-invalid", f"the header names {shown} twice", tensors=names[:20])
