"""Live progress on standard error, drawn by rich; it leaves no trace.

One line says what is being done, how far it is, and for how long: `smol: generating 12/32 tokens · 41 s`. Above it are
the models that are done, as the report will have them. Elsewhere than on a terminal nothing is written and rich is not
imported. pytest captures the standard descriptors while checks run, so rich gets a copy of the real one and must not
replace `sys.stdout` and `sys.stderr`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Final, TextIO, cast

from sage_doctor.text import BYTES, format_activity, format_duration, printable

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import Task
    from rich.text import Text

_PER_SECOND: Final = 5  # redraws
_MOST_RESULTS: Final = 10
_LEAST_SPEED_S: Final = 2.0  # of work before it is said how much is left


@contextlib.contextmanager
def live_progress() -> Iterator[Progress]:
    """Give a display on a copy of standard error, and remove it at the end."""
    encoding = sys.stderr.encoding or "ascii"
    copy = open(os.dup(sys.stderr.fileno()), "w", encoding=encoding, errors="backslashreplace")  # noqa: SIM115
    with copy, Progress(copy) as progress:
        yield progress


class Progress:
    """A spinner with a text and a clock. Silent if `stream` is not a terminal; then `enabled` is False.

    A closed stream is ignored: progress never fails a run.
    """

    def __init__(self, stream: TextIO) -> None:
        self.enabled = _can_rewrite(stream)
        self._stream = stream
        self._display: Display | None = None
        self._activity = ""
        self._results: list[Text] = []
        self._lock = threading.RLock()  # hashing calls from several threads

    def update(self, activity: str, done: int = 0, total: int = 0, unit: str = BYTES, /) -> None:
        """Show what is being done in place of what was, and how far it is. The clock starts with a new activity."""
        with self._lock:
            if not self.enabled:
                return
            shown = printable(format_activity(activity, done, total, unit), limit=1000)
            if self._display is None:
                self._display = _display(self._stream, self._results)
                self._display.add_task(shown, total=None)
                self._display.start()
            task = self._display.task_ids[0]
            if activity != self._activity:
                self._activity = activity
                self._display.tasks[0].start_time = self._display.get_time()  # `reset` would draw as well
            known = total if unit == BYTES else 0  # how many tokens come is not known, only how many may
            self._display.update(task, description=shown, completed=done, total=known or None)

    def add_result(self, mark: str, plain_mark: str, style: str, text: str) -> None:
        """Show how the examination of one model ended, above what is being done."""
        with self._lock:
            if not self.enabled:
                return
            from rich.text import Text  # noqa: PLC0415 - not without a terminal

            if not self._stream.encoding.lower().startswith("utf"):
                mark = plain_mark
            self._results.append(Text.assemble((mark, style), f" {text}", no_wrap=True, overflow="ellipsis"))
            del self._results[:-_MOST_RESULTS]

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
        self.enabled = False


def _display(stream: TextIO, results: list[Text]) -> Display:
    from rich import progress  # noqa: PLC0415 - not without a terminal
    from rich.console import Console, RenderableType  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Terminal(Console):
        def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002 - rich's signature
            """Leave the cursor alone: a run that is killed could not show it again."""
            return False

    class Line(progress.Progress):
        def get_renderables(self) -> Iterable[RenderableType]:
            """Fit the lines to the terminal, which may have another size by now: wrapped ones could not be removed."""
            size = _size(stream)
            if size is not None:
                console.size = size
            yield from results[-max(0, console.height - 2) :] if console.height > 2 else ()
            yield from super().get_renderables()

    class Clock(progress.ProgressColumn):
        def render(self, task: Task) -> Text:
            """Say how long it has lasted, and how long it will where that is known."""
            return Text(_clock(task.elapsed or 0.0, task.completed, task.total))

    cut = Column(no_wrap=True, overflow="ellipsis")
    text = progress.TextColumn("{task.description}", markup=False, table_column=cut)
    columns = [progress.SpinnerColumn("line"), text, Clock(table_column=Column(no_wrap=True))]
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


def _clock(elapsed_s: float, done: float, total: float | None) -> str:
    """Return `· 41 s`, or `· 41 s, 2 min left`; nothing in the first second."""
    if elapsed_s < 1:
        return ""
    left_s = elapsed_s * (total - done) / done if total and done and elapsed_s >= _LEAST_SPEED_S else 0.0
    return f"· {_seconds(elapsed_s)}" + (f", {_seconds(left_s)} left" if left_s >= 1 else "")


def _seconds(length_s: float) -> str:
    return f"{int(length_s)} s" if length_s < 100 else format_duration(length_s)


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


def _size(stream: TextIO) -> tuple[int, int] | None:
    """Return columns and lines of the terminal itself: standard output may be another one, or none."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return None
    return (columns, lines) if columns and lines else None


def _can_rewrite(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False
