"""A declaration's pattern, made ready: compiled, with the words and the number of letters that it always has."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any, Final

from sage_doctor.findings.declaration import RAISED, Certainty, Declaration
from sage_doctor.system.frozen import frozen

# Letters in lower case, everything else a blank: what is left are the words of a text.
_LETTERS: Final = bytes(c if 97 <= c <= 122 else c + 32 if 65 <= c <= 90 else 32 for c in range(256))
_FILLED_IN: Final = r"(?<![^\s\x22'`])[^\s\x22'`]{1,300}"
_BOUNDARY: Final = "\1"
_OPEN: Final = "\0"  # where a word may go on
_SEEN: Final = 100  # what a pattern may look at after a match
_MOST_SPAN: Final = 1 << 12  # of `\\w+`, as of anything: a window begins that far before


@frozen
class MessagePattern:
    """A regular expression for a message, and what is known of any text that it matches."""

    declaration: Declaration
    certainty: Certainty
    compiled: re.Pattern[bytes]
    words: frozenset[bytes]  # whole words that every match has
    phrase: bytes  # the longest run of characters that every match has, with a blank for any white space
    before: int  # a match begins at most that far before the phrase
    after: int  # and ends at most that far from where the phrase begins
    letters: int  # the least number of given letters in a match
    said: str | int  # the group that is the message: what comes before `said` is where it must be said
    raised: bool  # it is any exception, which counts after the frames of a traceback, and if nothing else knows it

    @classmethod
    def of(cls, declaration: Declaration, text: str, certainty: Certainty) -> MessagePattern:
        """Return the pattern `text` of a declaration made ready.

        A blank in it stands for any white space, and `…` for a word that the program fills in. Where it begins or
        ends with a letter, a word begins or ends.
        """
        lowered = re.sub(r"\\.|\(\?P<\w+>|[A-Z]+", lambda m: m[0] if m[0][0] in "\\(" else m[0].lower(), text)
        lowered = (r"\b" if lowered[0].isalpha() else "") + lowered
        lowered += r"\b" if re.search(r"(?<!\\)[a-z]$", lowered) else ""
        lowered = lowered.replace("…", _FILLED_IN)
        pieces = list(_pieces(_parsed(lowered)))
        literal = _OPEN + "".join(one for one, _ in pieces) + _OPEN
        phrase = max(re.split(f"[{_OPEN}{_BOUNDARY}]", literal), key=len)
        before = sum(most for _, most in pieces[: literal.index(phrase) - 1])
        source = lowered.replace(" ", r"\s").encode()
        # A line also begins and ends where a JSON line's message has a line break.
        source = re.sub(rb"^\^", rb"(?:^|(?<=\\f))", re.sub(rb"(?<!\\)\$$", rb"(?=$|\\f)", source))
        return cls(
            declaration=declaration,
            certainty=certainty,
            compiled=re.compile(source, re.DOTALL | re.MULTILINE),
            words=frozenset(w.encode() for w in _whole_words(literal)),
            phrase=phrase.encode(),
            before=before,
            after=sum(most for _, most in pieces) - before + _SEEN,
            letters=sum(c not in (_OPEN, _BOUNDARY, " ") for c in literal),
            said="said" if "(?P<said>" in text else 0,
            raised=text.startswith(RAISED),
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


def _pieces(tree: Any) -> Iterator[tuple[str, int]]:
    """Yield each character that every match has, `_OPEN` where others may stand, and how many may stand there."""
    for item in tree:
        name, value = str(item[0]), item[1]
        if name == "LITERAL":
            yield chr(value), 1
        elif name == "AT":
            yield _BOUNDARY, 0
        elif name == "SUBPATTERN":
            yield from _pieces(value[3])
        else:
            yield _OPEN, min(type(tree)(tree.state, [item]).getwidth()[1], _MOST_SPAN)
