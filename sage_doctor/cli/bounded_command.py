"""A command that only looks, ended in time whatever it meets: it works in a child, and what it says is said here.

A file system that does not answer holds whoever asks it, and no signal ends that.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, Final, TextIO

from sage_doctor.errors import DoctorError, from_message, to_message
from sage_doctor.system.guard import Send, guarded
from sage_doctor.text import format_duration

DEADLINE_S: Final = 60.0


def run_in_time(work: Callable[[], int], *, seconds: float = DEADLINE_S) -> int:
    """Return the exit code of `work`, whose output is written by this process once it comes.

    Raises what `work` raises as `DoctorError`, and `DoctorError` (exit 3) where it takes longer than `seconds`.
    """
    if os.environ.get("SAGE_DOCTOR_DEBUG"):  # a traceback is shown as it is
        return work()
    refusals: list[DoctorError] = []
    terminal = sys.stdout.isatty()  # asked here: the child holds no descriptor of ours
    if terminal:
        os.environ.setdefault("COLUMNS", str(shutil.get_terminal_size().columns))

    def hear(kind: str, value: Any) -> None:
        if kind == "refused":
            refusals.append(from_message(value))
        elif kind in ("out", "said"):
            write_relayed(kind, value)

    result = guarded(lambda send: _work(work, send, terminal=terminal), seconds=seconds, on_message=hear)
    if refusals:
        raise refusals[0]
    if result.how == "late":
        raise DoctorError(f"no answer within {format_duration(seconds)}: {result.detail}")
    if result.how == "died":
        raise DoctorError(result.detail)
    return int(result.result)


def _work(work: Callable[[], int], send: Send, *, terminal: bool) -> int:
    """Do the work, in the child."""
    sys.stdout, sys.stderr = relayed(sys.stdout, "out", send, terminal=terminal), relayed(sys.stderr, "said", send)
    try:
        return work()
    except DoctorError as error:
        send("refused", to_message(error))
        return error.exit_code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def relayed(old: TextIO, kind: str, send: Send, *, terminal: bool = False) -> TextIO:
    """Return what stands in for a standard stream in a child: it sends what is written to it, as messages of a kind."""
    raw = _Relay(kind, send, terminal=terminal)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=old.encoding, errors=old.errors)


def write_relayed(kind: str, value: str) -> None:
    """Write a child's message: `out` to standard output, `said` to standard error."""
    stream = sys.stdout if kind == "out" else sys.stderr
    stream.flush()
    stream.buffer.write(value.encode("latin-1"))
    stream.buffer.flush()


class _Relay(io.RawIOBase):
    """A standard stream of the child: the parent writes what is written to it."""

    def __init__(self, kind: str, send: Send, *, terminal: bool) -> None:
        super().__init__()
        self._kind, self._send, self._terminal = kind, send, terminal

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._terminal

    def write(self, data: object) -> int:
        raw = bytes(memoryview(data).cast("B"))  # type: ignore[arg-type]
        self._send(self._kind, raw.decode("latin-1"))
        return len(raw)
