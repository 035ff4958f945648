"""Writing files so that a kill at any moment leaves the old content or the new, and one writer at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.text import printable


def atomic_write(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`: a temporary file beside it, flushed to disk, then renamed over it.

    Keeps the mode of a file that is replaced; a new one gets what the umask leaves. A pipe or device is written as
    it is, and so is what `/dev/stdout` leads to. Raises `DoctorError` naming the path.
    """
    raw = text.encode("utf-8", "surrogateescape")
    try:
        if _is_stream(path):
            _write_stream(path, raw)
            return
        target = Path(os.path.realpath(path))  # a link stays a link
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:32]}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
                file.flush()
                os.fchmod(file.fileno(), _mode_for(target))
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)
        raise DoctorError(f"{printable(str(path))} could not be written: {reason}") from error


@contextlib.contextmanager
def file_lock(path: Path, *, wait_s: float) -> Iterator[None]:
    """Hold the lock file at `path`, which stays there, empty. The lock itself ends with the process, however it ends.

    Raises `DoctorError` where the file cannot be made, or another process still holds it after `wait_s` seconds.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        handle = os.open(path, flags, 0o600)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise DoctorError(f"{printable(str(path))} cannot be locked: {reason}") from error
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise DoctorError(f"{printable(str(path))} is held by another process") from None
                time.sleep(0.01)
            except OSError as error:  # a file system without locks
                reason = os.strerror(error.errno or 0).lower()
                raise DoctorError(f"{printable(str(path))} cannot be locked: {reason}") from error
        yield
    finally:
        os.close(handle)


def _is_stream(path: Path) -> bool:
    """Return whether a path is written to rather than replaced.

    `/dev/stdout` may lead to a regular file, a log that the shell appends to: it must not be replaced either.
    """
    return str(path).startswith(("/dev/", "/proc/")) or (path.exists() and not path.is_file())


def _write_stream(path: Path, raw: bytes) -> None:
    """Write to a pipe or device. A pipe that nobody reads is refused at once instead of waited for."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(handle, "wb") as file:
        os.set_blocking(handle, True)
        file.write(raw)


def _mode_for(target: Path) -> int:
    try:
        return target.stat().st_mode & 0o7777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
