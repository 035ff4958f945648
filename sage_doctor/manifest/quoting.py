"""Texts as TOML writes them: strings and keys that are read back as the same text, whatever they hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def string(text: str) -> str:
    """Return a TOML basic string. Raises `ValueError` for bytes that are not UTF-8: no TOML file can hold them."""
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise ValueError("it holds bytes that are not UTF-8")
    # JSON escapes what TOML does, but for one control character; invisible ones are better seen.
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else _escaped(c) for c in quoted)


def _escaped(char: str) -> str:
    point = ord(char)
    return f"\\u{point:04X}" if point < 0x10000 else f"\\U{point:08X}"


def key(name: str) -> str:
    """Return a key: bare where TOML allows that, else in quotes. Raises `ValueError` as `string` does."""
    return name if _BARE.match(name) else string(name)


def strings(texts: Iterable[str]) -> str:
    """Return a list of strings on one line."""
    return "[" + ", ".join(string(t) for t in texts) + "]"
