"""Tables: aligned, and no name or path in them is cut or folded."""

from __future__ import annotations

import re

from sage_doctor.render.table import Row, table_text

ROWS: list[Row] = [
    (("drifted", "red"), "b", "the numbers differ"),
    ("same", "tuned-模型", ""),
    ("", "", "[bold]x[/] :smile:"),
]


def test_columns_are_aligned_and_nothing_is_markup() -> None:
    assert table_text(ROWS, head=("state", "model", "why")) == (
        "state    model       why\n"
        "drifted  b           the numbers differ\n"
        "same     tuned-模型\n"
        "                     [bold]x[/] :smile:\n"
    )
    assert table_text([]) == ""


def test_a_long_path_goes_below_its_row_and_stays_whole() -> None:
    path = "/zoo/a directory/" + "x" * 300
    text = table_text([*ROWS, ("broken", "c", path)], width=40)
    assert text.splitlines()[:2] == ["drifted  b           the numbers differ", "same     tuned-模型"]
    assert text.splitlines()[3:] == ["broken   c", f"    {path}"]
    long_name = table_text([("same", path, "")], width=40)
    assert long_name == f"same  {path}\n"


def test_a_name_stands_above_its_row_where_the_other_cells_fit_below_it() -> None:
    name = "some-model-with-a-long-name"
    rows: list[Row] = [(name, "adapter", "3.2 MB", "whole"), ("b", "full", "-", "no weights; they are elsewhere")]
    assert table_text(rows, head=("name", "kind", "size", "files"), width=40) == (
        "name\n  kind     size    files\n"
        f"{name}\n  adapter  3.2 MB  whole\n"
        "b\n  full     -\n      no weights; they are elsewhere\n"
    )
    assert max(len(line) for line in table_text(rows, width=60).splitlines()) <= 60
    assert name + "  adapter" in table_text(rows, width=60)


def test_the_lines_of_a_cell_stay_together() -> None:
    rows: list[Row] = [("drifted", "b", "short\n" + "x" * 40), ("same", "c", "")]
    assert table_text(rows, width=40) == f"drifted  b\n    short\n    {'x' * 40}\nsame     c\n"
    assert table_text(rows) == f"drifted  b  short\n            {'x' * 40}\nsame     c\n"


def test_without_a_width_a_row_is_one_line() -> None:
    assert len(table_text([("a", "b" * 200, "c " * 200)]).splitlines()) == 1


def test_colour_changes_no_word() -> None:
    colored = table_text(ROWS, head=("state", "model", "why"), width=30, color=True)
    assert "\x1b[31mdrifted\x1b[0m" in colored
    plain = table_text(ROWS, head=("state", "model", "why"), width=30)
    assert [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", colored).splitlines()] == plain.splitlines()
