"""Writing files so that a kill at any moment leaves the old content or the new."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from pathlib import Path
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.system.state_directory import alive
from sage_doctor.text import printable

# File systems that cannot flush a directory say so, and a directory that may be written to need not be readable.
_CANNOT_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES})
HOLD: Final = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)  # opens a directory to work in it


def atomic_write(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`: a temporary file beside it, flushed to disk, then renamed over it.

    Keeps the mode of a file that is replaced; a new one gets what the umask leaves. A link stays a link. A pipe or
    device is written as it is, and so is what `/dev/stdout` leads to. Raises `DoctorError` naming the path.
    """
    raw = text.encode("utf-8", "surrogateescape")
    try:
        if _is_stream(path):
            _write_stream(path, raw)
            return
        target = Path(os.path.realpath(path))
        replace_file(target, raw, mode=_mode_of(target))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)
        raise DoctorError(f"{printable(str(path))} could not be written: {reason}") from error


def replace_file(
    path: Path,
    data: bytes,
    *,
    mode: int | None = None,
    durable: bool = True,
    within: int | None = None,
    like: os.stat_result | None = None,
    times: bool = False,
) -> None:
    """Make `path` a file with this content, at once or not at all; a link there is replaced, not followed.

    Without `mode` it gets what the umask leaves. Where not `durable`, the old or the new content may be lost when the
    power fails, as is right for a cache. `within` is a descriptor of its directory: a link that is put in place of the
    directory is not followed. `like` is a file whose mode and owner it gets, with `times` its times as well. What
    killed processes left beside the file is removed. Raises `OSError`.
    """
    directory = os.open(path.parent, HOLD) if within is None else within
    try:
        _sweep(path.name, directory)
        temporary = f".{path.name[:32]}.sage-new-{os.getpid()}-{os.urandom(4).hex()}"
        if like is not None:
            mode = stat.S_IMODE(like.st_mode)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(temporary, flags, 0o666 if mode is None else mode & 0o666, dir_fd=directory)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                if like is not None:
                    _take_over(handle, like, times=times)
                if mode is not None:
                    os.fchmod(handle, mode)
                if durable:
                    os.fsync(handle)
            os.replace(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
    finally:
        if within is None:
            os.close(directory)
    if durable:
        sync_directory(path.parent)


def _take_over(handle: int, like: os.stat_result, *, times: bool) -> None:
    with contextlib.suppress(PermissionError):  # only root gives files away
        os.fchown(handle, like.st_uid, like.st_gid)
    if times:
        os.utime(handle, ns=(like.st_atime_ns, like.st_mtime_ns))


def sync_directory(path: Path) -> None:
    """Flush a directory's entries to disk, where its file system can do that. Raises `OSError`."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _sweep(name: str, directory: int) -> None:
    left = re.compile(re.escape(f".{name[:32]}.sage-new-") + r"(\d{1,9})-[0-9a-f]{8}")
    with contextlib.suppress(OSError):
        handle = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        try:
            for other in os.listdir(handle):
                found = left.fullmatch(other)
                if found is not None and not alive(int(found[1])):
                    os.unlink(other, dir_fd=handle)
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


def _mode_of(target: Path) -> int | None:
    try:
        return target.stat().st_mode & 0o7777
    except OSError:
        return None
