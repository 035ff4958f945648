"""Answers to the parent: one JSON object a line."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

MOST_NAMES = 50
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "DefaultCPUAllocator",
    "NVML_SUCCESS ==",  # how torch's CUDA allocator runs out of memory on Jetson
    "NvMapMemAlloc",
)


class ProbeFailure(Exception):
    """A session would fail here although no library raised; `kind` is reported as the exception's type."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Reporter:
    """Writes answers to the parent."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, event: str, **values: Any) -> None:
        """Write one line. Raises `OSError` if the parent is gone."""
        rest = json.dumps({"event": event, **values}, allow_nan=False).encode("ascii") + b"\n"
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def stage(self, name: str) -> None:
        """Announce the stage that begins now."""
        self.send("stage", name=name)


def bounded(names: Iterable[Any]) -> dict[str, Any]:
    """Return the first names in order and how many there are."""
    every = sorted(str(n)[:500] for n in names)
    return {"names": every[:MOST_NAMES], "total": len(every)}


def report_failure(reporter: Reporter, error: BaseException) -> None:
    """Report the exception that ended the probe, and its kind."""
    text = str(error)
    imports = isinstance(error, ImportError)
    module = getattr(error, "probe_module", "") or (imports and getattr(error, "name", "")) or ""
    names = {c.__name__ for c in type(error).__mro__}
    short = names & {"MemoryError", "OutOfMemoryError"} or any(m in text for m in _OUT_OF_MEMORY)
    kind = "out-of-memory" if short else "import-error" if module or imports else "failed"
    name = error.kind if isinstance(error, ProbeFailure) else type(error).__name__
    where = [] if isinstance(error, ProbeFailure) else list(_frames_of(error))
    reporter.send("failed", kind=kind, type=name, message=text[:4000], module=module, where=where)


def _frames_of(error: BaseException) -> Iterator[str]:
    """Yield where the error arose, innermost frame first."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)[-3:]):
        yield f"{frame.filename}:{frame.lineno} in {frame.name}"[:500]
