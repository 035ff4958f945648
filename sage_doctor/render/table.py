"""Tables for people, drawn by rich without borders.

A cell is never cut or folded: names and paths are copied from it. In a pipe a row is one line, however long. On a
terminal the last cell of a row that is wider than the window goes below its row; if the other cells are wider already,
so does all but the first.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
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
    if width is None:
        return "".join(_drawn(console, whole))
    return "".join(line for row in _fitted(console, whole, width) for line in row)


def _fitted(console: Console, rows: Sequence[Row], width: int) -> Iterator[list[str]]:
    """Yield the lines of each row, broken between cells where it is too wide."""
    from rich.text import Text  # noqa: PLC0415

    if len(rows[0]) > 2 and _width_before_last(console, rows) > width:
        rest = [row[1:] for row in rows]
        if _width_before_last(console, rest) <= width - _GAP:
            names = _drawn(console, [row[:1] for row in rows])
            for name, below in zip(names, _fitted(console, rest, width - _GAP), strict=True):
                yield [name, *(" " * _GAP + line for line in below)]
            return
    before, lines = _width_before_last(console, rows), _drawn(console, rows)
    for row, left in zip(rows, _drawn(console, [row[:-1] for row in rows]), strict=True):
        last = Text.assemble(row[-1]).split(allow_blank=True)
        own, lines = lines[: len(last)], lines[len(last) :]
        wide = any(part and before + part.cell_len > width for part in last)
        yield [left, *_drawn(console, [[" " * (_BELOW - _GAP), row[-1]]])] if wide else own


def _width_before_last(console: Console, rows: Sequence[Row]) -> int:
    return console.measure(_grid([[*row[:-1], ""] for row in rows])).maximum


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
