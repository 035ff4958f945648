"""Recognising the errors in a log of any size, in time in proportion to it.

A pattern is searched for only near the words that it cannot match without; what it finds counts only where a program
says it, not where somebody quotes it (`quotation.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice

from sage_doctor.findings.catalogue import declarations
from sage_doctor.findings.declaration import Declaration
from sage_doctor.findings.json_lines import INNER_END, unfolded
from sage_doctor.findings.message_pattern import MessagePattern, words_of
from sage_doctor.findings.quotation import TextKind, fenced_ranges, is_copied, is_quoted, kind_of_text, quoted_ranges
from sage_doctor.system.frozen import frozen

BLOCK = 1 << 13
_OVERLAP = 1 << 12  # longer than what any pattern spans
_MOST_LINE = 2_000
_BEFORE, _AFTER = 3_000, 500
_LEAST_TYPED = 10
_MOST_MATCHES = 1_000  # of one message in a window
_MOST_QUOTED = 50  # occurrences that are quotations, before a window is taken for one

_ANSI = re.compile(rb"\x1b\[[0-9;?]{0,32}[ -/]{0,4}[@-~]")
# What is not one blank or one line break already: most of a text is, and is passed over.
_BLANKS = re.compile(rb"[ \t\v]{2,}|[\t\v]")
_INNER_ENDS = re.compile(rb" ?\f[ \f]*")
# How Python draws the exceptions of a group: indented, with a bar, which is the only one unlike in a table.
_GROUP = re.compile(rb"^[ \t]{2,80}\| {1,80}(?=[^|\n]*$)", re.MULTILINE)
_LINE_ENDS = re.compile(rb"(?: [\r\n]|\r)\s*|\n\s+")
_ONE_LINE = bytes(32 if c in b"\n\v\f" else c for c in range(256))
_LONG_WORD = re.compile(rb"(?<!\S)\S{501,}")
_MOST_WORD = re.compile(rb"\S{500}(?=\S)")


@frozen
class Recognised:
    """A known error in a text: what it is, and the newest line that says so."""

    known: Declaration
    sure: bool  # the line is characteristic of it; otherwise it has likelier causes as well
    number: int  # of the line, from one
    first: int  # the number of the first line that says so
    line: str
    around: str  # the text before it, and some after it
    letters: int  # of the message that are always the same: how specific it is

    @property
    def order(self) -> tuple[bool, int, int]:
        """Sort by this: what is sure, in order of the text; of one line, what says most of the message."""
        return not self.sure, self.first, -self.letters


def search(text: str) -> tuple[Declaration, ...]:
    """Return the declarations whose messages occur in `text`, the likeliest first; empty if none is recognised."""
    return tuple(r.known for r in recognise([text.encode("utf-8", "replace")]))


def recognise(parts: Iterable[bytes]) -> list[Recognised]:
    """Return what is recognised in a log that comes in parts of any size, the likeliest first, each code once.

    Colours, case and wrapped lines do not matter.
    """
    found: dict[str, Recognised] = {}
    kind: TextKind | None = None
    for number, window in _windows(unfolded(parts)):
        kind = kind or kind_of_text(window)
        if kind == "source":
            break
        for one in _in_window(window, number, kind, found):
            old = found.get(one.known.code)
            found[one.known.code] = one if old is None else _newest(old, one)
    return sorted(found.values(), key=lambda r: r.order)


def shortened(text: str) -> list[Recognised]:
    """Return what the beginning of a message, or a part of it, may mean: somebody typed it, and not all of it."""
    said = b" ".join(text.lower().encode("utf-8", "replace").split()).strip(b".:\"' ")
    if len(said) < _LEAST_TYPED:
        return []
    known = dict.fromkeys(p.declaration for p in patterns() if said in p.phrase)
    return [
        Recognised(known=one, sure=False, number=1, first=1, line=text.strip(), around=text, letters=len(said))
        for one in known
    ]


def _newest(old: Recognised, one: Recognised) -> Recognised:
    """Return the later of two lines that say the same: what is sure counts before what is not."""
    if old.sure != one.sure:
        return old if old.sure else one
    later = one if (one.number, one.letters) >= (old.number, old.letters) else old
    return replace(later, first=min(old.first, one.first))


def _windows(parts: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield pieces of a log, each with some of the one before, and the number of its first line."""
    number, kept = 1, b""
    for block in _blocks(parts):
        window = kept + block
        yield number, window
        start = window.find(b"\n", max(0, len(window) - _OVERLAP)) + 1
        start = start or max(0, len(window) - _OVERLAP)  # one line without an end
        number += window.count(b"\n", 0, start)
        kept = window[start:]


