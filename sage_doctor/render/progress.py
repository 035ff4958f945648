"""A status line on standard error that is removed at the end.

Written by hand: a library's live display refreshes from a thread and replaces sys.stdout and sys.stderr, which pytest
captures meanwhile.
"""

from __future__ import annotations

import os
import shutil
from typing import TextIO

from sage_doctor.text import printable


class Progress:
    """A status line on a terminal; silent if `stream` is not one, so that logs stay clean.

    `enabled` overrides what the stream says. A closed stream is ignored: progress never fails a run.
    """

    def __init__(self, stream: TextIO, enabled: bool | None = None) -> None:
        self._stream = stream
        self._enabled = _can_rewrite(stream) if enabled is None else enabled
        self._shown = False

    def update(self, text: str) -> None:
        """Show `text` in place of what was shown before, cut to the width of the terminal."""
        if not self._enabled:
            return
        width = shutil.get_terminal_size((80, 24)).columns
        line = printable(text, limit=1000)
        encoding = self._stream.encoding or "ascii"
        line = line.encode(encoding, "backslashreplace").decode(encoding)
        self._write(f"\r\x1b[2K{line[: max(width - 1, 1)]}")
        self._shown = True

    def close(self) -> None:
        """Remove the line. May be called more than once."""
        if self._shown:
            self._write("\r\x1b[2K")
            self._shown = False

    def __enter__(self) -> Progress:  # noqa: PYI034 - typing.Self came with 3.11
        """Return itself; leaving the block removes the line."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the line."""
        self.close()

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # closed, or without a reader
            self._enabled = self._shown = False


def _can_rewrite(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False
