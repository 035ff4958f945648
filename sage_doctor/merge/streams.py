"""Bytes from source files to destination files: read in blocks, or copied by the kernel without being read."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.merge.edits import TensorLocation
from sage_doctor.text import printable

COPY_CHUNK = 1 << 24  # small enough that a cancelled merge ends at once, large enough that calls cost nothing
_NO_KERNEL_COPY = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM})


def spans(count: int, step: int) -> list[tuple[int, int]]:
    """Return `count` rows in as few even spans as have at most `step` rows each; none is a small remainder."""
    parts = -(-count // step)
    return [(count * i // parts, count * (i + 1) // parts) for i in range(parts)]


class Source:
    """The files of base and adapter, opened once each, as regular files without blocking."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}

    def handle(self, path: Path) -> int:
        """Return an open descriptor of `path`. Raises `DoctorError`."""
        found = self._open.get(path)
        if found is None:
            try:
                found = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            except OSError as error:
                raise _unreadable(path, error) from error
            self._open[path] = found
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise DoctorError(f"{printable(str(path))} is not a file any more; nothing was changed")
        return found

    def read(self, location: TensorLocation, start: int, count: int) -> bytearray:
        """Return `count` bytes of a tensor from byte `start` of it. Raises `DoctorError` where they are not there."""
        data = bytearray(count)
        self.read_into(location, start, memoryview(data))
        return data

    def read_into(self, location: TensorLocation, start: int, view: memoryview) -> None:
        """Fill `view` with a tensor's bytes from byte `start` of it. Raises `DoctorError` where they are not there."""
        handle = self.handle(location.path)
        at = location.tensor.start + start
        while len(view):
            try:
                got = os.preadv(handle, [view], at)
            except OSError as error:
                raise _unreadable(location.path, error) from error
            if got == 0:
                raise DoctorError(
                    f"{printable(str(location.path))} became shorter while it was read; nothing was changed"
                )
            view, at = view[got:], at + got

    def close(self) -> None:
        """Close every file."""
        for handle in self._open.values():
            with contextlib.suppress(OSError):
                os.close(handle)
        self._open.clear()

    def __enter__(self) -> Source:  # noqa: PYI034 - typing.Self came with 3.11
        """Return itself; leaving the block closes every file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every file."""
        self.close()


def _unreadable(path: Path, error: OSError) -> DoctorError:
    return DoctorError(f"{printable(str(path))} cannot be read: {os.strerror(error.errno or 0).lower()}")


def copy_range(source: int, start: int, target: int, at: int, count: int, on_copied: Callable[[int], None]) -> None:
    """Copy `count` bytes between open files, by the kernel where it can. Raises `OSError`, `EOFError` at a short end.

    `on_copied` is called with the number of bytes after each part. A file system that can shares the blocks instead.
    """
    ways = _ways()
    way = next(ways)
    while count:
        try:
            done = way(source, start, target, at, min(count, COPY_CHUNK))
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
            following = next(ways, None)
            if following is None:
                raise
            way = following
            continue
        if done == 0:
            raise EOFError
        start, at, count = start + done, at + done, count - done
        on_copied(done)


_Way = Callable[[int, int, int, int, int], int]


def _ways() -> Iterator[_Way]:
    if hasattr(os, "copy_file_range"):
        yield lambda source, start, target, at, count: os.copy_file_range(source, target, count, start, at)
    if os.uname().sysname == "Linux":
        yield _sendfile
    yield _by_hand


def _sendfile(source: int, start: int, target: int, at: int, count: int) -> int:
    os.lseek(target, at, os.SEEK_SET)
    return os.sendfile(target, source, start, count)


def _by_hand(source: int, start: int, target: int, at: int, count: int) -> int:
    data = os.pread(source, min(count, 1 << 20), start)
    write_all(target, data, at)
    return len(data)


def write_all(target: int, data: bytes | bytearray | memoryview, at: int) -> None:
    """Write all of `data` at byte `at`. Raises `OSError`."""
    view = memoryview(data)
    while view:
        done = os.pwrite(target, view, at)
        view, at = view[done:], at + done
