"""The one file lock: the kernel's (`flock`), so that it ends with the process that holds it, however it ends.

A lock file lies where other programs may write as well. It is opened without following a link and without waiting for
a pipe's other end, and what is opened must be a plain file of this user (root may use anybody's) with this one name: a
note written into a hard link would be written into the file of somebody else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.text import printable

_POLL_S: Final = 0.02
_MOST_NOTE: Final = 4096
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


class LockError(DoctorError):
    """The lock was not got. The text names the file, `reason` says why without it."""

    def __init__(self, text: str, reason: str) -> None:
        self.reason = reason
        super().__init__(text)


class LockUnavailable(LockError):
    """The lock file cannot be made or used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{printable(str(path))} cannot be locked: {reason}", reason)


class LockHeld(LockError):
    """Another process still holds the lock at the deadline. `note` is what it wrote into the file."""

    def __init__(self, path: Path, note: str) -> None:
        self.note = note
        super().__init__(f"{printable(str(path))} is held by another process", "it is held by another process")


@frozen
class HeldLock:
    """A lock that is held. `waited` says whether another process had it before; `handle` is the open file."""

    handle: int
    waited: bool = False


@contextlib.contextmanager
def file_lock(
    path: Path,
    *,
    wait_s: float,
    note: str | None = None,
    on_wait: Callable[[str], None] = lambda _note: None,
    remove: bool = False,
) -> Iterator[HeldLock]:
    """Hold the lock file at `path` for the block. It stays there afterwards, unless `remove`.

    `note` is written into it for those who wait: `on_wait` is called with the holder's note at each try that failed,
    several times a second, and what it raises ends the waiting. Raises `LockUnavailable` where the file cannot be made
    or is not a plain file of this user, and `LockHeld` where another process still holds it after `wait_s` seconds.
    """
    held = _acquire(path, time.monotonic() + wait_s, on_wait)
    try:
        if note is not None:
            with contextlib.suppress(OSError):  # a full disk: the lock holds without the note
                os.ftruncate(held.handle, 0)
                os.pwrite(held.handle, note.encode("utf-8", "surrogateescape")[:_MOST_NOTE], 0)
        yield held
    finally:
        if remove:
            with contextlib.suppress(OSError):
                os.unlink(path)  # while still held, so that nobody can have it in between
        os.close(held.handle)


def _acquire(path: Path, deadline: float, on_wait: Callable[[str], None]) -> HeldLock:
    waited = False
    while True:
        handle = _opened(path)
        try:
            locked = try_lock(handle)
        except OSError as error:  # a file system without locks
            os.close(handle)
            raise LockUnavailable(path, os.strerror(error.errno or 0).lower()) from error
        if locked and _is_still_there(handle, path):
            return HeldLock(handle=handle, waited=waited)
        os.close(handle)
        if locked:  # its last holder has removed the file meanwhile: another one counts now
            continue
        note = _note(path)
        if time.monotonic() >= deadline:
            raise LockHeld(path, note)
        waited = True
        on_wait(note)
        time.sleep(_POLL_S)


def try_lock(handle: int) -> bool:
    """Lock an open file or directory, and return whether nobody else holds it. Raises `OSError`."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened(path: Path) -> int:
    try:
        handle = os.open(path, _FLAGS, 0o600)
    except OSError as error:
        raise LockUnavailable(path, os.strerror(error.errno or 0).lower()) from error
    found = os.fstat(handle)
    reason = ""
    if not stat.S_ISREG(found.st_mode):
        reason = "it is not a plain file"
    elif os.geteuid() not in (0, found.st_uid):
        reason = "it belongs to another user"
    elif found.st_nlink > 1:
        reason = "it is a hard link to another file"
    if reason:
        os.close(handle)
        raise LockUnavailable(path, reason)
    return handle


def _is_still_there(handle: int, path: Path) -> bool:
    own, there = os.fstat(handle), inspect_path(path)
    return (own.st_dev, own.st_ino) == (there.device, there.inode)


def _note(path: Path) -> str:
    try:
        return read_start(path, _MOST_NOTE).decode("utf-8", "replace").strip()
    except UnreadableFile:
        return ""
