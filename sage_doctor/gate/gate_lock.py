"""One at a time: the second gate for the same thing waits for the first one's result."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.system.activity import OnProgress
from sage_doctor.system.file_lock import LockHeld, LockUnavailable, file_lock
from sage_doctor.system.frozen import frozen
from sage_doctor.system.trust import is_trusted
from sage_doctor.text import printable


@frozen
class LockState:
    """How the lock was acquired. `waited` is whether another gate held it; `problem` why there is no lock."""

    waited: bool = False
    problem: str | None = None


@contextlib.contextmanager
def gate_lock(path: Path, *, what: str, until: float, on_progress: OnProgress) -> Iterator[LockState]:
    """Hold the lock at `path` for the block, after whoever has it.

    `until` is a `time.monotonic()`. Where the lock cannot be made (a full or read-only disk), or other users could hold
    it, the block runs without it. Raises `DoctorError` naming the holder where it is not free in time.
    """
    if not is_trusted(path.parent):
        yield LockState()
        return
    waited = False

    def on_wait(holder: str) -> None:
        nonlocal waited
        if not waited:
            on_progress(f"waiting for process {_pid(holder)}, which is checking {what}")
        waited = True

    lock = file_lock(path, wait_s=until - time.monotonic(), note=str(os.getpid()), on_wait=on_wait)
    with contextlib.ExitStack() as held:
        problem = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            held.enter_context(lock)
        except LockHeld as error:
            raise DoctorError(
                f"process {_pid(error.note)} is still checking {printable(what)}; gave up waiting for it"
            ) from None
        except (LockUnavailable, OSError) as error:
            reason = error.reason if isinstance(error, LockUnavailable) else os.strerror(error.errno or 0).lower()
            problem = f"the gate runs without its lock, {printable(str(path.parent))}: {reason}"
        yield LockState(waited=waited, problem=problem)


def _pid(note: str) -> str:
    return note if note.isdigit() and len(note) < 10 else "?"
