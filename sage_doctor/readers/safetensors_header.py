"""Reads the header of a safetensors file, or says what the file is instead.

Format: https://github.com/huggingface/safetensors#format — eight bytes little-endian header length, a JSON object
of tensors, then their data without holes. The library accepts or refuses; it says neither what the file is instead
nor how many bytes lack, so the header is read here. A differential test holds this reader to the library's verdict.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Final

from sage_doctor.readers.safetensors_entries import HeaderProblem, InvalidHeader, Tensor, parse_entries, read_tensors
from sage_doctor.readers.signature import SAFETENSORS, describe_content
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_range, read_start
from sage_doctor.text import format_bytes, printable

__all__ = ["MOST_HEADER_BYTES", "Header", "HeaderProblem", "Tensor", "read_header", "read_stand_in"]

MOST_HEADER_BYTES: Final = 100_000_000  # the library's own limit
_LARGE_HEADER: Final = 1 << 20


@frozen
class Header:
    """What a safetensors file holds. Where `problem` is set, `tensors` may be empty or incomplete.

    `metadata` is None where there is none, which transformers 4 takes; an empty one it refuses.
    """

    path: str
    size: int
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Mapping[str, str] | None = None
    problem: HeaderProblem | None = None


def read_header(path: str | os.PathLike[str]) -> Header:
    """Return the header of the safetensors file at `path`. Reads the header only; never raises for what it holds."""
    node = inspect_path(path)
    name = os.fspath(path)
    if node.kind != "file":
        detail = node.detail or ("not there" if node.kind == "missing" else f"a {node.kind}, not a file")
        return Header(path=name, size=0, problem=HeaderProblem(code="weights-unreadable", message=detail))
    try:
        start = read_start(path, 512)
        try:
            length = _header_length(start, node.size)
            raw = start[8 : 8 + length] if len(start) >= 8 + length else read_range(path, 8, length)
            with _collector_paused(length > _LARGE_HEADER):
                entries, metadata, duplicates = parse_entries(raw)
                tensors = read_tensors(entries, data_start=8 + length)
                _cover(tensors, node.size, data_start=8 + length)
                _refuse_duplicates(duplicates)
        except InvalidHeader as invalid:
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
        raise InvalidHeader("weights-lfs-pointer", "a Git LFS pointer, not the weights", **_pointer(start))
    if size < 8:
        raise InvalidHeader("weights-empty", "empty" if size == 0 else f"only {size} bytes long", bytes=size)
    length = int.from_bytes(start[:8], "little")
    if what and _is_something_else(start, length):
        raise InvalidHeader("weights-not-safetensors", f"{what}, not safetensors", content=what)
    if length > MOST_HEADER_BYTES:
        raise InvalidHeader(
            "weights-header-invalid",
            f"the header claims {format_bytes(length)}; readers accept {format_bytes(MOST_HEADER_BYTES)} at most",
            header_bytes=length,
        )
    if 8 + length > size:
        raise InvalidHeader(
            "weights-truncated",
            f"truncated inside its header: at least {format_bytes(8 + length - size)} missing",
            bytes=size,
            bytes_lacking_at_least=8 + length - size,
        )
    if length < 2:
        raise InvalidHeader("weights-header-invalid", f"the header is {length} bytes long, which holds nothing")
    return length


def _is_something_else(start: bytes, length: int) -> bool:
    """Return whether a file that looks like something else is that, and no safetensors file whose header begins alike.

    A header's length may begin with the two bytes of a pickle, and most headers look like text.
    """
    if all(0x20 <= b < 0x7F or b in b"\t\r\n" for b in start[:8]):  # as a length: exabytes
        return True
    if length > MOST_HEADER_BYTES or length == 0:
        return start[8:].lstrip(b" \t\r\n")[:1] != b"{"
    return start[8:].lstrip(b" \t\r\n")[:1] not in (b"{", b"")


def _pointer(start: bytes) -> dict[str, Any]:
    fields = dict(line.split(" ", 1) for line in start.decode("ascii", "replace").splitlines() if " " in line)
    size = fields.get("size", "")
    oid = printable(fields.get("oid", ""), limit=80)
    return {"oid": oid, **({"size": int(size)} if size.isdecimal() and len(size) < 19 else {})}


def _cover(tensors: Mapping[str, Tensor], size: int, data_start: int) -> None:
    """Check that the data follow each other without holes and end where the file ends."""
    expected = data_start
    for tensor in sorted(tensors.values(), key=lambda t: (t.start, t.end)):
        if tensor.start != expected:
            what = "overlaps the tensor before it" if tensor.start < expected else "leaves a hole before it"
            shown = printable(tensor.name, limit=120)
            raise InvalidHeader("weights-header-invalid", f"the data of {shown} {what}", tensor=tensor.name)
        expected = tensor.end
    if size < expected:
        lack = expected - size
        message = f"truncated: {format_bytes(size)} of {format_bytes(expected)} ({format_bytes(lack)} missing)"
        raise InvalidHeader("weights-truncated", message, bytes=size, expected_bytes=expected, bytes_lacking=lack)
    if size > expected:
        message = f"{size - expected:,} bytes longer than its header accounts for"
        raise InvalidHeader("weights-oversized", message, bytes=size, expected_bytes=expected)


def _refuse_duplicates(names: list[str]) -> None:
    if names:
        shown = printable(names[0], limit=120)
        raise InvalidHeader("weights-header-invalid", f"the header names {shown} twice", tensors=names[:20])


def read_stand_in(path: str | os.PathLike[str]) -> Header:
    """Return a header without tensors whose `problem` says what lies there instead of a pickle, if that is so.

    Only the first bytes are looked at: a pickle is never opened as one.
    """
    node = inspect_path(path)
    name = os.fspath(path)
    try:
        start = read_start(path, 512)
    except UnreadableFile as error:
        return Header(path=name, size=node.size, problem=HeaderProblem(code="weights-unreadable", message=str(error)))
    what = describe_content(start, node.size)
    if start[8:9] == b"{" and 8 + int.from_bytes(start[:8], "little") <= min(node.size, MOST_HEADER_BYTES):
        what = SAFETENSORS
    problem: HeaderProblem | None = None
    if what == "a Git LFS pointer":
        problem = HeaderProblem(
            code="weights-lfs-pointer", message=f"{what}, not the weights", evidence=_pointer(start)
        )
    elif not start:
        problem = HeaderProblem(code="weights-empty", message="empty", evidence={"bytes": 0})
    elif what == SAFETENSORS:
        message = f"{what} under the name of a pickle, and a loader opens it as one"
        problem = HeaderProblem(code="weights-not-safetensors", message=message, evidence={"content": what})
    elif what in ("an HTML page", "an XML document", "a text", "a JSON text", "a file of zero bytes"):
        problem = HeaderProblem(
            code="weights-not-safetensors", message=f"{what}, not weights", evidence={"content": what}
        )
    return Header(path=name, size=node.size, problem=problem)
