"""The registry of formats, and what a stream can show."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from sage_doctor.errors import UsageError
from sage_doctor.render import FORMATS, Screen, render, screen_of, write
from tests.render import sample_reports as reports


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_the_formats_of_the_command_line_are_there() -> None:
    assert {"terminal", "json", "junit"} <= set(FORMATS)
    assert "progress" not in FORMATS


@pytest.mark.parametrize("name", sorted(reports.REPORTS))
@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_renders_every_report_and_ends_its_last_line(format_: str, name: str) -> None:
    text = render(reports.REPORTS[name](), format_)
    assert text.endswith("\n")
    assert text.encode("utf-8")  # no lone surrogate is left


def test_an_unknown_format_is_a_usage_error_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'junit'"):
        render(reports.healthy(), "juint")
    with pytest.raises(UsageError, match=r"choose one of .*json"):
        render(reports.healthy(), "")


@pytest.mark.parametrize(
    "stream, environ, expected",
    [
        (io.TextIOWrapper(io.BytesIO(), "utf-8"), {}, Screen(width=80, color=False, unicode=True)),
        (io.TextIOWrapper(io.BytesIO(), "ascii"), {}, Screen(width=80, color=False, unicode=False)),
        (io.TextIOWrapper(io.BytesIO(), "latin-1"), {}, Screen(width=80, color=False, unicode=False)),
        (io.TextIOWrapper(io.BytesIO(), "utf-8"), {"COLUMNS": "120"}, Screen(width=120)),
        (io.TextIOWrapper(io.BytesIO(), "utf-8"), {"COLUMNS": "²"}, Screen(width=80)),
        (io.TextIOWrapper(io.BytesIO(), "utf-8"), {"FORCE_COLOR": "1"}, Screen(color=True)),
        (io.TextIOWrapper(io.BytesIO(), "utf-8"), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, Screen(color=False)),
        (Terminal(), {"COLUMNS": "90"}, Screen(width=90, color=True)),
        (Terminal(), {"COLUMNS": "90", "NO_COLOR": "1"}, Screen(width=90, color=False)),
        (Terminal(), {"COLUMNS": "90", "NO_COLOR": ""}, Screen(width=90, color=True)),
        (Terminal(), {"COLUMNS": "90", "TERM": "dumb"}, Screen(width=90, color=False)),
        (Terminal(), {"COLUMNS": "90", "FORCE_COLOR": "0"}, Screen(width=90, color=False)),
    ],
)
def test_what_a_stream_can_show(stream: TextIO, environ: dict[str, str], expected: Screen) -> None:
    assert screen_of(stream, environ) == expected


def test_the_width_of_a_real_terminal_is_used() -> None:
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 97, 0, 0))
        with open(slave, "w", encoding="utf-8", closefd=False) as stream:
            assert screen_of(stream, {}).width == 97
    finally:
        os.close(master)
        os.close(slave)


def test_what_the_stream_cannot_encode_becomes_an_escape() -> None:
    raw = io.BytesIO()
    finding_text = reports.report(reports.results("modèle-✘", {"c": ("static", "pass")}))
    stream = io.TextIOWrapper(raw, "ascii", errors="backslashreplace")  # as the command line opens its own
    write(finding_text, "terminal", stream)
    assert b"mod\\xe8le-" in raw.getvalue()


def test_formats_import_of_rich_only_what_they_need() -> None:
    """For programs nothing, for people the widths of characters, and with colours its console."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from tests.render import sample_reports as reports\n"
        "from sage_doctor.render import render\n"
        "def loaded(): print('rich' in sys.modules, 'rich.console' in sys.modules, 'torch' in sys.modules)\n"
        "render(reports.incident(), 'json'); render(reports.incident(), 'junit'); loaded()\n"
        "render(reports.incident(), 'terminal'); loaded()\n"
        "render(reports.incident(), 'terminal', color=True); loaded()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False False False\nTrue False False\nTrue True False\n"
