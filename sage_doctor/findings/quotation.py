"""Telling what a program says in a log from what somebody quotes: code, documentation, a diff, a chat.

A message is said where its line begins, or after what programs put before their messages: a time, a level, a name and
a colon, the name of the exception. Everything else that stands before it makes it a quotation.
"""

from __future__ import annotations

import re


_MOST_BEFORE = 2_000

# How lines of documents, comments, replies and listings begin. A shell that is a login shell calls itself `-bash`.
_MARKED = re.compile(rb"(#|//|/\*|\*\s|[-+>|]\s|\d{1,3}[.)]\s|\.\.\s|\+\S|<!--)")
# `grep -n`: file, number and text without a blank between them. A file that is itself a log is what it says.
_GREP = re.compile(
    rb"(?:[\w@.+~-]{0,80}[:/]){0,30}[\w@.+~-]{1,120}\.(?!log\b|out\b|err\b|txt\b)\w{1,8}[:-]\d{1,7}[:-](?=\S)"
)
_DOCUMENT = re.compile(rb"\S{1,400}\.(md|rst|adoc|ipynb|html|tex)[:-](\d{1,7}[:-])?")
# The value of a field whose name says that it is a message, and an exception as Python shows it in a list or a log.
_SAYING = re.compile(
    rb"(\b(msg|message|err|errors?|error_message|detail|details|reason|stderr|stdout|output|exc|exc_info|exception|cause"
    rb"|log|line|body|traceback|text_payload)\\?[\"']?\s?[=:]\s?\[?\s?\\?"
    rb"|(?<!raise )(?<!throw )(?<!new )(?<!return )\b\w{0,60}(error|exception|warning|refused|timeout|exit)\()$",
    re.IGNORECASE,
)
# What a line begins with that is a program's own message to its end: an exception's class, a level in capitals.
_MESSAGE = re.compile(
    rb"(\b[\w.]{0,120}(Error|Exception|Warning|Refused)|\b[Ee]rror|\bfatal|\bwarning)( \([^)\n]{0,80}\))?: |"
    rb"\b(ERROR|CRITICAL|FATAL|WARN|WARNING|SEVERE)\b"
)
# A message follows a colon, a bracket, a dash or the like, a level, or stands at the beginning; never a word of a sentence.
_IN_SENTENCE = re.compile(rb"([a-z]{2,}|\b[aAI])['\w]{0,3}[,;]?\s$")
_LEVEL = re.compile(rb"(^|[^a-z] ?)\b(error|err|warn|warning|info|fatal|critical|debug|trace|notice)\s$")
_SOMEBODY = re.compile(
    rb"\b(i|i'm|i've|we|you|my|your|our|if|says|said|got|gets|getting|saw|seeing|see|like|e\.g\.|means?)\b",
    re.IGNORECASE,
)

_BLOCKS = (
    re.compile(rb"^(?P<mark>```|~~~)[^\n]{0,60}\n.{0,20000}?^(?P=mark)`{0,3}\s*$", re.DOTALL | re.MULTILINE),
    re.compile(rb"[=(,\[] ?[rfbRFB]{0,2}(?P<mark>\"\"\"|''').{0,20000}?(?P=mark)", re.DOTALL),
    re.compile(
        rb"^@@ -\d{1,9}(,\d{1,9})? \+\d{1,9}[^\n]{0,300}\n([^\n]{0,2000}\n){0,400}?(?=^diff |^@@ |\Z)", re.MULTILINE
    ),
)


def quoted_ranges(plain: bytes) -> list[tuple[int, int]]:
    """Return where a text quotes whole lines: between fences, in a string of many lines, in a diff.

    A text that is itself one fenced block, as pasted from a report, is no quotation.
    """
    fences, strings, hunks = _BLOCKS
    found: list[tuple[int, int]] = []
    if b"```" in plain or b"~~~" in plain:
        found += [m.span() for m in fences.finditer(plain) if m.start() > 0]
    if b'"""' in plain or b"'''" in plain:
        found += [m.span() for m in strings.finditer(plain)]
    if b"@@ -" in plain:
        found += [m.span() for m in hunks.finditer(plain)]
    return found


def is_quoted(before: bytes) -> bool:
    """Return whether what stands on a line before a message makes the message a quotation."""
    before = before[-_MOST_BEFORE:]
    begun = _MESSAGE.search(before)
    return _is_quoted(before) and not (begun and not _is_quoted(before[: begun.start()]))


def _is_quoted(before: bytes) -> bool:
    if not before.strip():
        return False
    if _MARKED.match(before) or _GREP.match(before) or _DOCUMENT.match(before):
        return True
    opened = _open_quote(before)
    if opened is not None:
        return not _SAYING.search(before[:opened])
    if _IN_SENTENCE.search(before) and not _LEVEL.search(before):
        return True
    return bool(_SOMEBODY.search(before))


def _open_quote(before: bytes) -> int | None:
    """Return where a quotation begins that is still open at the end, or None."""
    opened: int | None = None
    mark = 0
    for at, char in enumerate(before):
        if char not in b"\"'`":
            continue
        if opened is not None:
            if char == mark:
                opened = None
        elif (
            char != 0x27 or at == 0 or not before[at - 1 : at].isalnum()
        ):  # 0x27: an apostrophe in a word opens nothing
            opened, mark = at, char
    return opened
