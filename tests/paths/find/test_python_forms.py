"""Every form is found, and what it is there for is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.paths.find import PathMap, read_script
from sage_doctor.paths.find.path_map import landscape

from .forms import FORMS, NO_PATH, Form, lay_out


def land(root: Path) -> tuple[PathMap, Path]:
    home, checkout = lay_out(root)
    others = ["/home/sprout", "/home/dp"]
    return landscape(home=home, ours=[checkout], others=others, names=["sprout", "thor"]), checkout


def test_there_are_forms_enough() -> None:
    assert len({f.name for f in FORMS}) == len(FORMS) >= 40


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_form(form: Form, tmp_path: Path) -> None:
    known, checkout = land(tmp_path)
    script = checkout / "sage/raising/scripts/run.py"
    script.write_text(form.text, encoding="utf-8")
    read = read_script(script, known, directory=checkout)
    assert read.problem == ""
    assert read.occurrences[0].context == "documentation"  # the docstring of every form
    known.learn(o.text for o in read.occurrences if o.used)
    known.learn(["/home/sprout/ai-workspace/HRM/zoo/m"])
    found = read.occurrences[1:]
    told = tuple(known.place(o.text).place if o.used else o.context for o in found)
    assert told == (() if form.name in NO_PATH else form.expected), found


def test_lines_and_columns_are_those_of_an_editor(tmp_path: Path) -> None:
    known, checkout = land(tmp_path)
    script = checkout / "run.py"
    script.write_text('x = "é", "/home/sprout/a/b"\n', encoding="utf-8")
    (found,) = read_script(script, known, directory=checkout).occurrences
    assert (found.line, found.column, found.end_line, found.end_column) == (1, 9, 1, 27)


@pytest.mark.parametrize(
    "raw, says",
    [
        (b"def (: '/home/sprout/x'\n", "not the syntax"),
        (b'x = "\0/home/sprout/x"\n', "NUL"),
        (b"# -*- coding: no-such -*-\nx = '/home/sprout/x'\n", "syntax"),
        (b"# -*- coding: ascii -*-\nx = '\xff/home/sprout/x'\n", "syntax"),
        (b"x = '/home/sprout/x'" + b" + 'y'" * 60_000, "parsed"),
        (b"#" * (2 * 1024 * 1024 + 1), "larger than"),
    ],
    ids=["syntax", "nul", "encoding", "bytes", "deep", "huge"],
)
def test_what_cannot_be_read_is_said(raw: bytes, says: str, tmp_path: Path) -> None:
    known, checkout = land(tmp_path)
    script = checkout / "run.py"
    script.write_bytes(raw)
    read = read_script(script, known, directory=checkout)
    assert says in read.problem
    assert read.occurrences == ()


def test_other_encodings_are_read_as_they_are_declared(tmp_path: Path) -> None:
    known, checkout = land(tmp_path)
    script = checkout / "run.py"
    script.write_bytes("# coding: latin-1\né = '/home/sprout/é'\n".encode("latin-1"))
    (found,) = read_script(script, known, directory=checkout).occurrences
    assert (found.text, found.column) == ("/home/sprout/é", 4)
    script.write_bytes(b"\xef\xbb\xbfx = '/home/sprout/a'\r\ny = 1\r\n")
    (found,) = read_script(script, known, directory=checkout).occurrences
    assert (found.line, found.column) == (1, 4)


def test_invalid_escapes_warn_nobody(tmp_path: Path) -> None:
    known, checkout = land(tmp_path)
    script = checkout / "run.py"
    script.write_text('x = "\\d", "/home/sprout/a"\n', encoding="utf-8")
    assert len(read_script(script, known, directory=checkout).occurrences) == 1
