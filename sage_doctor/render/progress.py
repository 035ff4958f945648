"""Live progress on standard error, drawn by rich; it leaves no trace.

Only on a terminal: elsewhere nothing is written and rich is not imported. pytest captures the standard descriptors
while checks run, so rich gets a copy of the real one and must not replace `sys.stdout` and `sys.stderr`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Final, TextIO, cast

from sage_doctor.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import ProgressColumn

_PER_SECOND: Final = 5  # redraws


@contextlib.contextmanager
def live_progress() -> Iterator[Progress]:
    """Give a display on a copy of standard error, and remove it at the end."""
    encoding = sys.stderr.encoding or "ascii"
    copy = open(os.dup(sys.stderr.fileno()), "w", encoding=encoding, errors="backslashreplace")  # noqa: SIM115
    with copy, Progress(copy) as progress:
        yield progress


class Progress:
    """A spinner with a text, or a bar if the amount of work is known. Silent if `stream` is not a terminal.

    A closed stream is ignored: progress never fails a run.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._enabled = _can_rewrite(stream)
        self._display: Display | None = None
        self._has_bar = False
        self._lock = threading.RLock()  # hashing calls from several threads

    def update(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show `text` in place of what was shown before; with `total` a bar for `done` of so many bytes."""
        with self._lock:
            if not self._enabled:
                return
            if self._has_bar != (total > 0):
                self.close()
            shown = printable(text, limit=1000)
            if self._display is not None:
                task = self._display.task_ids[0]
                self._display.update(task, description=shown, completed=done, total=total or None)
                return
            self._has_bar = total > 0
            self._display = _display(self._stream, has_bar=self._has_bar)
            self._display.add_task(shown, completed=done, total=total or None)
            self._display.start()

    def close(self) -> None:
        """Remove the display; the next `update` shows it again. May be called more than once."""
        with self._lock:
            if self._display is not None:
                self._display.stop()
                self._display = None

    def __enter__(self) -> Progress:  # noqa: PYI034 - typing.Self came with 3.11
        """Return itself; leaving the block removes the display."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the display for good."""
        self.close()
        self._enabled = False


def _display(stream: TextIO, *, has_bar: bool) -> Display:
    from rich import progress  # noqa: PLC0415 - not without a terminal
    from rich.console import Console, RenderableType  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    class Terminal(Console):
        def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002 - rich's signature
            """Leave the cursor alone: a run that is killed could not show it again."""
            return False

    class Line(progress.Progress):
        def get_renderables(self) -> Iterable[RenderableType]:
            """Fit the line to the terminal, which may have another width by now: two lines could not be removed."""
            console.width = _width(stream) or console.width
            return super().get_renderables()

    cut = Column(no_wrap=True, overflow="ellipsis")
    text = progress.TextColumn("{task.description}", markup=False, table_column=cut)
    columns: list[ProgressColumn] = [progress.SpinnerColumn("line"), text, progress.TimeElapsedColumn()]
    if has_bar:
        measures = (progress.DownloadColumn, progress.TransferSpeedColumn, progress.TimeRemainingColumn)
        columns = [text, progress.BarColumn(16), *(measure(table_column=Column(no_wrap=True)) for measure in measures)]
    target = cast("IO[str]", _UnfailingStream(stream))
    console = Terminal(file=target, force_terminal=True, force_interactive=True, legacy_windows=False)
    return Line(
        *columns,
        console=console,
        transient=True,
        refresh_per_second=_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class _UnfailingStream:
    """What rich writes to: it draws from a thread, where nobody could catch that the terminal is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding or "ascii"

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _width(stream: TextIO) -> int | None:
    """Return the columns of the terminal itself: standard output may be another one, or none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def _can_rewrite(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False
