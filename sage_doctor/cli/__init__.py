"""The command line: parses, calls, renders, exits. No logic lives here, and nobody imports it.

Every way out goes through `main`: a wrong word exits with 2, what could not be found out with 3, an interrupt with
130, and no traceback is shown unless SAGE_DOCTOR_DEBUG asks for one.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from types import FrameType

from sage_doctor.errors import DoctorError
from sage_doctor.report import EXIT_INTERRUPTED, EXIT_UNKNOWN
from sage_doctor.text import printable

__all__ = ["main"]

_SAME_INTERRUPT_S = 1.0


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    _open_standard_streams()
    _listen()
    try:
        from sage_doctor.cli.app import run  # noqa: PLC0415 - an import that fails or is interrupted is told as well

        code = run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the interpreter, as it ends, would let it kill the process
        sys.stderr.write("interrupted\n")
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_UNKNOWN
    except DoctorError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"sage-doctor: {_shown(line)}\n")
        code = error.exit_code
    except Exception as error:
        if os.environ.get("SAGE_DOCTOR_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        sys.stderr.write(
            f"sage-doctor: this is a fault of the doctor itself: {_shown(what)}\n"
            "Please report it with what `SAGE_DOCTOR_DEBUG=1 sage-doctor …` prints.\n"
        )
        code = EXIT_UNKNOWN
    sys.exit(code)


def _listen() -> None:
    """Have a termination end the doctor as an interrupt does, so that the probe is stopped with it.

    What comes within a second of an interrupt is the same one: pressed twice, or sent by terminal and parent alike.
    It would only tear what clears up, and show where.
    """
    last = -math.inf

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SAME_INTERRUPT_S:
            last = now
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as a shell does for what it starts in the background
        signal.signal(signal.SIGINT, interrupt)


def _open_standard_streams() -> None:
    """Give a program that was started without them its three descriptors: the next file opened would become one."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for as long as we run


def _shown(text: str) -> str:
    return printable(text, limit=1000)
