"""A piece of a log that is searched at once, and what in it is said by a program."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import accumulate, islice

from sage_doctor.findings.declaration import Certainty, Declaration
from sage_doctor.findings.json_lines import INNER_END
from sage_doctor.findings.message_pattern import MessagePattern
from sage_doctor.findings.quotation import (
    TextKind,
    fenced_ranges,
    is_copied,
    is_quoted,
    is_raised,
    may_have_frames,
    quoted_ranges,
)
from sage_doctor.findings.tracebacks import told as raised_by
from sage_doctor.system.frozen import frozen

_MOST_LINE = 2_000
_BEFORE, _AFTER = 3_000, 500
_MOST_MATCHES = 1_000  # of one message in a window
_MOST_QUOTED = 20  # occurrences that are quotations, before a window is taken for one

_ANSI = re.compile(rb"\x1b\[[0-9;?]{0,32}[ -/]{0,4}[@-~]")
_INNER_ENDS = re.compile(rb" ?\f[ \f]*")
# How Python draws the exceptions of a group: indented, with a bar, which is the only one unlike in a table.
_GROUP = re.compile(rb"^[ \t]{2,80}\| {1,80}(?=[^|\n]*$)", re.MULTILINE)
_CODE_LINE = re.compile(rb"^[ \t]*`([^`\n]{10,})`\.?[ \t]*$", re.MULTILINE)  # a message as pages ask for it
_LINK = re.compile(rb"\[([^\[\]\n]{1,400})\]\((?:https?|file|vscode[\w-]{0,40}):[^)\s]{0,800}\)")
_SPACES = bytes.maketrans(b"\t\v\r", b"  \n")
_ONE_LINE = bytes.maketrans(b"\n\v\f", b"   ")
_MOST_WORD = 500
_LONG_WORD = re.compile(rb"(?<!\S)\S{501,}")
_WORD_PART = re.compile(rb"\S{500}(?=\S)")


@frozen
class Recognised:
    """A known error in a text: what it is, and the newest line that says so."""

    known: Declaration
    certainty: Certainty
    number: int  # of the line, from one
    first: int  # the number of the first line that says so
    line: str
    around: str  # the text before it, and some after it
    letters: int  # of the message that are always the same: how specific it is

    @property
    def sure(self) -> bool:
        """Whether the line is characteristic of it."""
        return self.certainty > Certainty.MAY

    @property
    def order(self) -> tuple[int, int, int]:
        """Sort by this: what is surest, in order of the text; of one line, what says most of the message."""
        return -self.certainty, self.first, -self.letters


@frozen
class LogWindow:
    """A piece of a log, without colours: as it is, plain, and in one line of small letters of the same length."""

    raw: bytes
    number: int  # of its first line
    kind: TextKind

    @classmethod
    def of(cls, raw: bytes, number: int, kind: TextKind) -> LogWindow:
        """Return a piece of a log whose first line has this number, in a text of this kind."""
        return cls(raw=_ANSI.sub(b"", raw) if b"\x1b" in raw else raw, number=number, kind=kind)

    @cached_property
    def plain(self) -> bytes:
        """The text as `plain_text` has it."""
        return plain_text(self.raw)

    @cached_property
    def lowered(self) -> bytes:
        """That, in small letters."""
        return self.plain.lower()

    @cached_property
    def flat(self) -> bytes:
        """That, in one line of the same length."""
        return self.lowered.translate(_ONE_LINE)

    @cached_property
    def quoted(self) -> list[tuple[int, int]]:
        """Where somebody is quoted."""
        return quoted_ranges(self.plain)

    @cached_property
    def fenced(self) -> list[tuple[int, int]]:
        """What stands between fences."""
        return fenced_ranges(self.plain, self.kind)

    @cached_property
    def framed(self) -> bool:
        """Whether it may have frames of a traceback."""
        return may_have_frames(self.plain)

    @cached_property
    def lines(self) -> list[tuple[int, bytes]]:
        """The lines that are not blank, with their numbers from zero: the same ones that the plain text has."""
        split = ((number, part) for number, line in enumerate(self.raw.split(b"\n")) for part in line.split(b"\r"))
        return [(number, part) for number, part in split if part.strip()]

    @cached_property
    def ends(self) -> list[int]:
        """Where the lines of the plain text end."""
        return list(accumulate(len(line) + 1 for line in self.plain.split(b"\n")))

    def said(self, pattern: MessagePattern, told: Collection[str], *, again: bool) -> Recognised | None:
        """Return the newest message of a pattern that is no quotation; `told` are lines that others have found.

        Of a message that was found before, again, the first place does not matter.
        """
        matches = list(islice(self._matches(pattern), _MOST_MATCHES))
        early = matches[: 0 if again else _MOST_QUOTED]
        first = next(filter(None, (self._place(pattern, m, told) for m in early)), None)
        last = next(filter(None, (self._place(pattern, m, told) for m in matches[: -_MOST_QUOTED - 1 : -1])), first)
        if last is None:
            return None
        at, start = last
        place, line = self._line_of(start)
        around = self.plain[max(0, at - _BEFORE) : at + _AFTER].decode("utf-8", "replace")
        known = pattern.declaration
        if pattern.raised:
            before = self.plain[max(0, at - _BEFORE) : start].decode("utf-8", "replace")
            known = replace(known, cause=f"{raised_by(before, self._message(at))}. {known.cause}")
        return Recognised(
            known=known,
            certainty=pattern.certainty,
            number=self.number + place,
            first=self.number + (place if first in (None, last) else self._line_of(first[1])[0]),
            line=line,
            around=around,
            letters=pattern.letters,
        )

    def _matches(self, pattern: MessagePattern) -> Iterator[re.Match[bytes]]:
        """Yield matches, also those that begin within the one before: that may be a quotation, and this one not."""
        text, flat, phrase, before = self.lowered, self.flat, pattern.phrase, pattern.before
        at = flat.find(phrase)
        while at >= 0:
            begin, end, at = at - before, at + pattern.after, flat.find(phrase, at + 1)
            if not before:
                match = pattern.compiled.match(text, begin, end)
                if match is not None:
                    yield match
                continue
            while 0 <= at <= end + before:
                end, at = at + pattern.after, flat.find(phrase, at + 1)
            match = pattern.compiled.search(text, max(0, begin), end)
            while match is not None:
                yield match
                match = pattern.compiled.search(text, match.start() + 1, end)

    def _message(self, at: int) -> str:
        return self.plain[at:].partition(b"\n")[0][:_MOST_LINE].decode("utf-8", "replace")

    def _place(self, pattern: MessagePattern, match: re.Match[bytes], told: Collection[str]) -> tuple[int, int] | None:
        """Return where a message is and where its line begins, None for a quotation."""
        plain, at = self.plain, match.start(pattern.said)
        start = max(plain.rfind(b"\n", 0, at), plain.rfind(INNER_END, 0, at)) + 1
        if _within(self.quoted, at) or is_quoted(plain[start:at]):
            return None
        if (self.kind == "document" or _within(self.fenced, at)) and not is_copied(plain, start, at):
            return None
        if pattern.raised and (not is_raised(plain, start) or any(self._message(at) in line for line in told)):
            return None
        return at, start

    def _line_of(self, start: int) -> tuple[int, str]:
        """Return the line number in the window, from zero, of the line that starts there in its plain text, and it."""
        index = bisect_right(self.ends, start)
        if index >= len(self.lines):
            return 0, self._message(start)
        number, whole = self.lines[index]
        said = [part for part in whole.split(INNER_END) if part.strip()]
        inner = self.plain.count(INNER_END, self.ends[index - 1] if index else 0, start)
        line = said[min(inner, len(said) - 1)].strip()[:_MOST_LINE]
        return number, line.decode("utf-8", "replace")


def _within(ranges: list[tuple[int, int]], at: int) -> bool:
    return any(first <= at < last for first, last in ranges)


def plain_text(text: bytes) -> bytes:
    """Return a text without colours, with one blank or line break for each run of them, and with long words broken.

    What a pattern repeats is short then, so that searching takes time in proportion to the text.
    """
    if b"`" in text:
        text = _CODE_LINE.sub(rb"\1", text)
    if b"](" in text:
        text = _LINK.sub(rb"\1", text)
    plain = _GROUP.sub(b"", _ANSI.sub(b"", text)) if b"\x1b" in text or b"| " in text else text
    plain = _single(plain.translate(_SPACES), b" ")
    if INNER_END in plain:
        plain = _INNER_ENDS.sub(INNER_END, plain).replace(b"\n" + INNER_END, b"\n")
    plain = _single(plain.replace(b" \n", b"\n").replace(b"\n ", b"\n"), b"\n").lstrip()
    if max(map(len, plain.split(b"\n"))) <= _MOST_WORD:
        return plain
    return _LONG_WORD.sub(lambda word: _WORD_PART.sub(rb"\g<0>\v", word[0]), plain)


def _single(text: bytes, one: bytes) -> bytes:
    """Return a text with one of something for each run of it: in a few passes, each of which halves the runs."""
    while one * 2 in text:
        text = text.replace(one * 2, one)
    return text
