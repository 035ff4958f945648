"""Safetensors files as bytes: read, changed and written without any library that would refuse a wrong one."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Header = dict[str, Any]
MODEL = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_model.safetensors"
POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 269060552\n"
)
PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please log in to download.</body></html>\n"


def parts(path: Path) -> tuple[Header, bytes]:
    """Return header and data of a healthy file."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write(path: Path, header: Header | str, data: bytes) -> None:
    """Write a file with this header, given as an object or as the text itself, padded with spaces to 8 bytes."""
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
    raw = text.encode("utf-8")
    raw += b" " * (-len(raw) % 8)
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)


def rewrite(path: Path, change: Callable[[Header], object]) -> None:
    """Let `change` edit the header in place; the data stays as it is."""
    header, data = parts(path)
    change(header)
    write(path, header, data)


def pack(path: Path, tensors: Mapping[str, tuple[str, list[int], bytes]]) -> None:
    """Write tensors given as name → (dtype, shape, bytes)."""
    header: Header = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + len(raw)]}
        start += len(raw)
    write(path, header, b"".join(raw for _, _, raw in tensors.values()))


def unpack(path: Path) -> dict[str, tuple[str, list[int], bytes]]:
    """Return the tensors of a healthy file as `pack` takes them."""
    header, data = parts(path)
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]) for name, entry in header.items()
    }


def rename(path: Path, change: Callable[[str], str]) -> None:
    """Give every tensor of the file another name."""
    pack(path, {change(name): tensor for name, tensor in unpack(path).items()})


def fill(path: Path, name: str, value: bytes, *, first: int | None = None) -> None:
    """Overwrite the first `first` elements of a tensor, or all, with the element `value`."""
    tensors = unpack(path)
    dtype, shape, raw = tensors[name]
    count = len(raw) // len(value) if first is None else first
    tensors[name] = (dtype, shape, value * count + raw[count * len(value) :])
    pack(path, tensors)
