"""Recognising an error text from a session's log."""

from __future__ import annotations

import re
from functools import cache

from sage_doctor.findings.catalogue import declarations
from sage_doctor.findings.declaration import Declaration

# What a log of any size is searched for: its end, where the error that stopped the session stands.
MOST_CHARS = 200_000

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def search(text: str) -> tuple[Declaration, ...]:
    """Return the declarations whose messages occur in `text`, the likeliest first; empty where none is recognised.

    One message can have several causes: one that the message is characteristic of (`shows`) comes before one
    that merely can cause it too (`may_show`), and among equals the catalogue's order decides. Only the last 200,000
    characters are searched; colours and line wraps do not matter.
    """
    plain = _ANSI.sub("", text[-MOST_CHARS:])
    likely, possible = [], []
    for known in declarations():
        if _occurs(known.shows, plain):
            likely.append(known)
        elif _occurs(known.may_show, plain):
            possible.append(known)
    return (*likely, *possible)


def _occurs(patterns: tuple[str, ...], plain: str) -> bool:
    return any(_compiled(p).search(plain) for p in patterns)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # A space in a pattern stands for any white space: logs and terminals wrap messages at any word.
    return re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE | re.DOTALL | re.MULTILINE)
