"""Interrupts held back while work is under way that must not be left at any odd place.

Python raises `KeyboardInterrupt` between any two instructions of the main thread: also after a lock was taken and
before it can be given back, and in Python's own code that starts a thread or imports a module. Who waits for that lock
then waits for ever.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_HELD = (signal.SIGINT, signal.SIGTERM)


class DeferredSignals:
    """A block in which interrupts only happen where `raise_pending` is called, or as it is left.

    Signals that nobody handles, or that are ignored, stay as they are; so does everything outside the main thread,
    where Python never raises an interrupt.
    """

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._heard: list[int] = []

    def raise_pending(self) -> None:
        """Let the first interrupt that is held happen now: its handler raises what it raises."""
        if self._heard:
            number = self._heard.pop(0)
            self._before[number](number, None)

    def __enter__(self) -> DeferredSignals:  # noqa: PYI034 - typing.Self came with 3.11
        """Begin to hold them."""
        if threading.current_thread() is not threading.main_thread():
            return self
        try:
            for number in _HELD:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._before[number] = handler
                    signal.signal(number, self._hear)
        except BaseException:  # an interrupt that came between the two
            self._restore()
            raise
        return self

    def _hear(self, number: int, _: FrameType | None) -> None:
        self._heard.append(number)

    def _restore(self) -> None:
        try:
            for number, handler in self._before.items():
                signal.signal(number, handler)
        finally:  # the first one given back may interrupt this
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def __exit__(self, *_: object) -> None:
        """Hold them no more, and let those that were held happen, up to the first that raises."""
        self._restore()
        while self._heard:
            self.raise_pending()
