"""Tables for people, drawn by rich without borders.

A cell is never cut or folded: names and paths are copied from it. In a pipe a row is one line, however long. On a
terminal the last cell of a row that is wider than the window goes below its row.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sage_doctor.render import screen_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Cell = str | tuple[str, str]  # a text, or a text and its style
Row = Sequence[Cell]

_GAP: Final = 2
_BELOW: Final = 4  # the indent of what goes below its row
_ANY_WIDTH: Final = 1_000_000


def write_table(rows: Sequence[Row], *, head: Sequence[str] = ()) -> None:
    """Write a table to standard output."""
    screen = screen_of(sys.stdout)
    width = screen.width if sys.stdout.isatty() else None
    sys.stdout.write(table_text(rows, head=head, width=width, color=screen.color))


def table_text(
    rows: Sequence[Row],
    *,
    head: Sequence[str] = (),
    width: int | None = None,
    color: bool = False,
) -> str:
    """Return the table as text, its rows as long as they need to be if there is no `width`.

    The last cell may have several lines. All cells must be `printable` already; nothing in them is taken for markup.
    """
    from rich.console import Console  # noqa: PLC0415 - only commands that print tables need it
    from rich.text import Text  # noqa: PLC0415

    console = Console(
        file=io.StringIO(),
        width=_ANY_WIDTH,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        _environ={},
    )
    whole = [[(name, "bold") for name in head], *rows] if head else list(rows)
    if not whole:
        return ""
    lines = _drawn(console, whole)
    if width is None:
        return "".join(lines)
    first = _drawn(console, [row[:-1] for row in whole])
    before = console.measure(_grid([[*row[:-1], ""] for row in whole])).maximum
    shown: list[str] = []
    for row, left in zip(whole, first, strict=True):
        last = Text.assemble(row[-1]).split(allow_blank=True)
        own, lines = lines[: len(last)], lines[len(last) :]
        if any(part and before + part.cell_len > width for part in last):
            own = [left, *_drawn(console, [[" " * (_BELOW - _GAP), row[-1]]])]
        shown += own
    return "".join(shown)


def _grid(rows: Sequence[Row]) -> Table:
    """Return the rows as a table whose columns are as wide as their cells."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table.grid(padding=(0, _GAP, 0, 0))
    for _ in rows[0]:
        grid.add_column(no_wrap=True)
    for row in rows:
        grid.add_row(*(Text.assemble(cell) for cell in row))
    return grid


def _drawn(console: Console, rows: Sequence[Row]) -> list[str]:
    """Return the lines of a table: one a row, more if the last cell has more."""
    with console.capture() as captured:
        console.print(_grid(rows), highlight=False)
    return [f"{line.rstrip()}\n" for line in captured.get().splitlines()]
