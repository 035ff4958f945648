"""Hashes of files that another program is writing, computed while they grow: to read them again would take as long.

A hash is of what was read. If the writer goes back in a file, it differs from the expected one; such a difference means
nothing until the finished file has been hashed.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_BLOCK: Final = 1 << 22
_PAUSE_S: Final = 0.05


@contextmanager
def hashes_while_arriving(directory: Path, sizes: Mapping[str, int]) -> Iterator[dict[str, str]]:
    """Give a dictionary that the sha256 in hex of files below `directory` come into, for as long as the block lasts.

    `sizes` are their final sizes in bytes. Files that are there before are left out: it is not known where the writer
    goes on in them.
    """
    found: dict[str, str] = {}
    stop = threading.Event()
    new = {n: size for n, size in sizes.items() if not os.path.lexists(directory / n)}
    follower = threading.Thread(target=_follow, args=(directory, new, found, stop), daemon=True)
    follower.start()
    try:
        yield found
    finally:
        stop.set()
        follower.join()


def _follow(directory: Path, waiting: dict[str, int], found: dict[str, str], stop: threading.Event) -> None:
    """Hash one file after the other, as one appears; when told to stop, finish that one."""
    while waiting and not stop.is_set():
        name = next((n for n in waiting if os.path.lexists(directory / n)), None)
        if name is None:
            stop.wait(_PAUSE_S)
            continue
        try:
            hashed = _hash(directory / name, waiting.pop(name), stop)
        except OSError:
            continue  # whoever looks at the finished file says what is wrong with it
        if hashed is not None:
            found[name] = hashed


def _hash(path: Path, size: int, stop: threading.Event) -> str | None:
    """Return the hash of the first `size` bytes as soon as there are so many, None if they do not come."""
    sha256, done = hashlib.sha256(), 0
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
        while done < size:
            last = stop.is_set()
            block = file.read(min(_BLOCK, size - done))
            if not block and last:
                return None
            if not block:
                stop.wait(_PAUSE_S)
            sha256.update(block or b"")
            done += len(block or b"")
    return sha256.hexdigest()
