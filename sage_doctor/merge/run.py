"""Carrying out a plan: write beside the target, flush, verify, then exchange in one step.

Whatever stops it (a kill, a full disk, an interrupt, a source that changes) leaves the target as it was. An interrupt
that comes once the new state is in place happens as soon as the old one is cleared away.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.merge.deferred_signals import DeferredSignals
from sage_doctor.merge.deltas import DeltaRetention
from sage_doctor.merge.needs import require
from sage_doctor.merge.plan import MergePlan
from sage_doctor.merge.refusal import refused
from sage_doctor.merge.staging import LeftOver, atomic_swap, clean_up, locked, make_workshop, workshop_of
from sage_doctor.merge.verify import require_unchanged
from sage_doctor.merge.writing import fill
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import format_bytes, printable

VANISHING = 0.5  # less of the delta surviving than this is worth a warning


@dataclass(frozen=True, kw_only=True)
class Step:
    """How far a merge has come: bytes of weights written, of how many, in how many seconds."""

    doing: str
    done: int
    total: int
    elapsed_s: float


@dataclass(frozen=True, kw_only=True)
class MergeOutcome:
    """What a merge did. `surviving_delta` is the share of the adapter's change that rounding left, None if unknown.

    `warnings` are pairs of a finding code and a sentence; `cleaned` is what killed merges had left.
    """

    target: Path
    nbytes: int
    seconds: float
    replaced: bool
    surviving_delta: float | None
    warnings: tuple[tuple[str, str], ...]
    cleaned: tuple[LeftOver, ...]


class MergeCancelled(DoctorError):
    """The caller's `cancel` said so. The target is as it was."""

    exit_code = 130


Progress = Callable[[Step], None]
Cancel = Callable[[], bool]


def apply(
    plan: MergePlan,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    wait_s: float = 0.0,
    hash_cache: Path | None = None,
    threads: int | None = None,
) -> MergeOutcome:
    """Carry out a plan and return what came of it.

    `wait_s` is how long to wait for another merge into the same target; `hash_cache` a file where hashes of inputs
    are remembered; `threads` a limit for torch. Raises `MergeRefused` and `DoctorError`, with the target as it was.
    """
    started = time.monotonic()
    with DeferredSignals() as interrupts, locked(plan.target, wait_s=wait_s, pause=interrupts.raise_pending):
        cleaned = clean_up(plan.target)
        require_unchanged(plan)
        _require_target(plan)
        require(plan.needs, plan.target)
        on_progress = _Telling(plan.nbytes, progress, cancel, started, interrupts)
        workshop = workshop_of(plan.target)
        try:
            make_workshop(workshop, plan.target)
            survival = fill(workshop, plan, on_progress, hash_cache=hash_cache, threads=threads)
            on_progress("putting it in place", 0)  # the last moment at which an interrupt undoes all of it
            replaced = atomic_swap(workshop, plan.target)
        except OSError as error:
            _remove(workshop)
            raise _failed(plan, error) from error
        except BaseException:
            _remove(workshop)
            raise
        if replaced is not None:
            _remove(replaced)
    return MergeOutcome(
        target=plan.target,
        nbytes=plan.nbytes,
        seconds=time.monotonic() - started,
        replaced=replaced is not None,
        surviving_delta=survival.share,
        warnings=tuple(_warnings(plan, survival)),
        cleaned=tuple(cleaned),
    )


def _require_target(plan: MergePlan) -> None:
    if (inspect_path(plan.target).kind != "missing") != plan.replaces:
        what = "is gone" if plan.replaces else "has appeared"
        raise refused(f"{printable(str(plan.target))} {what} since the plan was made", "Look at it, and merge again.")


def _remove(path: Path) -> None:
    """Delete a directory as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)


def _failed(plan: MergePlan, error: OSError) -> DoctorError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        need = format_bytes(plan.needs.disk_bytes)
        return DoctorError(f"{printable(str(plan.target.parent))} is full; nothing was changed. Free {need} there.")
    return DoctorError(
        f"the merge into {printable(str(plan.target))} failed: {reason}; nothing was changed. "
        "Look at that disk and its permissions, then merge again."
    )


def _warnings(plan: MergePlan, survival: DeltaRetention) -> list[tuple[str, str]]:
    share = survival.share
    if share is None or share >= VANISHING:
        return []
    advice = "merge with --dtype float32, or run base and adapter together" if plan.dtype != "float32" else "it is tiny"
    return [("merge-delta-vanishes", f"only {share:.0%} of the adapter's change survives rounding: {advice}")]


class _Telling:
    """Passes on to the caller how far the merge is, and to the merge that the caller cancels or interrupts it."""

    def __init__(
        self, total: int, progress: Progress | None, cancel: Cancel | None, started: float, interrupts: DeferredSignals
    ) -> None:
        self._total, self._progress, self._cancel, self._started = total, progress, cancel, started
        self._interrupts = interrupts
        self._done = 0

    def __call__(self, doing: str, count: int) -> None:
        self._done += count
        self._interrupts.raise_pending()
        if self._cancel is not None and self._cancel():
            raise MergeCancelled("the merge was cancelled; nothing was changed")
        if self._progress is not None:
            elapsed = time.monotonic() - self._started
            self._progress(Step(doing=doing, done=self._done, total=self._total, elapsed_s=elapsed))
