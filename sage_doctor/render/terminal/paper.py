"""The sheet that the screen is written on: wrapping, marks, and lines that must not be touched."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from sage_doctor.render import Screen

SubjectState = Literal["healthy", "ill", "warning", "info", "unknown", "skipped"]

# For each state: its mark, the same without Unicode, and its colour.
_MARKS: Final[dict[SubjectState, tuple[str, str, str]]] = {
    "healthy": ("✔", "ok  ", "green"),
    "ill": ("✘", "FAIL", "bold red"),
    "warning": ("!", "warn", "bold yellow"),
    "info": ("i", "info", "cyan"),
    "unknown": ("?", "??? ", "bold magenta"),
    "skipped": ("·", "-   ", "dim"),
}
_ASCII: Final = str.maketrans({"·": "-", "…": "...", "→": "->", "✔": "+", "✘": "x"})
_WIDEST: Final = 100  # longer lines are hard to read, however wide the window is


class Paper:
    """Collects lines. All text given to it must be `printable` already; nothing in it is taken for markup."""

    def __init__(self, screen: Screen) -> None:
        self._out = io.StringIO()
        self._unicode = screen.unicode
        self._width = max(20, min(screen.width, _WIDEST))
        self._console = Console(
            file=self._out,
            width=10_000,  # lines are wrapped here, by `_wrapped`
            force_terminal=screen.color,
            color_system="standard" if screen.color else None,
            no_color=not screen.color,
            legacy_windows=False,
            _environ={},
        )
        self._last_blank = True
        self.dot = " · " if screen.unicode else " - "

    def read(self) -> str:
        """Return everything written so far."""
        return self._out.getvalue()

    def mark(self, state: SubjectState) -> str:
        """Return the mark of a state, as the screen can show it."""
        return _MARKS[state][0 if self._unicode else 1]

    def blank(self) -> None:
        """Leave one line empty; never two."""
        if not self._last_blank:
            self._out.write("\n")
            self._last_blank = True

    def command(self, text: str, *, indent: int) -> None:
        """Write a command on a line of its own, whole, however long it is."""
        self._line(Text(" " * indent).append(text, style="bold cyan"))

    def text(
        self, text: str, *, indent: int = 0, after: int = 0, style: str = "", head: str = "", head_style: str = "bold"
    ) -> None:
        """Write wrapped text. Lines after the first are indented by `after` more; `head` goes before the first."""
        left = " " * indent
        for number, line in enumerate(self._wrapped(head + self._shown(text), indent, after)):
            shown = Text(left if number == 0 else left + " " * after)
            if number == 0 and head:
                shown.append(head, style=head_style).append(line[len(head) :], style=style)
            else:
                shown.append(line, style=style)
            self._line(shown)

    def entry(self, name: str, note: str, *, indent: int) -> None:
        """Write a name whole, with a note behind it where there is room, else below."""
        shown, behind = Text(" " * indent).append(name), f"  ({self._shown(note)})"
        if note and shown.cell_len + cell_len(behind) <= self._width:
            shown.append(behind, style="dim")
            note = ""
        self._line(shown)
        if note:
            self.text(f"({note})", indent=indent + 2, style="dim")

    def headline(self, state: SubjectState, name: str, counts: str) -> None:
        """Write a subject's first line: mark, name, how its checks ended."""
        shown = Text().append(self.mark(state), style=_MARKS[state][2]).append(" ")
        shown.append(self._shown(name), style="bold").append("  ").append(counts, style="dim")
        self._line(shown)

    def flow(self, parts: Sequence[tuple[str, str]], *, indent: int) -> None:
        """Write `(text, style)` parts one after the other, separated by dots, breaking only between them."""
        shown, used = Text(" " * indent), 0
        for whole, style in parts:
            part = self._shown(whole)
            if used and indent + used + len(self.dot) + cell_len(part) > self._width:
                self._line(shown)
                shown, used = Text(" " * indent), 0
            if used:
                shown.append(self.dot, style="dim")
                used += len(self.dot)
            shown.append(part, style=style)
            used += cell_len(part)
        self._line(shown)

    def _shown(self, text: str) -> str:
        return text if self._unicode else text.translate(_ASCII)

    def _line(self, shown: Text) -> None:
        shown.rstrip()
        self._console.print(shown, soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._last_blank = False

    def _wrapped(self, text: str, indent: int, after: int) -> list[str]:
        """Break at spaces only: a path or word that is too long sticks out rather than being torn apart."""
        lines: list[str] = []
        for paragraph in text.split("\n"):
            line = ""
            for word in paragraph.split(" "):
                room = self._width - indent - (after if lines else 0)
                if line and cell_len(line) + 1 + cell_len(word) > room:
                    lines.append(line)
                    line = word
                else:
                    line = f"{line} {word}" if line else word
            lines.append(line)
        return lines
