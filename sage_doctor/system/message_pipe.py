"""The pipe between guarded work and whoever asked for it: messages of any size, and the end of either side."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
from typing import Any, Final

_MOST_MESSAGE: Final = 256 << 20


class Messages:
    """Reads messages of any number of parts: each is joined once, however long it is."""

    def __init__(self) -> None:
        """Begin with none."""
        self._parts: list[bytes] = []
        self._size = 0

    def take(self, part: bytes) -> list[tuple[str, Any]]:
        """Return the messages that are complete. Raises `ValueError` for what is none, and for one that is too long."""
        first, *others = part.split(b"\n")
        lines = []
        self._parts.append(first)
        for other in others:
            lines.append(b"".join(self._parts))
            self._parts = [other]
        self._size = len(others[-1]) if others else self._size + len(part)
        if self._size > _MOST_MESSAGE:
            raise ValueError(f"its report has more than {_MOST_MESSAGE >> 20} MB")
        try:
            return [(kind, value) for kind, value in map(json.loads, lines)]
        except (ValueError, TypeError, RecursionError):
            raise ValueError("the examining process wrote what is no message") from None


def end_with_listener(pipe: int) -> None:
    """See to it that this process is interrupted once nobody listens: a load may be long, and says nothing meanwhile.

    Whoever asked may be killed at any moment. The system tells it of the pipe by a signal, as it does of other things.
    """

    def look(*_: object) -> None:
        watch = select.poll()
        watch.register(pipe, 0)  # that its other end is closed is told always
        if watch.poll(0):
            raise KeyboardInterrupt

    signal.signal(signal.SIGIO, look)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
