"""Recognising an error text from a session's log."""

from __future__ import annotations

import re
from functools import cache

from sage_doctor.findings.catalogue import declarations
from sage_doctor.findings.declaration import Declaration

# What a log of any size is searched for: its end, where the error that stopped the session stands.
MOST_CHARS = 200_000

_ANSI = re.compile(r"\x1b\[[0-9;?]{0,32}[ -/]{0,4}[@-~]")
_BLANKS = re.compile(r"\s+")
_LONG_WORD = re.compile(r"(\S{500})(?=\S)")


def search(text: str) -> tuple[Declaration, ...]:
    """Return the declarations whose messages occur in `text`, the likeliest first; empty where none is recognised.

    One message can have several causes: one that the message is characteristic of (`shows`) comes before one
    that merely can cause it too (`may_show`), and among equals the catalogue's order decides. Only the last 200,000
    characters are searched; colours and line wraps do not matter.
    """
    plain = plain_text(text[-MOST_CHARS:])
    likely, possible = [], []
    for known in declarations():
        if _occurs(known.shows, plain):
            likely.append(known)
        elif _occurs(known.may_show, plain):
            possible.append(known)
    return (*likely, *possible)


def plain_text(text: str) -> str:
    """Return a text without colours, with one blank or line break for each run of them, and with long words broken.

    What a pattern repeats is short then, so that searching takes time in proportion to the text.
    """
    return _LONG_WORD.sub(r"\1\n", _BLANKS.sub(lambda m: "\n" if "\n" in m[0] else " ", _ANSI.sub("", text)))


def _occurs(patterns: tuple[str, ...], plain: str) -> bool:
    return any(compiled(p).search(plain) for p in patterns)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a declaration's pattern as it is searched for in a plain text."""
    # A space in a pattern stands for any white space: logs and terminals wrap messages at any word.
    return re.compile(pattern.replace(" ", r"\s"), re.IGNORECASE | re.DOTALL | re.MULTILINE)
