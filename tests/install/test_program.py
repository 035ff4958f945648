"""How the doctor is called from an empty environment, and that it starts there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.install.program import own_program, prove

from .conftest import AWKWARD, write_stand_in


@pytest.mark.parametrize("name", AWKWARD)
def test_the_script_it_was_called_as(tmp_path: Path, name: str) -> None:
    script = write_stand_in(tmp_path / name).path
    assert own_program(str(script)) == (str(script),)
    prove((str(script),), tmp_path, {})


def test_else_the_interpreter_and_the_module(tmp_path: Path) -> None:
    (tmp_path / "sage-doctor").write_text("no program")
    for called_as in ("/some/sage_doctor/__main__.py", str(tmp_path / "sage-doctor"), ""):
        words = own_program(called_as)
        assert (words[0], words[-2:]) == (sys.executable, ("-m", "sage_doctor"))


if sys.version_info >= (3, 11):  # older ones have no -P

    def test_a_directory_of_that_name_in_the_home_is_not_taken_for_it(tmp_path: Path) -> None:
        (tmp_path / "sage_doctor").mkdir()
        (tmp_path / "sage_doctor" / "__init__.py").write_text("raise SystemExit('the wrong one')")
        done = subprocess.run(
            [*own_program(""), "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert "the wrong one" not in done.stderr


@pytest.mark.parametrize(
    "script,said",
    [
        ("echo no module named x >&2; exit 1", "no module named x"),
        ("echo hello", "hello"),
        ("kill -9 $$", "starts it;"),
    ],
)
def test_what_does_not_start_is_told(tmp_path: Path, script: str, said: str) -> None:
    program = tmp_path / "sage-doctor"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(DoctorError, match="does not start in an empty environment") as caught:
        prove((str(program),), tmp_path, {})
    assert said in str(caught.value)
    with pytest.raises(DoctorError, match="does not start"):
        prove((str(tmp_path / "gone"),), tmp_path, {})
