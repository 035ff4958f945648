"""Formatting for the screen and for commands; text from outside is made safe to show.

Model directories are untrusted: a file name may contain terminal escapes or bytes that are not UTF-8. The report keeps
such text intact (JSON escapes it); whatever is shown or put into a command goes through here first.
"""

from __future__ import annotations

import os
import re
import string
import unicodedata
from collections.abc import Mapping
from typing import Any, Final, TypeVar

# Categories that move the cursor, hide or reorder text: controls, formats (bidi overrides, zero width),
# surrogates (undecodable bytes), private use, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# `=` first is a program's path to zsh; what is not ASCII is quoted.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./-][A-Za-z0-9_@%+:,./=-]*")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", re.ASCII)
# A backtick marks commands in sentences, and the replacement character stands for bytes that are not known any more.
_NEVER_QUOTED = frozenset("`\ufffd")
_SAFE_IN_PRINTF = frozenset(string.ascii_letters + string.digits + " _@+:,./=-")

BYTES: Final = "bytes"
MOST_COMMAND = 1 << 20  # characters: a command is never cut


def printable(text: str, *, limit: int = 2000, keep: str = "") -> str:
    """Return `text` with every unsafe character written as a visible escape, at most `limit` characters long.

    `keep` contains characters that stay (for instance a newline in a multi-line message). Secrets are taken out.
    """
    text = redacted(text)
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


def shell_quote(word: object) -> str:
    """Return `word` as one word of a POSIX shell command: printable, on one line, without a backtick, safe to paste.

    A path that starts with `-` gets `./` in front; any other word is itself: `shell_operand` puts `--` before it.
    What no quote can hold safely on one line is written with `printf` in octal: `$'…'` runs code in a shell without it.
    """
    text = str(word)
    if isinstance(word, os.PathLike) and text.startswith("-"):
        text = f"./{text}"
    if _PLAIN.fullmatch(text):
        return text
    if text.isprintable() and not _NEVER_QUOTED.intersection(text):
        return "'" + text.replace("'", "'\"'\"'") + "'"
    try:
        raw = os.fsencode(text)
    except UnicodeEncodeError:  # not a file's name
        raw = text.encode("utf-8", "surrogatepass")
    octal = "".join(chr(b) if chr(b) in _SAFE_IN_PRINTF and i else f"\\{b:03o}" for i, b in enumerate(raw))
    if not raw.endswith(b"\n"):
        return f"\"$(printf '{octal}')\""
    # `$(…)` drops newlines at the end, so a full stop goes behind them and `%.` takes it away again. That needs a
    # variable, set here in passing: `[0-9…]*` matches the exit code `$?`, all of it, and nothing is left of it.
    name = f"_{raw.hex()}"  # of this word alone: another one must not find its value
    return f'"${{?##[0-9"${{{name}:=$(printf \'{octal}.\')}}"]*}}${{{name}%.}}"'


def shell_operand(word: object) -> str:
    """Return `word` as `shell_quote` does, behind `--` where a program would take it for an option."""
    quoted = shell_quote(word)
    return f"-- {quoted}" if quoted != "-" and not isinstance(word, os.PathLike) and str(word)[:1] == "-" else quoted


def is_host_name(text: str) -> bool:
    """Return whether a text is a name of a host that no program takes for an option, a port, a user or a path."""
    return _HOST.fullmatch(text) is not None


def wrap(text: str, width: int, *, first: str = "", after: str = "") -> list[str]:
    """Return `text` in lines of at most `width` characters, broken at spaces, but never inside `` `a command` ``.

    The first line starts with `first`, the others with `after`. A longer word is not broken.
    """
    head, *rest = unbroken(text)
    lines, line = [], first + head
    for word in rest:
        if len(line) + 1 + len(word) > width and line.strip() and line != first:
            lines.append(line.rstrip())
            line = after + word
        else:
            line = f"{line} {word}"
    return [*lines, line.rstrip()]


def unbroken(text: str) -> list[str]:
    """Return the text split at its spaces, but not at those in backticks: a command is one word."""
    words: list[str] = []
    inside = False
    for part in text.split(" "):
        if inside:
            words[-1] += f" {part}"
        else:
            words.append(part)
        inside ^= part.count("`") % 2 == 1
    return words


