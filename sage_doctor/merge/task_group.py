"""A group of background threads, all of which have ended when its block is left.

Hashing, flushing and reading release the GIL, and `import torch`, which holds it, waits for nothing else: one after
the other they take twice as long on two cores.

Callers that may be interrupted use `DeferredSignals` around the block: starting a thread takes locks of Python's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")

_PAUSE_S = 0.05


class TaskCancelled(Exception):
    """The block is being left; the thread it is raised in ends."""


class Task(Generic[T]):
    """Work in its own thread."""

    def __init__(self, work: Callable[..., T], arguments: tuple[object, ...]) -> None:
        self._work, self._arguments = work, arguments
        self._result: T | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"sage-merge-{work.__name__}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work(*self._arguments)
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            self._error = error

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def result(self) -> T:
        """Return what the work returned, or raise what it raised. For tasks that have ended."""
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end. One that was never started is at its end."""
        if self.running:
            self._thread.join(timeout)


class TaskGroup:
    """Threads of one merge. Leaving the block cancels and joins them all."""

    def __init__(self) -> None:
        self._tasks: list[Task[object]] = []
        self._cancelled = False

    def start(self, work: Callable[..., T], *arguments: object) -> Task[T]:
        """Start `work` in its own thread. Long-running work must call `check_cancelled` regularly."""
        task = Task(work, arguments)
        self._tasks.append(cast("Task[object]", task))  # first, so that no interrupt leaves one that nobody awaits
        task.start()
        return task

    def check_cancelled(self, _count: int = 0) -> None:
        """Raise `TaskCancelled` once the block is being left. Called by the threads, also as a progress callback."""
        if self._cancelled:
            raise TaskCancelled

    def check(self) -> None:
        """Raise what a thread ended with, if one failed."""
        for task in self._tasks:
            if not task.running:
                task.result()

    def wait(self, task: Task[T], pause: Callable[[], None]) -> T:
        """Return what a thread returns, or raise what it raises. `pause` is called several times a second."""
        while task.running:
            task.join(_PAUSE_S)
            pause()
        return task.result()

    def __enter__(self) -> TaskGroup:  # noqa: PYI034 - typing.Self came with 3.11
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel the threads, and wait until all have ended."""
        self._cancelled = True
        for task in self._tasks:
            task.join()
