"""The quoted texts and the comment of one line, found once for all paths in it."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cached_property

_TOKEN = re.compile(r"\\+|[\"']")
_MARK = re.compile(r"(?:^|\s)(?:#|//|;)")
_MARK_WITHIN = re.compile(r"\s(?:#|//|;)")
_OTHER_QUOTES = {'"': re.compile("'[^']*'"), "'": re.compile('"[^"]*"')}
_WINDOW = 4096


class Quoting:
    """One line. A text in quotes ends at the next quote of its kind; a backslash escapes double quotes only."""

    def __init__(self, line: str) -> None:
        self._line = line

    def in_comment(self, position: int) -> bool:
        """Whether a comment mark stands before a position, outside of the texts that are closed before it."""
        if self._comment < position:
            return True
        known = bisect_left(self._strings, (position, 0)) - 1
        if known < 0 or self._strings[known][1] < position:
            return False
        first = self._strings[known][0]  # a text that is still open counts as words
        within = self._line[max(first, position - _WINDOW) : position]
        return _MARK_WITHIN.search(_OTHER_QUOTES[self._line[first]].sub("", within)) is not None

    @cached_property
    def _strings(self) -> list[tuple[int, int]]:
        """Where each closed text begins and ends, from left to right."""
        quotes: list[int] = []
        closing: dict[str, list[int]] = {"'": [], '"': []}
        escaped = -1  # the position that an odd number of backslashes leads to
        for token in _TOKEN.finditer(self._line):
            position, text = token.start(), token[0]
            if text[0] == "\\":
                escaped = token.end() if len(text) % 2 else -1
                continue
            quotes.append(position)
            if text == "'" or position != escaped:
                closing[text].append(position)
        found: list[tuple[int, int]] = []
        for position in quotes:
            if found and position <= found[-1][1]:
                continue
            ends = closing[self._line[position]]
            behind = bisect_right(ends, position)
            if behind < len(ends):
                found.append((position, ends[behind]))
        return found

    @cached_property
    def _comment(self) -> int:
        """Where the first comment mark outside of all closed texts ends; behind the line where there is none."""
        pieces, first = [], 0
        for begin, end in [*self._strings, (len(self._line), 0)]:
            pieces.append((first, self._line[first:begin]))
            first = end + 1
        mark = _MARK.search("".join(text for _, text in pieces))
        if mark is None:
            return len(self._line)
        left = mark.end() - 1
        for first, text in pieces:
            if left < len(text):
                return first + left
            left -= len(text)
        raise AssertionError("the mark is in one of the pieces")
