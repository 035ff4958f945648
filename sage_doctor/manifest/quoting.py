"""Texts as TOML writes them: strings, keys and values that are read back as they were, whatever they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sage_doctor.text import printable

_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_SURROGATES = re.compile("[\ud800-\udfff]")


def string(text: str) -> str:
    """Return a TOML basic string. Raises `ValueError` for bytes that are not UTF-8: no TOML file can hold them."""
    if _SURROGATES.search(text):
        raise ValueError("it holds bytes that are not UTF-8")
    # Invisible characters that TOML would allow are escaped as well: they are better seen.
    return '"' + "".join(c if c.isprintable() and c not in _SHORT else _escaped(c) for c in text) + '"'


def _escaped(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    point = ord(char)
    return f"\\u{point:04X}" if point < 0x10000 else f"\\U{point:08X}"


def key(name: str) -> str:
    """Return a key: bare where TOML allows that, else in quotes. Raises `ValueError` as `string` does."""
    return name if _BARE.match(name) else string(name)


def strings(texts: Iterable[str]) -> str:
    """Return a list of strings on one line."""
    return "[" + ", ".join(string(t) for t in texts) + "]"


def value(data: object) -> str:
    """Return a string, boolean, number, list of strings or table on one line."""
    if isinstance(data, Mapping):
        return "{ " + ", ".join(f"{key(name)} = {value(inner)}" for name, inner in data.items()) + " }"
    if isinstance(data, (list, tuple)):
        return strings(data)
    return string(data) if isinstance(data, str) else str(data).lower()


def shown_key(name: str) -> str:
    """Return a key for messages: long ones cut, and bytes that are not UTF-8 escaped."""
    return key(printable(name, limit=80) if len(name) > 80 or _SURROGATES.search(name) else name)


def header(*names: str) -> str:
    """Return the head of a table for messages, to be pasted into a manifest: `[models."qwen2.5-0.5b"]`."""
    return "[" + ".".join(map(shown_key, names)) + "]"
