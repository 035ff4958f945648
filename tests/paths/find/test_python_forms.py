"""Every form is found, and what it is there for is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.paths.find import PathMap, read_script
from sage_doctor.paths.find.path_map import build_path_map

from .forms import FORMS, NO_PATH, Form, lay_out


def land(root: Path) -> tuple[PathMap, Path]:
    home, checkout = lay_out(root)
    other_roots = ["/home/sprout", "/home/dp"]
    return build_path_map(
        home=home, own_roots=[checkout], other_roots=other_roots, machine_names=["sprout", "thor"]
    ), checkout


def test_there_are_forms_enough() -> None:
    assert len({f.name for f in FORMS}) == len(FORMS) >= 40


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_form(form: Form, tmp_path: Path) -> None:
    known, checkout = land(tmp_path)
    script = checkout / "sage/raising/scripts/run.py"
    script.write_text(form.text, encoding="utf-8")
    read = read_script(script, known, directory=checkout)
    assert read.problem == ""
    assert read.references[0].usage == "documentation"  # the docstring of every form
    known.learn_roots(o.text for o in read.references if o.used)
    known.learn_roots(["/home/sprout/ai-workspace/HRM/zoo/m"])
    found = read.references[1:]
    told = tuple(known.classify(o.text).origin if o.used else o.usage for o in found)
    assert told == (() if form.name in NO_PATH else form.expected), found


def test_lines_and_columns_are_those_of_an_editor(tmp_path: Path) -> None:
    known, checkout = land(tmp_path)
    script = checkout / "run.py"
    script.write_text('x = "é", "/home/sprout/a/b"\n', encoding="utf-8")
    (found,) = read_script(script, known, directory=checkout).references
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
    assert read.references == ()


def test_other_encodings_are_read_as_they_are_declared(tmp_path: Path) -> None:
    known, checkout = land(tmp_path)
    script = checkout / "run.py"
    script.write_bytes("# coding: latin-1\né = '/home/sprout/é'\n".encode("latin-1"))
    (found,) = read_script(script, known, directory=checkout).references
    assert (found.text, found.column) == ("/home/sprout/é", 4)
    script.write_bytes(b"\xef\xbb\xbfx = '/home/sprout/a'\r\ny = 1\r\n")
    (found,) = read_script(script, known, directory=checkout).references
    assert (found.line, found.column) == (1, 4)


def test_the_user_in_a_home_may_be_a_name(tmp_path: Path) -> None:
    known, checkout = land(tmp_path)
    script = checkout / "run.py"
    script.write_text(
        'USER = "sprout"\nBASE = f"/home/{USER}/ai-workspace/HRM"\nM = f"{BASE}/zoo/m"\n\n\n'
        'def f(user):\n    return f"/home/{user}/x"\n',
        encoding="utf-8",
    )
    found = read_script(script, known, directory=checkout).references
    assert [(r.text, r.line, r.form) for r in found] == [("/home/sprout/ai-workspace/HRM", 2, "computed")]


def test_invalid_escapes_warn_nobody(tmp_path: Path) -> None:
    known, checkout = land(tmp_path)
    script = checkout / "run.py"
    script.write_text('x = "\\d", "/home/sprout/a"\n', encoding="utf-8")
    assert len(read_script(script, known, directory=checkout).references) == 1
