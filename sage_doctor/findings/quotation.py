"""Telling what a program says in a log from what somebody quotes: code, documentation, a diff, a chat.

A message is said where its line begins, or after what programs put before their messages: a time, a level, a name and
a colon, the name of the exception. Everything else that stands before it makes it a quotation.

A document quotes, and so does what stands between fences. In both, what was copied from a log counts all the same: the
last lines of a traceback, and a line with the time in front. In a report of a fault, everything between fences does.
"""

from __future__ import annotations

import re
from typing import Literal

_MOST_BEFORE = 2_000
_MOST_WORD = 84

# How lines of documents, comments, replies and listings begin. A shell that is a login shell calls itself `-bash`.
_MARKED = re.compile(
    rb"(#|//|/\*|\*\s|[->|]\s|\d{1,3}[.)]\s|\.\.\s|\+|<!--|(?i:user|human|prompt|question|q|you)\s?[:>]\s)"
)
# `grep -n`: file, number and text without a blank between them, and any line of source code except the warning that
# Python gives there. A file that is itself a log is what it says; file, line and column are a compiler's.
_GREP = re.compile(
    rb"(?:[\w@.+~-]{0,80}[:/]){0,30}[\w@.+~-]{1,120}\."
    rb"(?:(?!log\b|out\b|err\b|txt\b)\w{1,8}[:-]\d{1,7}[:-](?!\d{1,6}: )(?=\S)"
    rb"|(?:py|md|rst|go|rs|sh|js|ts|toml|json|ya?ml|html|ipynb)[:-]\d{1,7}[:-](?! \w{0,60}Warning: ))"
)
# The value of a field whose name says that it is a message, and an exception as Python shows it in a list or a log.
_SAYING = re.compile(
    rb"(\b(msg|message|err|errors?|error_message|detail|details|reason|stderr|stdout|output|exc|exc_info|exception|cause"
    rb"|log|line|traceback|text_payload)(=|\\?[\"']?:\s?)[\[(]?\\?"
    rb"|(?<![\w.])(?<!raise )(?<!throw )(?<!new )(?<!return )[\w.]{0,120}?[A-Z]\w{0,60}(Error|Exception|Warning|Refused"
    rb"|Timeout|Exit)\()$"
)
# What a line begins with that is a program's own message to its end: an exception's class, a level in capitals.
_MESSAGE = re.compile(
    rb"(\b[\w.]{0,120}(Error|Exception|Warning|Refused)|\b[Ee]rror|\bfatal|\bwarning)( \([^)\n]{0,80}\))?: |"
    rb"\b(ERROR|CRITICAL|FATAL|WARN|WARNING|SEVERE)\b|\b(Value error|Assertion failed), "
)
# A message follows a colon, a bracket, a dash or a level, or stands at the beginning; never a word of a sentence.
_IN_SENTENCE = re.compile(rb"([a-z]{2,}|\b[aAI])['\w]{0,3}[,;]?\s$")
_LEVEL = re.compile(rb"(^|[^a-z] ?)\b(error|err|warn|warning|info|fatal|critical|debug|trace|notice)\s$")
_SOMEBODY = re.compile(
    rb"\b(i|i'm|i've|we|you|my|your|our|if|says|said|got|gets|getting|saw|seeing|see|like|e\.g\.|means?)\b",
    re.IGNORECASE,
)

# Before an apostrophe stands a word; before a quotation mark at most the letter that says what kind of string it is.
_QUOTE = re.compile(rb"[\"'`]")
_APOSTROPHE = re.compile(rb"(?<![\w\"'])(?![rfbuRFBU]{1,2}$)\w{1,80}$|\w{3,80}$")
# What begins like this is a program, a page or a change to one, from end to end.
_SOURCE_START = re.compile(
    rb"\s*(#!|diff --git |<!DOCTYPE|<html|<\?xml|import \w|from [\w.]{1,80} import |package \w|#include |\"\"\"|//)"
)
_DOCUMENT_START = re.compile(rb"\s*#{1,6} ")
# The headings of the forms in which faults are reported. Two of them make a report.
_REPORT_HEADING = re.compile(
    rb"^(?:#{1,6} |\*\*)\W{0,8}(describe the (?:bug|issue|problem)|bug (?:description|report)"
    rb"|(?:your )?current environment|system info|relevant log output|what happened|what is the issue"
    rb"|(?:steps )?to reproduce|reproduction|(?:expected|actual|current) (?:behaviou?r|result)s?"
    rb"|who can help)\b[^\n]{0,20}$",
    re.IGNORECASE | re.MULTILINE,
)
_TRACEBACK = re.compile(rb"^Traceback \(most recent call last\):", re.MULTILINE)
# A traceback whose beginning is cut off: its last line of code, the mark below it, and what that raised.
_CUT_OFF = re.compile(rb"[ \t]{2,80}\S[^\n]*\n([ \t]*[\^~ ]+\r?\n)?[\w.]{0,80}(Error|Exception): ")

