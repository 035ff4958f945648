"""What is suggested is a patch that git applies, to a file as it is and as its certain edits make it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sage_doctor.paths.rewrite.patch import suggestions, unified_diff
from sage_doctor.paths.rewrite.python_source import rewritten, suggested
from tests.paths.find.forms import FORMS, Form, S

from .test_forms import planned

SUGGESTED = [f for f in FORMS if f.write is not None and f.write.startswith("?")]


def git_apply(top: Path, patch: bytes) -> None:
    subprocess.run(["git", "-C", str(top), "init", "-q"], check=True)
    subprocess.run(["git", "-C", str(top), "apply", "-"], input=patch, check=True)


@pytest.mark.parametrize("form", SUGGESTED, ids=lambda f: f.name)
def test_git_applies_it_to_the_file_as_it_is(form: Form, tmp_path: Path) -> None:
    plan = planned(tmp_path, form.text)
    top = plan.path.parents[3]
    git_apply(top, suggestions([plan], top, done=False).patch)
    assert plan.path.read_bytes() == suggested(plan)[0]
    assert plan.path.read_text() != form.text


@pytest.mark.parametrize("ends", ["", "\n"], ids=["no line end", "line end"])
def test_git_applies_it_behind_the_certain_edits(ends: str, tmp_path: Path) -> None:
    plan = planned(tmp_path, f'A = "{S}/zoo/m"\nB = "--m={S}/zoo/m"\nC = f"{S}/zoo/{{A}}"{ends}', resolvable=False)
    top = plan.path.parents[3]
    after = suggestions([plan], top, done=True)
    assert (after.count, after.files) == (2, (plan.path,))
    plan.path.write_bytes(rewritten(plan, plan.edits))
    git_apply(top, after.patch)
    space: dict[str, object] = {"__file__": str(plan.path)}
    exec(compile(plan.path.read_text(), str(plan.path), "exec"), space)  # the text is ours
    assert (space["A"], space["B"]) == (f"{top}/zoo/m", f"--m={top}/zoo/m")
    assert space["C"] == f"{top}/zoo/{top}/zoo/m"


def test_a_file_outside_and_one_without_suggestions_are_in_no_patch(tmp_path: Path) -> None:
    sure = planned(tmp_path / "a", f'A = "{S}/zoo/m"\n')
    maybe = planned(tmp_path / "b", f'A = "--m={S}/zoo/m"\n')
    assert suggestions([sure], tmp_path, done=False).patch == b""
    assert suggestions([maybe], tmp_path / "a", done=False).patch == b""
    assert suggestions([maybe], tmp_path / "b", done=False).patch != b""


def test_lines_end_where_git_ends_them(tmp_path: Path) -> None:
    """A form feed or a lone CR within a line is no end of it."""
    old, new = b"a\x0cb\nc\rd\nx\x1c", b"a\x0cb\nc\re\nx\x1c"
    (tmp_path / "a.py").write_bytes(old)
    git_apply(tmp_path, unified_diff(tmp_path, tmp_path / "a.py", old, new))
    assert (tmp_path / "a.py").read_bytes() == new


@pytest.mark.parametrize("name", ["a b.py", "é.py", "a\tb.py", 'a"b.py', "a\\b.py", " a.py", "a.py "])
def test_git_finds_a_file_of_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"a\n")
    git_apply(tmp_path, unified_diff(tmp_path, tmp_path / name, b"a\n", b"b\n"))
    assert (tmp_path / name).read_bytes() == b"b\n"
