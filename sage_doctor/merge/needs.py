"""What a merge needs: disk, memory, torch, and a target that may be replaced."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.merge.companions import is_model_file
from sage_doctor.merge.edits import TensorPlan
from sage_doctor.merge.refusal import refused
from sage_doctor.system.memory import read_darwin_memory, read_memory
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import format_bytes, join_limited, printable

_TORCH_BYTES = 260_000_000  # torch itself, imported
_BLOCK_BYTES = 60_000_000  # a block of rows in every stage of the sum
_DISK_SLACK = 16_000_000
_COPY_PER_S = 400_000_000.0  # bytes; a slow disk, so that the estimate is not exceeded
_SUM_PER_S = 250_000_000.0  # elements
_START_S = 2.0


@dataclass(frozen=True, kw_only=True)
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


def require_resources(needs: ResourceEstimate, target: Path) -> None:
    """Raise `MergeRefused` if torch, disk space or memory is missing, or the directory cannot be written to."""
    if importlib.util.find_spec("torch") is None:
        raise refused(
            f"merging needs torch, which is not installed in sage-doctor's Python ({printable(sys.executable)})",
            "Install sage-doctor in the sessions' environment and merge from there, or torch (the build for this "
            "machine) beside this one.",
        )
    parent = target.parent
    if not os.access(parent, os.W_OK | os.X_OK):
        raise refused(
            f"{printable(str(parent))} cannot be written to",
            "Choose another --out, or correct the permissions of that directory.",
        )
    state = os.statvfs(parent)
    free = state.f_bavail * state.f_frsize
    if state.f_flag & getattr(os, "ST_RDONLY", 1):
        raise refused(f"{printable(str(parent))} is on a read-only file system", "Choose another --out.")
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


def check_target(target: Path, inputs: list[Path]) -> tuple[bool, tuple[Path, ...]]:
    """Return whether the target exists and will be replaced, and which of its files are carried over.

    Raises `MergeRefused` if replacing it would destroy files that a merge cannot write again.
    """
    shown = printable(str(target))
    real = os.path.realpath(target)
    for path in inputs:
        other = os.path.realpath(path)
        if real == other or f"{other}/".startswith(f"{real}/") or f"{real}/".startswith(f"{other}/"):
            raise refused(f"{shown} and {printable(str(path))} must not contain one another", "Choose another --out.")
    node = inspect_path(target)
    if inspect_path(target.parent).kind != "directory":
        raise refused(
            f"{printable(str(target.parent))} is not a directory", f"mkdir it, or choose another --out than {shown}."
        )
    if node.kind == "missing":
        return False, ()
    if node.kind != "directory":
        raise refused(f"{shown} is {node.detail or 'a ' + node.kind}, not a directory", "Choose another --out.")
    if node.device != inspect_path(target.parent).device:
        raise refused(
            f"{shown} is a mount point, which cannot be replaced in one step",
            f"Choose a directory in it: {shown}/merged.",
        )
    names = sorted(os.listdir(target))
    nodes = {n: inspect_path(target / n) for n in names}
    inner = [n for n, found in nodes.items() if found.kind == "directory" and n != ".cache"]
    if inner:
        raise refused(
            f"{shown} contains directories that a merge would delete: {join_limited(inner)}", "Choose another --out."
        )
    if names and not any(is_model_file(n) for n in names):
        raise refused(f"{shown} contains files, but none of a model", "Choose another --out.")
    kept = [target / n for n in names if nodes[n].kind == "file" and not is_model_file(n)]
    return True, tuple(p for p in kept if p.name != ".DS_Store")
