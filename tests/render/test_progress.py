"""Live progress: on a terminal only, one line, gone afterwards, and never the reason a run fails."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from sage_doctor.render.progress import Progress

ROOT = Path(__file__).parents[2]
# What rich writes where it takes its line away: a new line, back up, and both erased.
REMOVED = "\r\x1b[1A\x1b[2K"


class Screen:
    """A terminal of 40 columns."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
        os.set_blocking(self.master, False)
        self.stream: TextIO = open(slave, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115

    def written(self) -> str:
        """Return what was written since the last time."""
        data = b""
        try:
            while block := os.read(self.master, 65536):
                data += block
        except OSError:  # nothing more, or no writer any more
            pass
        return data.decode()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    yield screen
    screen.stream.close()
    os.close(screen.master)


def lines(text: str) -> list[str]:
    """Return what stood on the screen, without colours, one entry for each drawing."""
    return [re.sub(r"\x1b\[[0-9;]*[mK]", "", line).strip() for line in text.split("\r") if line.strip()]


def test_silent_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with Progress(stream) as progress:
        progress.update("checking qwen")
    assert stream.getvalue() == ""


def test_silent_on_a_dumb_terminal(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    Progress(screen.stream).update("checking qwen")
    assert screen.written() == ""


def test_rich_is_not_imported_where_there_is_no_terminal() -> None:
    code = (
        "import sys; from sage_doctor.render.progress import live_progress\n"
        "with live_progress() as progress: progress.update('one')\n"
        "print('rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_one_line_that_fits_and_is_taken_away(screen: Screen) -> None:
    with Progress(screen.stream) as progress:
        progress.update("one")
        progress.update(f"introspective-qwen-v2.1: {'x' * 100}")
        time.sleep(0.5)
    text = screen.written()
    assert any("introspective-qwen" in line for line in lines(text))
    assert max(len(line) for line in lines(text)) <= 40
    assert text.count("\n") == 1  # rich's own, before it goes back up
    assert text.endswith(REMOVED)
    assert "\x1b[?25l" not in text  # the cursor stays


def test_known_work_is_counted_below_what_is_done(screen: Screen) -> None:
    with Progress(screen.stream) as progress:
        progress.update("reading")
        progress.add_result("✔", "ok", "green", "first")
        progress.update("hashing", 500_000_000, 1_000_000_000)
        fcntl.ioctl(screen.stream, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        screen.written()
        time.sleep(0.5)
        shown = lines(screen.written())
        assert "✔ first" in shown
        assert any("hashing 500.0 MB of 1.0 GB" in line for line in shown)
        fcntl.ioctl(screen.stream, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
        time.sleep(0.3)
        screen.written()
        time.sleep(0.5)
    text = screen.written()
    assert max(len(line) for line in lines(text)) <= 30
    assert text.endswith(REMOVED + "\x1b[1A\x1b[2K")


def test_it_goes_for_a_question_and_comes_back(screen: Screen) -> None:
    with Progress(screen.stream) as progress:
        progress.update("one")
        progress.close()
        assert screen.written().endswith(REMOVED)
        progress.update("two")
        time.sleep(0.5)
        assert any("two" in line for line in lines(screen.written()))
    progress.update("three")
    progress.close()
    assert "three" not in screen.written()


def test_closing_without_a_line_writes_nothing(screen: Screen) -> None:
    progress = Progress(screen.stream)
    progress.close()
    progress.close()
    assert screen.written() == ""


def test_an_interrupt_takes_the_line_away(screen: Screen) -> None:
    with contextlib.suppress(KeyboardInterrupt), Progress(screen.stream) as progress:
        progress.update("one")
        raise KeyboardInterrupt
    assert screen.written().endswith(REMOVED)


def test_hostile_names_are_neutralised(screen: Screen) -> None:
    with Progress(screen.stream) as progress:
        progress.update("[red]\x1b]0;own\x07{0} \udcff")
        time.sleep(0.5)
    assert any(r"[red]\x1b]0;own\x07{0} \xff" in line for line in lines(screen.written()))


def test_a_terminal_that_went_away_is_ignored(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(screen.stream)
    progress.update("one")
    screen.stream.close()
    progress.update("two")
    time.sleep(0.5)  # the thread draws
    progress.close()
    assert capsys.readouterr().err == ""
