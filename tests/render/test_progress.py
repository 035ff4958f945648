"""The status line: on a terminal only, one line, gone afterwards, and never the reason a run fails."""

import io

import pytest

from sage_doctor.render.progress import Progress


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_silent_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with Progress(stream) as progress:
        progress.update("checking qwen")
    assert stream.getvalue() == ""


def test_silent_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    Progress(stream).update("checking qwen")
    assert stream.getvalue() == ""


def test_a_line_replaces_the_one_before_and_the_last_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    with Progress(stream) as progress:
        progress.update("one")
        progress.update("a line that is longer than the terminal is wide\n")
    assert stream.getvalue() == "\r\x1b[2Kone\r\x1b[2Ka line that is long\r\x1b[2K"


def test_closing_without_a_line_writes_nothing() -> None:
    stream = Terminal()
    progress = Progress(stream, enabled=True)
    progress.close()
    progress.close()
    assert stream.getvalue() == ""


def test_hostile_names_are_neutralised() -> None:
    stream = Terminal()
    Progress(stream, enabled=True).update("checking \x1b]0;owned\x07 \udcff")
    assert stream.getvalue() == "\r\x1b[2Kchecking \\x1b]0;owned\\x07 \\xff"


def test_a_stream_that_went_away_is_forgotten() -> None:
    stream = Terminal()
    progress = Progress(stream, enabled=True)
    progress.update("one")
    stream.close()
    progress.update("two")
    progress.close()
