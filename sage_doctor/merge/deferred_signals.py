"""Signals deferred while code runs that must not be interrupted at an arbitrary point.

Python raises `KeyboardInterrupt` between any two instructions of the main thread: also between taking and releasing a
lock, and in Python's own code that starts a thread or imports a module. A thread that waits for that lock then hangs.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_HELD = (signal.SIGINT, signal.SIGTERM)


class DeferredSignals:
    """A block in which signals are handled only when `raise_pending` is called, or when the block is left.

    A handler that has a method `announce` is told at once that its signal came. Signals without a Python handler stay
    as they are; so does everything outside the main thread, where Python never raises an interrupt.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._pending: list[int] = []

    def raise_pending(self) -> None:
        """Call the handler of the first deferred signal; it may raise."""
        if self._pending:
            number = self._pending.pop(0)
            self._handlers[number](number, None)

    def __enter__(self) -> DeferredSignals:  # noqa: PYI034 - typing.Self came with 3.11
        """Start deferring."""
        if threading.current_thread() is not threading.main_thread():
            return self
        try:
            for number in _HELD:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._defer)
        except BaseException:  # an interrupt that came between the two
            self._restore()
            raise
        return self

    def _defer(self, number: int, _: FrameType | None) -> None:
        self._pending.append(number)
        announce = getattr(self._handlers.get(number), "announce", None)
        if announce is not None:
            announce()

    def _restore(self) -> None:
        try:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
        finally:  # the first restored handler may interrupt this
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    def __exit__(self, *_: object) -> None:
        """Stop deferring, and handle the deferred signals up to the first handler that raises."""
        self._restore()
        while self._pending:
            self.raise_pending()
