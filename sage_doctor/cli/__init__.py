"""The command line: parse, call, render, exit. No other package imports it.

`main` maps every error to an exit code: 2 for wrong usage, 3 for unknown, 130 for an interrupt. Tracebacks are shown
only if SAGE_DOCTOR_DEBUG is set.
"""

from __future__ import annotations

import atexit
import gc
import math
import os
import signal
import sys
import time
from types import FrameType

from sage_doctor.cli.standard_streams import lost_output, open_standard_streams
from sage_doctor.errors import DoctorError, system_refusal
from sage_doctor.report import EXIT_INTERRUPTED, EXIT_UNKNOWN
from sage_doctor.text import printable

__all__ = ["main"]

_SAME_INTERRUPT_S = 1.0


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    open_standard_streams()
    _handle_signals()
    _collect_seldom()
    try:
        from sage_doctor.cli.app import run  # noqa: PLC0415 - errors of the import are reported as well

        try:
            code = run(sys.argv[1:] if arguments is None else arguments)
        except KeyboardInterrupt:
            _ignore_signals()  # the next one may come right here, if ending took a second: it is caught below
            raise
        sys.stdout.flush()
        lost = lost_output()
        if lost is not None:
            sys.stderr.write(f"sage-doctor: {lost}\n")
            code = code or EXIT_UNKNOWN
    except KeyboardInterrupt:
        _ignore_signals()
        sys.stderr.write("interrupted\n")
        code = EXIT_INTERRUPTED
    except DoctorError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"sage-doctor: {_shown(line)}\n")
        code = error.exit_code
    except Exception as error:
        if os.environ.get("SAGE_DOCTOR_DEBUG"):
            raise
        code = EXIT_UNKNOWN
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        refusal = system_refusal(error)
        sys.stderr.write(
            f"sage-doctor: {_shown(refusal)}\n"
            if refusal is not None
            else f"sage-doctor: internal error: {_shown(what)}\n"
            "Please report it with the output of `SAGE_DOCTOR_DEBUG=1 sage-doctor …`.\n"
        )
    for note in _notes():
        sys.stderr.write(f"sage-doctor: {_shown(note)}\n")
    sys.exit(code)


def _collect_seldom() -> None:
    """Let imports and a short run make no garbage collector run: it takes a twentieth of a static check."""
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)  # the interpreter collects once more at its end


def _notes() -> list[str]:
    """Return what was passed over on the way; empty where nothing was asked for that could have been."""
    trust = sys.modules.get("sage_doctor.system.trust")
    return list(trust.passed_over()) if trust is not None else []


class _Interrupt:
    """The handler of SIGINT and SIGTERM: both end the command in the same way, so that the probe is stopped as well.

    Further signals within a second are ignored (pressed twice, or sent by terminal and parent): they would interrupt
    the cleanup.
    """

    def __init__(self) -> None:
        self._last = -math.inf
        self._announced = False

    def announce(self) -> None:
        """Say on a terminal that the signal has arrived: what runs may need a moment to end, or defer the signal."""
        if not self._announced and os.isatty(2):
            self._announced = True
            os.write(2, b"\rstopping\x1b[K\n" if os.environ.get("TERM") != "dumb" else b"\nstopping\n")

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Raise `KeyboardInterrupt`."""
        now = time.monotonic()
        if now - self._last >= _SAME_INTERRUPT_S:
            self._last = now
            self.announce()
            raise KeyboardInterrupt


def _handle_signals() -> None:
    interrupt = _Interrupt()
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as a shell does for background jobs
        signal.signal(signal.SIGINT, interrupt)


def _ignore_signals() -> None:
    """Ignore further signals: a second one during exit would kill the process."""
    while True:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        except KeyboardInterrupt:  # it came before it was ignored; the next one is, for a second
            continue
        return


def _shown(text: str) -> str:
    return printable(text, limit=1000)
