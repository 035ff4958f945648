"""What long work says of itself: what it is doing, and how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from sage_doctor.text import BYTES

_PAUSE_S: Final = 0.2  # between two messages about the same activity


class OnProgress(Protocol):
    """Takes what is being done now. `total` is 0 where it is not known; `unit` is what is counted."""

    def __call__(self, activity: str, done: int = 0, total: int = 0, unit: str = BYTES, /) -> None:
        """Take it."""


def ignore(activity: str, done: int = 0, total: int = 0, unit: str = BYTES, /) -> None:
    """Take an activity, and show it nowhere."""


def sender(send: Callable[[str, Any], None]) -> OnProgress:
    """Return what sends activities to another process, as messages of the kind `stage`."""

    def on_progress(activity: str, done: int = 0, total: int = 0, unit: str = BYTES, /) -> None:
        send("stage", [activity, done, total, unit])

    return on_progress


class Meter:
    """Adds up the bytes that several threads have dealt with, and tells the sum at first and a few times a second."""

    def __init__(self, on_progress: OnProgress, activity: str, total: int) -> None:
        self._on_progress = on_progress
        self._activity = activity
        self._done, self._total = 0, total
        self._lock = threading.Lock()
        self._next = time.monotonic() + _PAUSE_S
        on_progress(activity, 0, total, BYTES)

    def __call__(self, count: int) -> None:
        """Take so many bytes more."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + _PAUSE_S
            self._on_progress(self._activity, self._done, self._total, BYTES)
