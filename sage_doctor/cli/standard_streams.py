"""Standard output and error: what cannot be written is dropped, and ends no command halfway.

A reader may be gone (`| head`) and a disk may be full. What a command decides or changes does not depend on that; what
was lost is known at its end.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Final

_OUTPUT: Final = 1


class _Lenient(io.RawIOBase):
    """One descriptor. `problem` is the first error of writing to it; it is not closed with this object."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self.problem: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: object) -> int:
        raw = memoryview(data).cast("B")  # type: ignore[arg-type]
        while self.problem is None:
            try:
                return os.write(self._number, raw)
            except BlockingIOError:  # whoever started us shares a descriptor that does not wait
                _wait_for_room(self._number)
            except OSError as error:
                self.problem = error
        return len(raw)


_streams: dict[int, _Lenient] = {}


def open_standard_streams() -> None:
    """Open missing standard descriptors, or the next opened file would become one of them, and make output lenient."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for as long as we run
        if number and _is_own(getattr(sys, name), number):
            setattr(sys, name, _lenient(getattr(sys, name), number))


def lost_output() -> str | None:
    """Return why standard output could not be written, None if it could, and forget it.

    A reader that has left is no such reason: it has read what it wanted.
    """
    stream = _streams.get(_OUTPUT)
    problem, gone = stream.problem if stream is not None else None, errno.EPIPE
    if stream is None or problem is None:
        return None
    stream.problem = OSError(gone, "")  # nothing more is written
    if problem.errno == gone:
        return None
    return f"standard output cannot be written: {os.strerror(problem.errno or 0).lower()}"


def _is_own(stream: object, number: int) -> bool:
    """Return whether a stream is Python's own for this descriptor; a test or a program may have put another there."""
    try:
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == number
    except (OSError, ValueError):
        return False


def _lenient(stream: io.TextIOWrapper, number: int) -> io.TextIOWrapper:
    raw = _streams[number] = _Lenient(number)
    buffered = io.BufferedWriter(raw)
    now = number != _OUTPUT or stream.line_buffering
    # Characters that the other side's encoding does not have become escapes.
    return io.TextIOWrapper(buffered, encoding=stream.encoding, errors="backslashreplace", line_buffering=now)


def _wait_for_room(number: int) -> None:
    import select  # noqa: PLC0415 - hardly ever needed

    select.select([], [number], [])
