"""One at a time: the second gate for the same thing waits for the first one's result.

Locks are the kernel's (`flock`): they end with the process that holds them, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.system.path_info import UnreadableFile, read_start
from sage_doctor.text import printable

_POLL_S: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class LockState:
    """How the lock was acquired. `waited` is whether another gate held it; `problem` why there is no lock."""

    waited: bool = False
    problem: str | None = None


@contextlib.contextmanager
def gate_lock(path: Path, *, what: str, until: float, on_progress: Callable[[str], None]) -> Iterator[LockState]:
    """Hold the lock at `path` for the block, after whoever has it.

    `until` is a `time.time()`. Where the lock cannot be made (a full or read-only disk), the block runs without it.
    Raises `DoctorError` naming the holder where it is not free in time.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        yield LockState(problem=f"the gate runs without its lock, {printable(str(path.parent))}: {reason}")
        return
    try:
        waited = _acquire(handle, path, what, until, on_progress)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the note of who has it
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode("ascii"), 0)
        yield LockState(waited=waited)
    finally:
        os.close(handle)


def _acquire(handle: int, path: Path, what: str, until: float, on_progress: Callable[[str], None]) -> bool:
    """Wait for the lock and return whether another had it."""
    waited = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(path)
            if time.time() >= until:
                raise DoctorError(
                    f"process {holder} is still checking {printable(what)}; gave up waiting for it"
                ) from None
            if not waited:
                on_progress(f"waiting for process {holder}, which is checking {what}")
            waited = True
            time.sleep(_POLL_S)
        else:
            return waited


def _holder(path: Path) -> str:
    try:
        text = read_start(path, 32).decode("ascii", "replace").strip()
    except UnreadableFile:
        text = ""
    return text if text.isdigit() else "?"
