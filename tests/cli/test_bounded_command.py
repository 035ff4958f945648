"""Commands that only look end in time, with the output, code and errors that they have by themselves."""

from __future__ import annotations

import signal
import sys

import pytest

from sage_doctor.cli import app
from sage_doctor.cli.bounded_command import run_in_time
from sage_doctor.errors import DoctorError, UsageError


def says_and_fails() -> int:
    sys.stdout.write("a line\n")
    sys.stdout.flush()
    sys.stdout.buffer.write(b"\xff\n")
    sys.stderr.write("a note\n")
    return 7


def refuses() -> int:
    raise UsageError("no such model")


def hangs() -> int:
    signal.pause()
    return 0


def test_what_a_command_says_and_returns_is_passed_on(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run_in_time(says_and_fails) == 7
    assert capfdbinary.readouterr() == (b"a line\n\xff\n", b"a note\n")


def test_a_command_knows_that_it_writes_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for terminal in (True, False):
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal)
        run_in_time(lambda: sys.stdout.write(f"{sys.stdout.isatty()}\n"))
        assert capfd.readouterr().out == f"{terminal}\n"


def test_a_refusal_keeps_its_text_and_exit_code() -> None:
    with pytest.raises(DoctorError, match="no such model") as refusal:
        run_in_time(refuses)
    assert refusal.value.exit_code == 2


def test_a_command_that_hangs_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DoctorError, match=r"no answer within .*, which sleeps") as refusal:
        run_in_time(hangs, seconds=0.2)
    assert (refusal.value.exit_code, capsys.readouterr().out) == (3, "")


def test_every_bounded_command_is_one() -> None:
    assert set(app.COMMANDS) >= app.BOUNDED
