"""Files under way: written in any order, hashed while they are written, and on their way to the disk all the while.

Who computes hands its results over and goes on. One thread writes them, one hashes them, and one waits for the disk: a
file that is hashed and flushed once it is whole keeps the disk idle until then, and the processor afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import queue
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sage_doctor.merge.streams import write_all

GoOn = Callable[[int], None]
T = TypeVar("T")

_BLOCK = 1 << 22
_PORTION = 1 << 26  # flushed at a time: large enough that flushes cost nothing, small enough to wait for one
_LENT = 6  # results under way between who computes, who writes and who hashes
_ALL = -1
_POLL_S = 0.1
_PAUSE_S = 0.05


class Output:
    """One file being written by a `Writer`. Made empty; a file that is there already is an error (`OSError`)."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size
        self.handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._digest = hashlib.sha256()
        self._hashed = 0  # up to here
        self._ahead: dict[int, int] = {}  # what is written beyond, from where to where

    def hash(self, at: int, data: bytes | memoryview | int, check_cancelled: GoOn) -> None:
        """Hash bytes that have been written at byte `at`, or their number where they are to be read back.

        Every byte is given once, in any order. Raises `OSError`.
        """
        if at != self._hashed or isinstance(data, int):
            self._ahead[at] = at + (data if isinstance(data, int) else len(data))
        else:
            self._digest.update(data)
            self._hashed += len(data)
        while self._hashed in self._ahead:
            end = self._ahead.pop(self._hashed)
            self._read_back(end, check_cancelled)

    def _read_back(self, end: int, check_cancelled: GoOn) -> None:
        block = memoryview(bytearray(min(_BLOCK, end - self._hashed)))
        while self._hashed < end:
            check_cancelled(0)
            count = os.preadv(self.handle, [block[: end - self._hashed]], self._hashed)
            if count == 0:
                raise OSError(errno.EIO, "became shorter while it was written", str(self.path))
            self._digest.update(block[:count])
            self._hashed += count

    def hexdigest(self) -> str:
        """Return the sha256 of the file. Raises `OSError` where not all of it was given to `hash`."""
        if self._hashed != self.size:
            raise OSError(errno.EIO, f"{self._hashed} of {self.size} bytes were written", str(self.path))
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file."""
        os.close(self.handle)


class Writer:
    """Writes and hashes what it is handed, in the order it is handed in.

    Who calls its other methods does not wait for the disk; `run` and `run_hashing` do the work, in threads of their
    own: writing takes as long as computing, and hashing nearly as long again.
    """

    def __init__(self, flusher: Flusher) -> None:
        self._flusher = flusher
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._written: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        for _ in range(_LENT):
            self._free.put(bytearray())

    def acquire_buffer(self, count: int, pause: Callable[[], None]) -> bytearray:
        """Return memory of at least `count` bytes for `take`. `pause` is called again and again until there is some."""
        while True:
            try:
                found = self._free.get(timeout=_PAUSE_S)
            except queue.Empty:
                pause()
                continue
            return found if len(found) >= count else bytearray(count)

    def submit(self, output: Output, memory: bytearray, count: int, at: int) -> None:
        """Have the first `count` bytes of lent memory written at byte `at`."""
        self._jobs.put(_Job(output, at, count, memory))

    def write(self, output: Output, data: bytes, at: int) -> None:
        """Have all of `data` written at byte `at`."""
        self._jobs.put(_Job(output, at, len(data), data))

    def wrote(self, output: Output, at: int, count: int) -> None:
        """Take note of bytes that somebody else has written. They are hashed as they are read back."""
        self._jobs.put(_Job(output, at, count))

    def finish(self, output: Output, mode: int) -> None:
        """Have a file's mode set, and all of it flushed: nothing will be written to it any more."""
        self._jobs.put(_Job(output, 0, 0, mode=mode))

    def leave(self) -> None:
        """Let `run` return once everything that was asked for is done."""
        self._jobs.put(None)

    def run(self, check_cancelled: GoOn) -> None:
        """Write until `leave` is called. Raises `OSError`."""
        while (job := _next(self._jobs, check_cancelled)) is not None:
            if job.mode is not None:
                os.fchmod(job.output.handle, job.mode)
                self._flusher.end(job.output.handle)
            else:
                if job.data is not None:
                    write_all(job.output.handle, memoryview(job.data)[: job.count], job.at)
                self._flusher.grown(job.output.handle, job.count)
            self._written.put(job)
        self._flusher.leave()
        self._written.put(None)

    def run_hashing(self, check_cancelled: GoOn) -> dict[Path, str]:
        """Hash what `run` has written, until that ends, and return the sha256 of finished files. Raises `OSError`."""
        found = {}
        while (job := _next(self._written, check_cancelled)) is not None:
            if job.mode is not None:
                found[job.output.path] = job.output.hexdigest()
                continue
            job.output.hash(
                job.at, job.count if job.data is None else memoryview(job.data)[: job.count], check_cancelled
            )
            if isinstance(job.data, bytearray):
                self._free.put(job.data)
        return found


@dataclass(frozen=True)
class _Job:
    """Bytes to write, or, without `data`, bytes that are written already; or, with a `mode`, the end of a file.

    `data` that is a `bytearray` is lent.
    """

    output: Output
    at: int
    count: int
    data: bytes | bytearray | None = None
    mode: int | None = None


class Flusher:
    """Has the disk take what has been written: in portions while a file grows, and wholly once it is finished.

    Portions are flushed, and not only handed to the disk: what lies in the disk's own memory, or in that of the host
    of a virtual machine, has not begun to be written, and all of it would be waited for at the end. Who calls `grown`
    and `end` does not wait; `run` does, in a thread of its own.
    """

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()

    def grown(self, handle: int, count: int) -> None:
        """Take note of bytes written to an open file."""
        self._tasks.put((handle, count))

    def end(self, handle: int) -> None:
        """Have an open file flushed, to which nothing will be written any more."""
        self._tasks.put((handle, _ALL))

    def leave(self) -> None:
        """Let `run` return once everything that was asked for is done."""
        self._tasks.put(None)

    def run(self, check_cancelled: GoOn) -> None:
        """Do what is asked for until `leave` is called. Raises `OSError` where the disk does not take it."""
        due: dict[int, int] = {}
        left = False
        while not left:
            for task in self._taken(check_cancelled):
                if task is None:
                    left = True
                else:
                    handle, count = task
                    due[handle] = _ALL if count == _ALL else due.get(handle, 0) + count
            for handle, count in list(due.items()):
                check_cancelled(0)
                if count == _ALL:
                    os.fsync(handle)
                elif count >= _PORTION:
                    _flush_data(handle)
                else:
                    continue
                del due[handle]

    def _taken(self, check_cancelled: GoOn) -> list[tuple[int, int] | None]:
        """Wait for a task, and return all there are: what was written during a flush is flushed at once after it."""
        found = [_next(self._tasks, check_cancelled)]
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._tasks.get_nowait())
        return found


def _next(tasks: queue.SimpleQueue[T], check_cancelled: GoOn) -> T:
    """Wait for the next task, calling `check_cancelled` several times a second."""
    while True:
        check_cancelled(0)
        with contextlib.suppress(queue.Empty):
            return tasks.get(timeout=_POLL_S)


def _flush_data(handle: int) -> None:
    """Flush a file's bytes, without what else is known of it where the system can."""
    getattr(os, "fdatasync", os.fsync)(handle)
