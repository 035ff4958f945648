"""Files under way: written in any order, hashed in their own, and on their way to the disk all the while.

A file that is hashed and flushed once it is whole keeps the disk idle until then, and the processor afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import queue
from collections.abc import Callable, Iterable
from pathlib import Path

from sage_doctor.merge.streams import write_all

GoOn = Callable[[int], None]

_BLOCK = 1 << 22
_START_WRITING = 2  # SYNC_FILE_RANGE_WRITE
_ALL = -1
_POLL_S = 0.1


class Output:
    """One file being written, by one thread. Made empty; a file that is there already is an error (`OSError`)."""

    def __init__(self, path: Path, size: int, flusher: Flusher) -> None:
        self.path, self.size = path, size
        self.handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._flusher = flusher
        self._grown: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._front = 0  # up to here everything is written
        self._ahead: dict[int, int] = {}  # what is written beyond, from where to where

    def write(self, data: bytes | bytearray | memoryview, at: int) -> None:
        """Write all of `data` at byte `at`. Raises `OSError`."""
        write_all(self.handle, data, at)
        self.wrote(at, len(data))

    def wrote(self, at: int, count: int) -> None:
        """Take note of bytes that have been written. Every byte is written once."""
        if count == 0:
            return
        self._ahead[at] = at + count
        while self._front in self._ahead:
            self._front = self._ahead.pop(self._front)
        self._grown.put(None)
        self._flusher.begin(self.handle, at, count)

    def finish(self, mode: int) -> None:
        """Give the file its mode, and have it flushed: nothing will be written any more."""
        os.fchmod(self.handle, mode)
        self._flusher.end(self.handle)

    def digest(self, go_on: GoOn) -> str:
        """Return the sha256 of the file, read back behind what is being written. Raises `OSError`."""
        digest = hashlib.sha256()
        block = memoryview(bytearray(min(_BLOCK, self.size)))
        at = 0
        while at < self.size:
            count = os.preadv(self.handle, [block[: self._beyond(at, go_on)]], at)
            if count == 0:
                raise OSError(errno.EIO, "became shorter while it was written", str(self.path))
            digest.update(block[:count])
            at += count
        return digest.hexdigest()

    def _beyond(self, at: int, go_on: GoOn) -> int:
        """Wait for a whole block, or the file's rest, to be written after byte `at`, and return its size."""
        count = min(_BLOCK, self.size - at)
        while self._front < at + count:
            with contextlib.suppress(queue.Empty):
                self._grown.get(timeout=_POLL_S)
            go_on(0)
        go_on(0)
        return count

    def close(self) -> None:
        """Close the file."""
        os.close(self.handle)


def digests(outputs: Iterable[Output], go_on: GoOn) -> dict[Path, str]:
    """Return the sha256 of files by path, each read while it is being written. Raises `OSError`."""
    return {output.path: output.digest(go_on) for output in outputs}


class Flusher:
    """Has the disk busy with what has been written: by and by where the system has a call for that, wholly at the end.

    Who calls `begin` and `end` does not wait for the disk; `run` does, in a thread of its own.
    """

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[int, int, int] | None] = queue.SimpleQueue()
        self._start = _start_writing()

    def begin(self, handle: int, at: int, count: int) -> None:
        """Have the disk begin with some bytes of an open file, soon."""
        if self._start is not None:
            self._tasks.put((handle, at, count))

    def end(self, handle: int) -> None:
        """Have an open file flushed."""
        self._tasks.put((handle, 0, _ALL))

    def leave(self) -> None:
        """Let `run` return once everything that was asked for is done."""
        self._tasks.put(None)

    def run(self, go_on: GoOn) -> None:
        """Do what is asked for until `leave` is called. Raises `OSError` where the disk does not take it."""
        while (task := self._next(go_on)) is not None:
            handle, at, count = task
            if count == _ALL:
                os.fsync(handle)
            elif self._start is not None:
                self._start(handle, at, count, _START_WRITING)  # what goes wrong with it, fsync tells

    def _next(self, go_on: GoOn) -> tuple[int, int, int] | None:
        while True:
            go_on(0)
            try:
                return self._tasks.get(timeout=_POLL_S)
            except queue.Empty:
                continue


def _start_writing() -> Callable[[int, int, int, int], object] | None:
    """Return Linux's call that has the disk begin with a part of a file, None where there is none."""
    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return call