def format_bytes(count: float) -> str:
    """Return a byte count in decimal units, as disks and the hub do: `269.1 MB`."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{int(value)} {unit[: 4 if count == 1 else 5]}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def format_activity(activity: str, done: int = 0, total: int = 0, unit: str = BYTES) -> str:
    """Return an activity with its count: `hashing 310.0 MB of 2.1 GB`, `generating 12/32 tokens`."""
    if not total:
        return activity
    if unit == BYTES:
        return f"{activity} {format_bytes(done)} of {format_bytes(total)}"
    return f"{activity} {done}/{total} {unit}"


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
    if length_s == float("inf"):  # as a report that somebody else wrote may have it
        return "unknown time"
    if length_s < 10:
        return f"{length_s:.1f} s"
    whole = int(length_s)
    for name, size, below, small in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {name} {rest} {below}" if rest and whole < 10 * size else f"{whole // size} {name}"
    return f"{whole} s"


# -- secrets: neither shown nor stored, whoever put them into a text --------------------------------------------------
#
# A secret is what stands before the `@` of a URL, the value of an environment variable whose name says so, and the key
# of a service. Values that are short, or a path, a number or a switch, are not: too much would be taken out.

HIDDEN: Final = "***"
_Value = TypeVar("_Value")
_LEAST: Final = 6
# TOKENIZERS_PARALLELISM is none, and neither is what names a file or a socket.
_SECRET_NAME: Final = re.compile(
    r"(?i)(?:^|_)(?:[a-z0-9]*(?:token|secret|password|passwd|apikey|credentials?)|keys?|pass|auth|pat)s?(?:_|$)"
)
_HARMLESS_NAME: Final = re.compile(r"(?i)_(?:path|file|sock|socket|dir|home|id|name|type|ttl|timeout)$")
_HARMLESS_VALUE: Final = re.compile(r"(?i)[/~.].*|[a-z]:[\\/].*|[\d.,:-]+|true|false|enabled|disabled|always|never")
_USER_INFO: Final = re.compile(r"(?<=://)[^/\s?#\"'<>]*@")
_secrets: list[str] = []
_learned = False


def is_secret_name(name: str) -> bool:
    """Return whether an environment variable's name says that its value is a secret."""
    return _SECRET_NAME.search(name) is not None and _HARMLESS_NAME.search(name) is None


def learn_secrets(environ: Mapping[str, str]) -> None:
    """Remember the secrets of an environment; this process's are known without."""
    for name, value in environ.items():
        if is_secret_name(name):
            remember_secret(value)


def remember_secret(value: str) -> None:
    """Take this value out of everything that is shown or stored from now on."""
    value = value.strip()
    if len(value) >= _LEAST and value not in _secrets and _HARMLESS_VALUE.fullmatch(value) is None:
        _secrets.append(value)
        _secrets.sort(key=len, reverse=True)  # one may be part of another


def redacted(text: str) -> str:
    """Return the text without the secrets that are known, and without what precedes the `@` of a URL."""
    global _learned  # noqa: PLW0603 - read when something is shown first, not on import
    if not _learned:
        _learned = True
        learn_secrets(os.environ)
    for secret in _secrets:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return _USER_INFO.sub(_hidden_user, text) if "://" in text and "@" in text else text


def _hidden_user(match: re.Match[str]) -> str:
    scheme = match.string[max(0, match.start() - 6) : match.start()]
    plain = scheme.endswith("ssh://") and ":" not in match[0]  # ssh://git@host names no secret
    return match[0] if plain else f"{HIDDEN}@"


def redact_values(value: _Value) -> _Value:
    """Return JSON values with every string redacted; what they are otherwise stays."""
    found: Any = value
    if isinstance(value, str):
        found = redacted(value)
    elif isinstance(value, dict):
        found = {redacted(k) if isinstance(k, str) else k: redact_values(v) for k, v in value.items()}
    elif isinstance(value, (list, tuple)):
        found = type(value)(redact_values(v) for v in value)
    return found  # type: ignore[no-any-return]