def _blocks(parts: Iterable[bytes]) -> Iterator[bytes]:
    kept = b""
    for part in parts:
        kept += part
        whole = len(kept) - len(kept) % BLOCK
        yield from (kept[start : start + BLOCK] for start in range(0, whole, BLOCK))
        kept = kept[whole:]
    yield kept


def _in_window(window: bytes, number: int, kind: TextKind, found: dict[str, Recognised]) -> Iterator[Recognised]:
    if b"\x1b" in window:
        window = _ANSI.sub(b"", window)
    words = words_of(window)
    wanted = [p for p in patterns() if p.words <= words and not _settled(p, found)]
    if not wanted:
        return
    plain = plain_text(window)
    lowered = plain.lower()
    in_one_line = lowered.translate(_ONE_LINE)
    wanted = [p for p in wanted if p.phrase in in_one_line]
    if not wanted:
        return
    quoted, fenced = quoted_ranges(plain), fenced_ranges(plain, kind)

    def said(pattern: MessagePattern, match: re.Match[bytes]) -> tuple[int, int] | None:
        """Return where a message is and where its line begins, None for a quotation."""
        at = match.start("said") if pattern.has_said else match.start()
        start = max(plain.rfind(b"\n", 0, at), plain.rfind(INNER_END, 0, at)) + 1
        if _within(quoted, at) or is_quoted(plain[start:at]):
            return None
        if (kind == "document" or _within(fenced, at)) and not is_copied(plain, start, at):
            return None
        return at, start

    for pattern in wanted:
        matches = list(islice(_matches(pattern.compiled, lowered), _MOST_MATCHES))
        first = next(filter(None, (said(pattern, m) for m in matches[:_MOST_QUOTED])), None)
        last = next(filter(None, (said(pattern, m) for m in matches[: -_MOST_QUOTED - 1 : -1])), first)
        if last is None:
            continue
        at, start = last
        place, line = _line_of(window, plain, start)
        yield Recognised(
            known=pattern.declaration,
            sure=pattern.sure,
            number=number + place,
            first=number + (place if first in (None, last) else _line_of(window, plain, first[1])[0]),
            line=line,
            around=plain[max(0, at - _BEFORE) : at + _AFTER].decode("utf-8", "replace"),
            letters=pattern.letters,
        )


def _matches(compiled: re.Pattern[bytes], text: bytes) -> Iterator[re.Match[bytes]]:
    """Yield matches, also those that begin within the one before: that may be a quotation, and this one not."""
    match = compiled.search(text)
    while match:
        yield match
        match = compiled.search(text, match.start() + 1)


def _settled(pattern: MessagePattern, found: dict[str, Recognised]) -> bool:
    """Whether a further match could say nothing: a line was sure, and this one would not be."""
    old = found.get(pattern.declaration.code)
    return old is not None and old.sure and not pattern.sure


def _within(ranges: list[tuple[int, int]], at: int) -> bool:
    return any(first <= at < last for first, last in ranges)


def _line_of(window: bytes, plain: bytes, start: int) -> tuple[int, str]:
    """Return the line number in a window, from zero, of the line that starts there in its plain text, and the line."""
    index = plain.count(b"\n", 0, start)
    inner = plain.count(INNER_END, plain.rfind(b"\n", 0, start) + 1, start)
    seen = -1
    for match in re.finditer(rb"[^\r\n]+", window):
        seen += bool(match[0].strip())
        if seen == index:
            said = [part for part in match[0].split(INNER_END) if part.strip()]
            line = said[min(inner, len(said) - 1)].strip()[:_MOST_LINE]
            return window.count(b"\n", 0, match.start()), line.decode("utf-8", "replace")
    return 0, plain[start:].partition(b"\n")[0][:_MOST_LINE].decode("utf-8", "replace")


def plain_text(text: bytes) -> bytes:
    """Return a text without colours, with one blank or line break for each run of them, and with long words broken.

    What a pattern repeats is short then, so that searching takes time in proportion to the text.
    """
    one_blank = _BLANKS.sub(b" ", _GROUP.sub(b"", _ANSI.sub(b"", text)))
    if INNER_END in one_blank:
        one_blank = _INNER_ENDS.sub(INNER_END, one_blank)
    one_line_end = _LINE_ENDS.sub(b"\n", one_blank).lstrip()
    return _LONG_WORD.sub(lambda word: _MOST_WORD.sub(rb"\g<0>\v", word[0]), one_line_end)


@cache
def patterns() -> tuple[MessagePattern, ...]:
    """Return every declaration's patterns, in catalogue order."""
    return tuple(
        MessagePattern.of(known, text, sure=sure)
        for known in declarations()
        for sure, texts in ((True, known.shows), (False, known.may_show))
        for text in texts
    )
