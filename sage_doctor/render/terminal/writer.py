"""Writes the screen: marks, wrapped text, and commands that stay whole on one line.

rich draws the colours and knows how many columns a text takes. The wrapping is ours: rich folds or cuts a word that is
longer than the line, but a path or a command must stay whole to be copied. rich's console is imported only for colours.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

from sage_doctor.render import Screen
from sage_doctor.report.subjects import SubjectState
from sage_doctor.text import unbroken

# For each state: its mark, the same without Unicode, and its style.
MARKS: Final[dict[SubjectState, tuple[str, str, str]]] = {
    "healthy": ("✔", "ok  ", "green"),
    "unhealthy": ("✘", "FAIL", "bold red"),
    "warning": ("!", "warn", "bold yellow"),
    "info": ("i", "info", "cyan"),
    "unknown": ("?", "??? ", "bold magenta"),
    "skipped": ("·", "-   ", "dim"),
}
_ASCII: Final = str.maketrans({"·": "-", "…": "...", "→": "->", "✔": "+", "✘": "x"})
_WIDEST: Final = 100  # longer lines are hard to read, however wide the window is

Span = tuple[str, str]  # a text and its style


class Writer:
    """Collects lines. All text must be `printable` already: the only escape sequences are those of the styles."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._lines: list[list[Span]] = []
        self._unicode, self._color = screen.unicode, screen.color
        self._width = max(20, min(screen.width, _WIDEST))
        self.dot = " · " if screen.unicode else " - "
        self.verbose = screen.detail == "verbose"

    @property
    def widest_name(self) -> int:
        """How many columns names may take before what is said of them."""
        return self._width * 2 // 5

    def draft(self) -> Writer:
        """Return an empty writer for the same screen, for what is added once it is known to fit."""
        return Writer(self._screen)

    def add(self, draft: Writer) -> None:
        """Write what a draft holds, after an empty line."""
        self.blank()
        self._lines += draft._lines

    def __len__(self) -> int:
        """Return how many lines there are."""
        return len(self._lines)

    def read(self) -> str:
        """Return everything written so far."""
        if self._color:
            return _colored(self._lines)
        return "".join("".join(text for text, _ in line) + "\n" for line in self._lines)

    def mark(self, state: SubjectState) -> str:
        """Return the mark of a state, as the screen can show it."""
        return MARKS[state][0 if self._unicode else 1]

    def style(self, state: SubjectState) -> str:
        """Return the style of a state."""
        return MARKS[state][2]

    def blank(self) -> None:
        """Write an empty line, but never two in a row or at the top."""
        if self._lines and self._lines[-1]:
            self._lines.append([])

    def command(self, text: str, *, indent: int) -> None:
        """Write a command on its own line, never wrapped."""
        self._line((" " * indent, ""), (text, "bold cyan"))

    def text(
        self, text: str, *, indent: int = 0, after: int = 0, style: str = "", head: str = "", head_style: str = "bold"
    ) -> None:
        """Write wrapped text. Lines after the first are indented by `after` more; `head` goes before the first."""
        first, *more = self._wrapped(head + self._shown(text), indent, after)
        self._line((" " * indent, ""), (first[: len(head)], head_style), (first[len(head) :], style))
        for line in more:
            self._line((" " * (indent + after), ""), (line, style))

    def entry(self, name: str, note: str, *, indent: int) -> None:
        """Write a name, with a note after it if it fits, else below."""
        left, behind = " " * indent + name, f"  ({self._shown(note)})"
        if not note or _cells(left + behind) > self._width:
            self._line((left, ""))
            if note:
                self.text(f"({note})", indent=indent + 2, style="dim")
        else:
            self._line((left, ""), (behind, "dim"))

    def headline(self, state: SubjectState, name: str, what: str, *, counts: str) -> None:
        """Write a subject's line: its mark, its name and what is wrong; the counts of its checks with `-v`."""
        counted = f"  ({counts})" if self.verbose and counts else ""
        first, *more = self._wrapped(f"{self.mark(state)} {self._shown(name)}  {self._shown(what)}{counted}", 0, 4)
        mark = self.mark(state)
        self._line((mark, self.style(state)), (first[len(mark) :], "bold" if not what else ""))
        for line in more:
            self._line((f"    {line}", ""))

    def flow(self, parts: Sequence[Span], *, indent: int) -> None:
        """Write parts one after the other, separated by dots, breaking only between them."""
        spans: list[Span] = [(" " * indent, "")]
        used = 0
        for whole, style in parts:
            part = self._shown(whole)
            if used and indent + used + len(self.dot) + _cells(part) > self._width:
                self._line(*spans)
                spans, used = [(" " * indent, "")], 0
            if used:
                spans.append((self.dot, "dim"))
                used += len(self.dot)
            spans.append((part, style))
            used += _cells(part)
        self._line(*spans)

    def _shown(self, text: str) -> str:
        return text if self._unicode else text.translate(_ASCII)

    def _line(self, *spans: Span) -> None:
        kept = list(spans)
        while kept and not kept[-1][0].strip(" "):
            kept.pop()
        if kept:
            kept[-1] = (kept[-1][0].rstrip(" "), kept[-1][1])
        self._lines.append(kept)

    def _wrapped(self, text: str, indent: int, after: int) -> list[str]:
        """Break at spaces only: a longer word is not broken, and neither is a command in backticks."""
        lines: list[str] = []
        for paragraph in text.split("\n"):
            line = ""
            for word in unbroken(paragraph):
                room = self._width - indent - (after if lines else 0)
                if line and _cells(line) + 1 + _cells(word) > room:
                    lines.append(line)
                    line = word
                else:
                    line = f"{line} {word}" if line else word
            lines.append(line)
        return lines


def _colored(lines: list[list[Span]]) -> str:
    from rich.console import Console  # noqa: PLC0415 - half of the time that rendering takes
    from rich.text import Text  # noqa: PLC0415

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", legacy_windows=False, _environ={})
    for line in lines:
        console.print(Text.assemble(*line), soft_wrap=True, highlight=False)
    return out.getvalue()


def _cells(text: str) -> int:
    """Return how many columns a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - text of a log file is mostly ASCII

    return cell_len(text)
