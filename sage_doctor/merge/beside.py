"""Work beside the caller's own, in threads of which none is left when the block is left.

Hashing, flushing and reading release Python's lock, and `import torch`, which holds it, has nobody else to wait for:
done one after the other they take twice as long on two cores.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import Any, TypeVar

T = TypeVar("T")

_MOST_THREADS = 8
_PAUSE_S = 0.05
# How long a thread that wants Python's lock waits before the one that holds it is asked to give it up. Hashing wants
# it a moment for every block; with Python's own 5 ms it stands still while torch is imported.
_SWITCH_S = 0.0005


class Stopped(Exception):
    """The block is being left; the thread it is raised in ends."""


class Beside:
    """Threads for one piece of work. Leaving the block stops and awaits them all."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="sage-merge")
        self._begun: list[Future[Any]] = []
        self._leaving = threading.Event()
        self._switch_s = sys.getswitchinterval()

    def start(self, work: Callable[..., T], *arguments: object) -> Future[T]:
        """Start `work` in a thread of its own. What takes long in it calls `go_on` again and again."""
        future = self._pool.submit(work, *arguments)
        self._begun.append(future)
        return future

    def go_on(self, _count: int = 0) -> None:
        """Raise `Stopped` once the block is being left. For the threads; takes a number so as to be told progress."""
        if self._leaving.is_set():
            raise Stopped

    def check(self) -> None:
        """Raise what a thread ended with, if one failed."""
        for future in self._begun:
            if future.done():
                future.result()

    def wait(self, future: Future[T], pause: Callable[[], None]) -> T:
        """Return what a thread returns, or raise what it raises. `pause` is called several times a second."""
        while True:
            try:
                return future.result(_PAUSE_S)
            except NotYet:
                if future.done():
                    return future.result()  # it raised one of these itself
                pause()

    def __enter__(self) -> Beside:  # noqa: PYI034 - typing.Self came with 3.11
        """Return itself."""
        sys.setswitchinterval(min(_SWITCH_S, self._switch_s))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the threads, and wait until none is left."""
        self._leaving.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        sys.setswitchinterval(self._switch_s)
