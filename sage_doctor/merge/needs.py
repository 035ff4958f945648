"""What a merge needs: disk, memory and torch."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from sage_doctor.merge.edits import TensorPlan
from sage_doctor.merge.refusal import refused
from sage_doctor.system.frozen import frozen
from sage_doctor.system.memory import read_darwin_memory, read_memory
from sage_doctor.text import format_bytes, printable

_TORCH_BYTES = 260_000_000  # torch itself, imported
_BLOCK_BYTES = 60_000_000  # a block of rows in every stage of the sum
_DISK_SLACK = 16_000_000
_COPY_PER_S = 400_000_000.0  # bytes; a slow disk, so that the estimate is not exceeded
_SUM_PER_S = 250_000_000.0  # elements
_START_S = 2.0


@frozen
class ResourceEstimate:
    """What a merge will take: bytes on disk and in memory, and about how many seconds."""

    disk_bytes: int
    memory_bytes: int
    seconds: float


def estimate(plans: list[TensorPlan], others: int) -> ResourceEstimate:
    """Return what writing these tensors, and `others` further bytes, will take."""
    factors = max((sum(p.tensor.elements for p in plan.inputs()) * 8 for plan in plans), default=0)
    touched = sum(p.source.tensor.elements for p in plans if not p.untouched)
    nbytes = sum(p.nbytes for p in plans) + others
    seconds = nbytes / _COPY_PER_S + touched / _SUM_PER_S + (_START_S if touched else 0)
    memory = _TORCH_BYTES + _BLOCK_BYTES + factors
    return ResourceEstimate(disk_bytes=nbytes + _DISK_SLACK, memory_bytes=memory, seconds=seconds)


def require_resources(needs: ResourceEstimate, target: Path, *, torch: bool = True) -> None:
    """Raise `MergeRefused` if disk space or memory is missing, or the directory cannot be written to.

    `torch` asks for that as well: in this interpreter.
    """
    if torch and importlib.util.find_spec("torch") is None:
        raise refused(
            f"merging needs torch, which is not installed in sage-doctor's Python ({printable(sys.executable)})",
            "Install sage-doctor in the sessions' environment and merge from there, or torch (the build for this "
            "machine) beside this one.",
        )
    parent = target.parent
    state = os.statvfs(parent)
    if state.f_flag & getattr(os, "ST_RDONLY", 1):
        raise refused(
            f"{printable(str(parent))} is on a read-only file system",
            "Choose another --out, or see with `dmesg` whether an error of the disk made it read-only.",
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise refused(
            f"{printable(str(parent))} cannot be written to",
            "Choose another --out, or correct the permissions of that directory.",
        )
    free = state.f_bavail * state.f_frsize
    if free < needs.disk_bytes:
        raise refused(
            f"{printable(str(parent))} has {format_bytes(free)} free, the merge needs {format_bytes(needs.disk_bytes)} "
            "(the present model is kept until the new one is verified)",
            "Free that much there, or choose another --out.",
        )
    memory = (read_darwin_memory() if sys.platform == "darwin" else read_memory(Path("/"))).effective_available
    if memory is not None and memory < needs.memory_bytes:
        raise refused(
            f"{format_bytes(memory)} of memory is free, the merge needs {format_bytes(needs.memory_bytes)}",
            "End the programs that hold memory, and merge again.",
        )
