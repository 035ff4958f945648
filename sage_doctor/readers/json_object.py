"""Reads a JSON object from a file that may contain anything, or says what it contains instead."""

from __future__ import annotations

import json
import os
from typing import Any

from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.text import format_bytes

MOST_BYTES = 256 * 1024 * 1024  # a tokenizer.json may be 30 MB; nothing sane is larger than this
_LFS = b"version https://git-lfs"


@frozen
class JsonFile:
    """A JSON file as read. Exactly one of `value` and `problem` is set, or neither where it is `missing`.

    `line` is the line (from 1) where parsing stopped, 0 where that says nothing.
    """

    path: str
    value: dict[str, Any] | None = None
    problem: str = ""
    line: int = 0
    missing: bool = False
    lfs_pointer: bool = False

    @property
    def where(self) -> str:
        """`name.json` or `name.json:12`, for messages."""
        name = os.path.basename(self.path)
        return f"{name}:{self.line}" if self.line else name


def read_json_object(path: str | os.PathLike[str], *, most: int = MOST_BYTES) -> JsonFile:
    """Return the JSON object in the file at `path`. Never raises for what a disk may hold."""
    name = os.fspath(path)
    node = inspect_path(path)
    if node.kind == "missing":
        return JsonFile(path=name, missing=True)
    if node.kind != "file":
        return JsonFile(path=name, problem=node.detail or f"a {node.kind}, not a file")
    if node.size > most:
        return JsonFile(
            path=name, problem=f"{format_bytes(node.size)}; no such file is larger than {format_bytes(most)}"
        )
    try:
        raw = read_start(path, node.size)
    except UnreadableFile as error:
        return JsonFile(path=name, problem=str(error))
    return parse_json_object(name, raw)


def parse_json_object(name: str, raw: bytes) -> JsonFile:
    """Return the JSON object in `raw`, or what is wrong with it."""
    if not raw.strip(b"\0 \t\r\n"):
        what = "empty" if not raw.strip() else "filled with zero bytes"
        return JsonFile(path=name, problem=what)
    if raw.startswith(_LFS):
        return JsonFile(path=name, problem="a Git LFS pointer, not the file itself", lfs_pointer=True)
    if raw.startswith(b"\xef\xbb\xbf"):
        return JsonFile(path=name, problem="starts with a byte-order mark, which JSON readers refuse", line=1)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or raw[:2].count(b"\0") == 1:
        return JsonFile(path=name, problem="UTF-16 text; JSON is UTF-8", line=1)
    try:
        value = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return JsonFile(path=name, problem="not UTF-8 text", line=raw.count(b"\n", 0, error.start) + 1)
    except json.JSONDecodeError as error:
        problem = f"not valid JSON: {error.msg} (column {error.colno})"
        return JsonFile(path=name, problem=problem, line=error.lineno)
    except (RecursionError, ValueError):  # nested thousands deep, or a number of thousands of digits
        return JsonFile(path=name, problem="JSON that no reader accepts: nested too deep, or a number too long")
    if not isinstance(value, dict):
        return JsonFile(path=name, problem=f"holds a JSON {_kind(value)} where an object is expected", line=1)
    return JsonFile(path=name, value=value)


def _kind(value: object) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), "value")