_FRAME = re.compile(
    rb"\bFile \"[^\"\n]{1,400}\", line \d|\bFile [^\s:]{1,400}:\d{1,7}(?:, in |$)|^-{2,6}> \d{1,6} "
    rb"|^\xe2\x95\xb0\xe2\x94\x80",  # the lower edge of rich's box
    re.MULTILINE,
)
_FRAME_PARTS = (b"File ", b"-> ", b"\xe2\x95\xb0")  # one of which every frame has
_NEXT_PART = re.compile(rb"^(```|~~~|#{1,6} )", re.MULTILINE)
_MOST_MESSAGE = 1_500  # from the last frame of a traceback to where its message ends
_TIME = re.compile(rb"\d\d:\d\d:\d\d")
_CODE = re.compile(
    rb"\s*(py|sh$|bash|c$|c\+\+|cpp|cuda|go|rust|js|javascript|json|ya?ml|toml|ini|diff|html|docker)", re.IGNORECASE
)

_MOST_QUOTED = 20_000
_FENCE = re.compile(rb"^(```|~~~)([^\n]{0,80})$", re.MULTILINE)
_STRING = re.compile(rb"[=(,\[]\s?[rfbRFB]{0,2}(\"\"\"|\x27\x27\x27)")
# A turn of a chat that is not the model's or a tool's, as templates write it: what a person asked about an error.
_TURN = re.compile(
    rb"<\|(?:im_start|start_header_id)\|>(?:user|system)\b|<start_of_turn>user\b|<\|user\|>|\[INST\]", re.IGNORECASE
)
_TURN_END = re.compile(rb"<\|(?:im_end|eot_id|end|assistant|im_start)\|>|<end_of_turn>|\[/INST\]|</s>", re.IGNORECASE)
_HUNK = re.compile(rb"^@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@", re.MULTILINE)


TextKind = Literal["log", "report", "document", "source"]


def kind_of_text(start: bytes) -> TextKind:
    """Return what a text is that begins like this. What a document or source code names has not happened."""
    if len({match[1].lower() for match in _REPORT_HEADING.finditer(start)}) > 1:
        return "report"
    if _DOCUMENT_START.match(start):
        return "document"
    traceback = _TRACEBACK.search(start) or _CUT_OFF.match(start)
    return "source" if _SOURCE_START.match(start) and not traceback else "log"


def is_copied(plain: bytes, start: int, at: int) -> bool:
    """Return whether a message at `at`, on the line that starts at `start`, is of a log that a document shows."""
    if _TIME.search(plain[start:at][:120]):
        return True
    return is_raised(plain, start)


def is_raised(plain: bytes, start: int) -> bool:
    """Return whether the line that starts there follows the frames of a traceback."""
    before = plain[max(0, start - _MOST_MESSAGE) : start]
    frames = list(_FRAME.finditer(before)) if may_have_frames(before) else []
    return bool(frames) and not _NEXT_PART.search(before, frames[-1].end())


def may_have_frames(plain: bytes) -> bool:
    """Return whether a text has what every frame of a traceback has."""
    return any(part in plain for part in _FRAME_PARTS)


def fenced_ranges(plain: bytes, kind: TextKind) -> list[tuple[int, int]]:
    """Return where a text quotes whole lines between fences: in a report only code is quoted.

    A text that is itself one fenced block, as pasted from a report, is no quotation.
    """
    found = []
    opened: re.Match[bytes] | None = None
    for match in _FENCE.finditer(plain) if b"```" in plain or b"~~~" in plain else ():
        if opened is None or match[2].strip():
            opened = match
            continue
        if match[1] == opened[1]:
            quotes = opened.start() > 0 if kind != "report" else bool(_CODE.match(opened[2]))
            if quotes and match.end() - opened.start() < _MOST_QUOTED:
                found.append((opened.start(), match.end()))
            opened = None
    return found


def quoted_ranges(plain: bytes) -> list[tuple[int, int]]:
    """Return where a text quotes whole lines as a program does: in a string of many lines, a diff, a person's turn."""
    found = []
    for match in _STRING.finditer(plain):
        end = plain.find(match[1], match.end(), match.end() + _MOST_QUOTED)
        found += [(match.start(), end)] if end >= 0 else []
    for match in _TURN.finditer(plain):
        ended = _TURN_END.search(plain, match.end(), match.end() + _MOST_QUOTED)
        found += [(match.start(), ended.start())] if ended is not None else []
    for match in _HUNK.finditer(plain):
        rest = plain[match.end() : match.end() + _MOST_QUOTED].split(b"\n")
        lines = rest[: 1 + sum(1 if count is None else int(count) for count in match.groups())]
        found.append((match.start(), match.end() + sum(len(line) + 1 for line in lines)))
    return found


def is_quoted(before: bytes) -> bool:
    """Return whether what stands on a line before a message makes the message a quotation."""
    before = before[-_MOST_BEFORE:]
    begun = _MESSAGE.search(before)
    if begun and not _is_quotation(before[: begun.start()]):
        return before.count(b"`") % 2 == 1
    return _is_quotation(before)


def _is_quotation(before: bytes) -> bool:
    if not before.strip():
        return False
    if _MARKED.match(before) or _GREP.match(before):
        return True
    opened = _open_quote(before)
    if opened is not None:
        return before[opened] == ord("`") or not _SAYING.search(before[:opened])
    if _IN_SENTENCE.search(before) and not _LEVEL.search(before):
        return True
    return bool(_SOMEBODY.search(before))


def _open_quote(before: bytes) -> int | None:
    """Return where a quotation begins that is still open at the end, or None."""
    opened: int | None = None
    for match in _QUOTE.finditer(before):
        at = match.start()
        if opened is not None:
            opened = None if match[0] == before[opened : opened + 1] else opened
        elif match[0] != b"'" or not _APOSTROPHE.search(before, max(0, at - _MOST_WORD), at):
            opened = at
    return opened
