"""The line of each key of a TOML text, which the standard parser does not tell.

One pass from left to right, without recursion or backtracking. It does not validate: the parser that follows refuses
what is not TOML, and this pass stops at what it cannot follow. It does limit depth, because the standard parser takes
quadratic time for a key of many dotted parts and recurses for nested values.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field

if sys.version_info >= (3, 11):
    from tomllib import TOMLDecodeError, loads
else:
    from tomli import TOMLDecodeError, loads

__all__ = ["KeyLines", "KeyPath", "TOMLDecodeError", "loads", "locate_keys"]

KeyPath = tuple["str | int", ...]

MOST_PARTS = 32  # of one dotted key; the manifest's own deepest key has 6
MOST_NESTED = 64  # arrays and inline tables in one value
_MOST_KEPT = 16

_BLANK = re.compile(r"[ \t\r\n]+|#[^\n]*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r'"([^"\\\n]*(?:\\.[^"\\\n]*)*)"|\'([^\'\n]*)\'|([A-Za-z0-9_-]+)')
_BASIC = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_BASIC_STOP = re.compile(r'\\.|"""', re.DOTALL)
_BARE = re.compile(r"[^,\]}#\n]+")


@dataclass
class KeyLines:
    """Where keys stand, by their path: table names, keys, and from 0 the index in arrays.

    `too_deep` is the line of a key or value nested too deeply, 0 if there is none.
    """

    lines: dict[KeyPath, int] = field(default_factory=dict)
    too_deep: int = 0

    def of(self, path: KeyPath) -> int:
        """Return the line of the key at `path`, or of the nearest thing around it; 1 where nothing is known."""
        for end in range(len(path), 0, -1):
            line = self.lines.get(path[:end])
            if line is not None:
                return line
        return 1


def locate_keys(text: str) -> KeyLines:
    """Return the line (from 1) of every key in a TOML text, as far as the text can be followed."""
    walk = _Walk(text)
    try:
        walk.document()
    except _Lost:
        pass
    except _TooDeep:
        walk.found.too_deep = walk.line()
    return walk.found


class _Lost(Exception):
    pass


class _TooDeep(Exception):
    pass


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found = KeyLines()
        self.implied: set[KeyPath] = set()  # tables known only from a longer name: a header of their own wins
        self.sizes: dict[KeyPath, int] = {}  # arrays of tables, and how many tables they hold so far
        self._counted, self._line = 0, 1

    def line(self) -> int:
        """Return the line of the current position. Positions only grow, so each newline is counted once."""
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = max(self._counted, self.at)
        return self._line

    def peek(self, length: int = 1) -> str:
        return self.text[self.at : self.at + length]

    def expect(self, token: str) -> None:
        if not self.text.startswith(token, self.at):
            raise _Lost
        self.at += len(token)

    def blanks(self) -> None:
        while match := _BLANK.match(self.text, self.at):
            self.at = match.end()

    def spaces(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def document(self) -> None:
        table: KeyPath = ()
        while True:
            self.blanks()
            if self.at >= len(self.text):
                return
            if self.peek() == "[":
                table = self.header()
            else:
                self.value(self.assignment(table))

    def header(self) -> KeyPath:
        line = self.line()
        many = self.peek(2) == "[["
        self.expect("[[" if many else "[")
        parts = self.key()
        self.expect("]]" if many else "]")
        path: KeyPath = ()
        for index, part in enumerate(parts):
            path = _longer(path, part)
            last = index == len(parts) - 1
            if last and many:
                self.sizes[path] = self.sizes.get(path, 0) + 1
            self.note(path, line, implied=not last)
            if path in self.sizes:
                path = _longer(path, self.sizes[path] - 1)
                self.note(path, line, implied=not last)
        return path

    def key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self.spaces()
            match = _KEY.match(self.text, self.at)
            if match is None:
                raise _Lost
            basic, literal, bare = match.groups()
            parts.append(_unescaped(basic) if basic is not None else literal if literal is not None else bare)
            if len(parts) > MOST_PARTS:
                raise _TooDeep
            self.at = match.end()
            self.spaces()
            if self.peek() != ".":
                return parts
            self.at += 1

    def assignment(self, table: KeyPath) -> KeyPath:
        """Read `key.of.parts =` and return the path of the value that follows."""
        line = self.line()
        parts = self.key()
        self.expect("=")
        path = table
        for index, part in enumerate(parts):
            path = _longer(path, part)
            self.note(path, line, implied=index < len(parts) - 1)
        return path

    def note(self, path: KeyPath, line: int, *, implied: bool = False) -> None:
        if path not in self.found.lines or (path in self.implied and not implied):
            self.found.lines[path] = line
            (self.implied.add if implied else self.implied.discard)(path)

    def value(self, path: KeyPath) -> None:
        """Read one value with all that is nested in it. `open_` holds the containers not yet closed."""
        open_: list[tuple[str, KeyPath, int]] = []
        while True:
            self.blanks() if open_ else self.spaces()
            char = self.peek()
            if char in ("[", "{"):
                if len(open_) >= MOST_NESTED:
                    raise _TooDeep
                self.at += 1
                open_.append((char, path, -1))
            else:
                self.scalar(char)
            following = self.next_in(open_)
            if following is None:
                return
            path = following

    def next_in(self, open_: list[tuple[str, KeyPath, int]]) -> KeyPath | None:
        """Close what ends here and return the path of the next value, or None where the outermost one is complete."""
        while open_:
            kind, path, index = open_[-1]
            self.blanks()
            if index >= 0 and self.peek() == ",":
                self.at += 1
                self.blanks()
            elif index >= 0 and self.peek() not in ("]", "}"):
                raise _Lost
            if self.peek() in ("]", "}"):
                self.at += 1
                open_.pop()
                continue
            open_[-1] = (kind, path, index + 1)
            if kind == "{":
                return self.assignment(path)
            item = _longer(path, index + 1)
            line = self.line()
            if line != self.found.of(path):  # an item on its array's own line needs no entry
                self.note(item, line)
            return item
        return None

    def scalar(self, char: str) -> None:
        if self.peek(3) == '"""':
            self.at += 3
            while (stop := _BASIC_STOP.search(self.text, self.at)) and stop.group() != '"""':
                self.at = stop.end()
            self.close(stop.start() if stop else -1, '"')
        elif self.peek(3) == "'''":
            self.close(self.text.find("'''", self.at + 3), "'")
        else:
            pattern = _BASIC if char == '"' else _LITERAL if char == "'" else _BARE
            match = pattern.match(self.text, self.at)
            if match is None:
                raise _Lost
            self.at = match.end()

    def close(self, start: int, quote: str) -> None:
        """Step behind closing triple quotes; up to two more quotes right before them belong to the text."""
        if start < 0:
            raise _Lost
        self.at = start + 3
        for _ in range(2):
            if self.peek() == quote:
                self.at += 1


def _longer(path: KeyPath, part: str | int) -> KeyPath:
    """Deeper than any manifest goes, all keys share the path of what is around them: paths stay small."""
    return path if len(path) >= _MOST_KEPT else (*path, part)


def _unescaped(text: str) -> str:
    """Return what is between the quotes of a key as the parser reads it."""
    if "\\" not in text:
        return text
    try:
        return str(loads(f'key = "{text}"')["key"])
    except ValueError as error:
        raise _Lost from error
