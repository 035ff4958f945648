"""Formatting for the screen and for commands; text from outside is made safe to show.

Model directories are untrusted: a file name may contain terminal escapes or bytes that are not UTF-8. The report keeps
such text intact (JSON escapes it); whatever is shown or put into a command goes through here first.
"""

from __future__ import annotations

import shlex
import unicodedata

# Categories that move the cursor, hide or reorder text: controls, formats (bidi overrides, zero width),
# surrogates (undecodable bytes), private use, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, *, limit: int = 2000, keep: str = "") -> str:
    """Return `text` with every unsafe character written as a visible escape, at most `limit` characters long.

    `keep` contains characters that stay (for instance a newline in a multi-line message).
    """
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    cut = text[:limit]
    shown = "".join(c if c in keep or unicodedata.category(c) not in _UNSAFE else _escape(c) for c in cut)
    return shown + ("…" if len(text) > limit else "")


def _escape(char: str) -> str:
    point = ord(char)
    if 0xDC80 <= point <= 0xDCFF:  # surrogateescape: one undecodable byte
        return f"\\x{point - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def shell_quote(path: object) -> str:
    """Return `path` as one word of a POSIX shell command that is safe to paste.

    A name with control characters or undecodable bytes is written as `$'…'` (bash, zsh, ksh) in printable ASCII.
    """
    text = str(path)
    if text.isprintable() and "\ufffd" not in text:
        return shlex.quote(text)
    raw = text.encode("utf-8", "surrogateescape")
    body = "".join(
        "\\'" if b == 0x27 else "\\\\" if b == 0x5C else chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}" for b in raw
    )
    return f"$'{body}'"


def format_bytes(count: float) -> str:
    """Return a byte count in decimal units, as disks and the hub do: `269.1 MB`."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{int(value)} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def format_number(value: float) -> str:
    """Return a number with its significant digits: `0.457`, `12.3`, `2,580`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def join_limited(items: list[str], *, most: int = 5) -> str:
    """Return `a, b, c and 4 more`, each item made printable."""
    shown = [printable(i, limit=200) for i in items[:most]]
    rest = len(items) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def format_duration(length_s: float) -> str:
    """Return a duration in at most two units, rounded down: `2 d 3 h`, `45 min`, `0.3 s`."""
    length_s = max(0.0, length_s)
    if length_s < 10:
        return f"{length_s:.1f} s"
    whole = int(length_s)
    for name, size, below, small in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {name} {rest} {below}" if rest and whole < 10 * size else f"{whole // size} {name}"
    return f"{whole} s"
