"""Output files, written, hashed and flushed in the background.

The thread that computes hands its results over and continues. One thread writes them, one hashes them, one flushes
them: hashing and flushing only at the end would leave the disk idle until then, and the processor afterwards.
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

CheckCancelled = Callable[[int], None]
T = TypeVar("T")

_BLOCK = 1 << 22
_PORTION = 1 << 26  # bytes flushed at a time: large enough that flushes are cheap, small enough to wait for one
_BUFFERS = 6  # results in flight between computing, writing and hashing
_ALL = -1
_POLL_S = 0.1
_PAUSE_S = 0.05


class OutputFile:
    """One file being written by a `Writer`. Raises `OSError` if it already exists."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size
        self.handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._digest = hashlib.sha256()
        self._hashed = 0  # bytes from the start
        self._pending: dict[int, int] = {}  # ranges written beyond that: start to end

    def hash(self, at: int, data: bytes | memoryview | int, check_cancelled: CheckCancelled) -> None:
        """Hash bytes written at byte `at`; given only their number, they are read back.

        Every byte is given once, in any order. Raises `OSError`.
        """
        if at != self._hashed or isinstance(data, int):
            self._pending[at] = at + (data if isinstance(data, int) else len(data))
        else:
            self._digest.update(data)
            self._hashed += len(data)
        while self._hashed in self._pending:
            end = self._pending.pop(self._hashed)
            self._read_back(end, check_cancelled)

    def _read_back(self, end: int, check_cancelled: CheckCancelled) -> None:
        block = memoryview(bytearray(min(_BLOCK, end - self._hashed)))
        while self._hashed < end:
            check_cancelled(0)
            count = os.preadv(self.handle, [block[: end - self._hashed]], self._hashed)
            if count == 0:
                raise OSError(errno.EIO, "became shorter while it was written", str(self.path))
            self._digest.update(block[:count])
            self._hashed += count

    def hexdigest(self) -> str:
        """Return the sha256 of the file. Raises `OSError` if not all of it was given to `hash`."""
        if self._hashed != self.size:
            raise OSError(errno.EIO, f"{self._hashed} of {self.size} bytes were written", str(self.path))
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file."""
        os.close(self.handle)


class Writer:
    """Writes and hashes what it is given, in order.

    `run` and `run_hashing` do the work, each in its own thread; the other methods do not wait for the disk. Writing
    takes as long as computing, and hashing nearly as long again.
    """

    def __init__(self, flusher: Flusher) -> None:
        self._flusher = flusher
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._written: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(bytearray())

    def acquire_buffer(self, count: int, pause: Callable[[], None]) -> bytearray:
        """Return memory of at least `count` bytes for `submit`. `pause` is called repeatedly until some is free."""
        while True:
            try:
                found = self._free.get(timeout=_PAUSE_S)
            except queue.Empty:
                pause()
                continue
            return found if len(found) >= count else bytearray(count)

    def submit(self, output: OutputFile, memory: bytearray, count: int, at: int) -> None:
        """Write the first `count` bytes of an acquired buffer at byte `at`."""
        self._jobs.put(_Job(output, at, count, memory))

    def write(self, output: OutputFile, data: bytes, at: int) -> None:
        """Write all of `data` at byte `at`."""
        self._jobs.put(_Job(output, at, len(data), data))

    def record_written(self, output: OutputFile, at: int, count: int) -> None:
        """Record bytes that were written otherwise. They are read back to be hashed."""
        self._jobs.put(_Job(output, at, count))

    def finish_file(self, output: OutputFile, mode: int) -> None:
        """Set a file's mode and flush all of it: nothing more will be written to it."""
        self._jobs.put(_Job(output, 0, 0, mode=mode))

    def stop(self) -> None:
        """Let `run` return once everything that was asked for is done."""
        self._jobs.put(None)

    def run(self, check_cancelled: CheckCancelled) -> None:
        """Write until `stop` is called. Raises `OSError`."""
        while (job := _next(self._jobs, check_cancelled)) is not None:
            if job.mode is not None:
                os.fchmod(job.output.handle, job.mode)
                self._flusher.finish_file(job.output.handle)
            else:
                if job.data is not None:
                    write_all(job.output.handle, memoryview(job.data)[: job.count], job.at)
                self._flusher.record_written(job.output.handle, job.count)
            self._written.put(job)
        self._flusher.stop()
        self._written.put(None)

    def run_hashing(self, check_cancelled: CheckCancelled) -> dict[Path, str]:
        """Hash what `run` has written until that ends; return the sha256 of finished files. Raises `OSError`."""
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

    `data` that is a `bytearray` is an acquired buffer.
    """

    output: OutputFile
    at: int
    count: int
    data: bytes | bytearray | None = None
    mode: int | None = None


class Flusher:
    """Flushes files to disk: in portions while a file grows, and completely once it is finished.

    Each portion is flushed, because data in the disk's cache, or in that of a virtual machine's host, may not be on
    the disk yet, and all of it would be waited for at the end. `run` does it in its own thread; the other methods do
    not wait.
    """

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()

    def record_written(self, handle: int, count: int) -> None:
        """Record bytes written to an open file."""
        self._tasks.put((handle, count))

    def finish_file(self, handle: int) -> None:
        """Flush an open file to which nothing more will be written."""
        self._tasks.put((handle, _ALL))

    def stop(self) -> None:
        """Let `run` return once everything that was asked for is done."""
        self._tasks.put(None)

    def run(self, check_cancelled: CheckCancelled) -> None:
        """Flush until `stop` is called. Raises `OSError` if the disk fails."""
        due: dict[int, int] = {}
        left = False
        while not left:
            for task in self._next_tasks(check_cancelled):
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

    def _next_tasks(self, check_cancelled: CheckCancelled) -> list[tuple[int, int] | None]:
        """Wait for a task, and return all that are queued: what was written during a flush is flushed together."""
        found = [_next(self._tasks, check_cancelled)]
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._tasks.get_nowait())
        return found


def _next(tasks: queue.SimpleQueue[T], check_cancelled: CheckCancelled) -> T:
    """Wait for the next task, calling `check_cancelled` several times a second."""
    while True:
        check_cancelled(0)
        with contextlib.suppress(queue.Empty):
            return tasks.get(timeout=_POLL_S)


def _flush_data(handle: int) -> None:
    """Flush a file's bytes, without what else is known of it where the system can."""
    getattr(os, "fdatasync", os.fsync)(handle)
