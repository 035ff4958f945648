"""A declaration's pattern, made ready: compiled, with the words and the number of letters that it always has."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any, Final

from sage_doctor.findings.declaration import Declaration
from sage_doctor.system.frozen import frozen

# Letters in lower case, everything else a blank: what is left are the words of a text.
_LETTERS: Final = bytes(c if 97 <= c <= 122 else c + 32 if 65 <= c <= 90 else 32 for c in range(256))
_FILLED_IN: Final = r"(?<![^\s\x22'`])[^\s\x22'`]{1,300}"
_BOUNDARY: Final = "\1"
_OPEN: Final = "\0"  # where a word may go on


@frozen
class MessagePattern:
    """A regular expression for a message, and what is known of any text that it matches."""

    declaration: Declaration
    sure: bool
    compiled: re.Pattern[bytes]
    words: frozenset[bytes]  # whole words that every match has
    phrase: bytes  # the longest run of characters that every match has, with a blank for any white space
    letters: int  # the least number of given letters in a match
    has_said: bool  # a group `said` is the message, what comes before it is where it must be said

    @classmethod
    def of(cls, declaration: Declaration, text: str, *, sure: bool) -> MessagePattern:
        """Return the pattern `text` of a declaration made ready.

        A blank in it stands for any white space, and `…` for a word that the program fills in. Where it begins or
        ends with a letter, a word begins or ends.
        """
        lowered = re.sub(r"\\.|\(\?P<\w+>|[A-Z]+", lambda m: m[0] if m[0][0] in "\\(" else m[0].lower(), text)
        lowered = (r"\b" if lowered[0].isalpha() else "") + lowered
        lowered += r"\b" if re.search(r"(?<!\\)[a-z]$", lowered) else ""
        lowered = lowered.replace("…", _FILLED_IN)
        literal = "".join(_literals(_parsed(lowered)))
        source = lowered.replace(" ", r"\s").encode()
        # A line also begins and ends where a JSON line's message has a line break.
        source = re.sub(rb"^\^", rb"(?:^|(?<=\\f))", re.sub(rb"(?<!\\)\$$", rb"(?=$|\\f)", source))
        return cls(
            declaration=declaration,
            sure=sure,
            compiled=re.compile(source, re.DOTALL | re.MULTILINE),
            words=frozenset(w.encode() for w in _whole_words(literal)),
            phrase=max(re.split(f"[{_OPEN}{_BOUNDARY}]", literal), key=len).encode(),
            letters=sum(c not in (_OPEN, _BOUNDARY, " ") for c in literal),
            has_said="(?P<said>" in text,
        )


def words_of(text: bytes) -> set[bytes]:
    """Return the words of a text, in lower case."""
    return set(text.translate(_LETTERS).split())


def _whole_words(literal: str) -> Iterator[str]:
    for match in re.finditer(r"[a-z]+", literal):
        around = literal[match.start() - 1 : match.start()] + literal[match.end() : match.end() + 1]
        if len(around) == 2 and _OPEN not in around:
            yield match[0]


def _parsed(pattern: str) -> Any:
    try:
        parser = importlib.import_module("re._parser")
    except ModuleNotFoundError:  # its name before Python 3.11
        parser = importlib.import_module("sre_parse")
    return parser.parse(pattern)


def _literals(tree: Any) -> Iterator[str]:
    """Yield the characters that every match has, with `_OPEN` where others may stand."""
    yield _OPEN
    yield from _within(tree)
    yield _OPEN


def _within(tree: Any) -> Iterator[str]:
    for operation, value in tree:
        name = str(operation)
        if name == "LITERAL":
            yield chr(value)
        elif name == "AT":
            yield _BOUNDARY if "BOUNDARY" in str(value) or "BEGINNING" in str(value) or "END" in str(value) else _OPEN
        elif name == "SUBPATTERN":
            yield from _within(value[3])
        elif name in ("MAX_REPEAT", "MIN_REPEAT") and value[0] > 0 and len(value[2]) == 1:
            # One of at least one: what begins and ends it are the same characters.
            yield from ("", _OPEN)
        else:
            yield _OPEN
