"""Admission to memory across processes: parallel workers never load more models at once than memory holds.

Each admitted worker holds a file in the run's directory locked (`flock`), with the bytes it reserved written inside.
The kernel lets go of the lock when the process ends, however it ends, so a reservation cannot outlive its holder.

How much is free cannot simply be measured: admitted workers have taken some of their reservation already, and will
take the rest. So memory is measured while nobody is admitted, and that baseline less the live reservations is what a
newcomer may have; and because other programs take memory too, it must also fit what is free at that moment.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from sage_doctor.system.file_lock import LockHeld, file_lock, try_lock

_LOCK = "ledger.lock"
_BASELINE = "available"
_SUFFIX = ".reservation"
_POLL_S = 0.1


@contextlib.contextmanager
def admit(directory: Path, *, need_bytes: int, available_bytes: int, deadline_s: float) -> Iterator[bool]:
    """Wait until `need_bytes` fit into memory beside what others reserved, and reserve them until the block ends.

    `directory` is shared by the workers of one run and made where it is missing; `available_bytes` is free memory. A
    worker is always admitted where no other is: it may fail, but waiting would not help. After `deadline_s` seconds the
    block is entered with False and nothing reserved. Raises `OSError` where the directory cannot be used.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    until = time.monotonic() + deadline_s
    with contextlib.ExitStack() as held:
        while not (admitted := _reserved(directory, need_bytes, available_bytes, held)) and time.monotonic() < until:
            time.sleep(min(_POLL_S, max(0.0, until - time.monotonic())))
        yield admitted


def _reserved(directory: Path, need: int, free: int, held: contextlib.ExitStack) -> bool:
    """Reserve memory until `held` ends, if there is as much and nobody else is just asking; return whether there is."""
    try:
        # Not even the ledger's own lock is waited for without a limit: its holder may be stopped.
        with file_lock(directory / _LOCK, wait_s=0):
            others = _live(directory)
            if not others:
                (directory / _BASELINE).write_text(str(free), encoding="ascii")
            elif not _fits(directory, need, sum(others), free):
                return False
            held.enter_context(_reservation(directory, need))
            return True
    except LockHeld:
        return False


def _fits(directory: Path, need: int, reserved: int, now: int) -> bool:
    try:
        baseline = int((directory / _BASELINE).read_text(encoding="ascii"))
    except (OSError, ValueError):  # somebody tidied up: what is free now holds part of the reservations already
        baseline = now
    return reserved + need <= baseline and need <= now


def _live(directory: Path) -> list[int]:
    """Return what each live worker has reserved; files nobody holds any more are removed. Needs the ledger's lock."""
    found = []
    for path in (directory / n for n in os.listdir(directory) if n.endswith(_SUFFIX)):
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # its worker has just finished
            continue
        try:
            if try_lock(handle):
                path.unlink(missing_ok=True)
            else:
                found.append(int(os.pread(handle, 32, 0) or b"0"))
        finally:
            os.close(handle)
    return found


@contextlib.contextmanager
def _reservation(directory: Path, need: int) -> Iterator[None]:
    """Hold a reservation. Made under the ledger's lock, so nobody sees the file before it is locked and written."""
    path = directory / f"{os.getpid()}-{time.monotonic_ns()}{_SUFFIX}"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try_lock(handle)
        os.write(handle, str(need).encode("ascii"))
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
