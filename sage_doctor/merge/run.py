"""Carrying out a plan: write a staging directory, flush, verify, then swap it with the target in one step.

A kill, a full disk, an interrupt or a changed source leaves the target as it was. An interrupt that arrives after the
swap is raised as soon as the old directory is deleted.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.merge.deferred_signals import DeferredSignals
from sage_doctor.merge.leftovers import Leftover, forget, remove_leftovers
from sage_doctor.merge.needs import require_resources
from sage_doctor.merge.places import require_apart
from sage_doctor.merge.plan import MergePlan
from sage_doctor.merge.provenance import losses_of
from sage_doctor.merge.refusal import MergeRefused, refused
from sage_doctor.merge.staging import atomic_swap, create_staging_dir, discard, locked, new_staging_dir
from sage_doctor.merge.target import Present, carry_over, changed_since, read_present, require_deletable
from sage_doctor.merge.verify import require_unchanged
from sage_doctor.merge.writing import write_staging
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import format_bytes, join_limited, printable, shell_quote


@frozen
class Step:
    """The progress of a merge: what it is doing, bytes of weights written, of how many, in how many seconds."""

    activity: str
    done: int
    total: int
    elapsed_s: float


@frozen
class MergeOutcome:
    """What a merge did. `surviving_delta` is the cosine between the wanted and the kept change, None if unknown.

    `warnings` are pairs of a finding code and a sentence; `cleaned` is what was found beside the target.
    """

    target: Path
    nbytes: int
    seconds: float
    replaced: bool
    surviving_delta: float | None
    warnings: tuple[tuple[str, str], ...]
    cleaned: tuple[Leftover, ...]


class MergeCancelled(DoctorError):
    """The caller cancelled the merge. The target is as it was."""

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
    allow_delete: bool = False,
    keep: Path | None = None,
) -> MergeOutcome:
    """Carry out a plan and return the outcome.

    `wait_s` is how long to wait for another merge into the same target; `hash_cache` a file where hashes of inputs
    are remembered; `threads` a limit for torch. `allow_delete` allows files of the target to be lost that cannot be
    carried over. `keep` is an unused path beside the target where the replaced directory stays. Raises `MergeRefused`
    and `DoctorError`, with the target as it was.
    """
    started = time.monotonic()
    with DeferredSignals() as interrupts, locked(plan.target, wait_s=wait_s, pause=interrupts.raise_pending):
        cleaned = remove_leftovers(plan.target)
        require_unchanged(plan)
        require_deletable(plan.present, allow_delete=allow_delete)
        _current_target(plan, cleaned)
        require_resources(plan.needs, plan.target)
        on_progress = _ProgressReporter(plan.nbytes, progress, cancel, started, interrupts)
        staging_dir = keep or new_staging_dir(plan.target)
        made = 0
        try:
            made = create_staging_dir(staging_dir, plan.target, keep=keep is not None)
            retention = write_staging(staging_dir, plan, on_progress, hash_cache=hash_cache, threads=threads)
            present = _current_target(plan)
            carry_over(present, staging_dir, on_progress)
            os.chmod(staging_dir, inspect_path(plan.target if present.exists else plan.base).mode & 0o777)
            on_progress("replacing the target", 0)  # the last moment at which an interrupt undoes everything
            replaced = atomic_swap(staging_dir, plan.target)
        except OSError as error:
            _give_up(staging_dir, made, plan)
            raise _failed(plan, error) from error
        except BaseException:
            _give_up(staging_dir, made, plan)
            raise
        if replaced and keep is None:
            cleaned += _remove_replaced(staging_dir, present)
        forget(plan.target)
    return MergeOutcome(
        target=plan.target,
        nbytes=plan.nbytes,
        seconds=time.monotonic() - started,
        replaced=replaced,
        surviving_delta=retention.cosine,
        warnings=tuple(losses_of(plan, retention).sentences()),
        cleaned=tuple(cleaned),
    )


def _current_target(plan: MergePlan, cleaned: Sequence[Leftover] = ()) -> Present:
    """Return the target as it is now. Raises `MergeRefused` if what would be replaced is not what the plan says."""
    now = read_present(plan.target, written=plan.written, tokenizer=bool(plan.tokenizer))
    require_apart(now.removed, (plan.adapter, plan.base), plan.inputs)
    if now.lost() != plan.present.lost():
        what = "changed" if now.exists and plan.present.exists else "was created" if now.exists else "was deleted"
        done = "".join(f" ({printable(left.path.name)}: {left.what})" for left in cleaned)
        raise refused(
            f"{printable(str(plan.target))} {what} since the plan was made{done}", "Check it, and merge again."
        )
    return now


def _give_up(staging_dir: Path, made: int, plan: MergePlan) -> None:
    discard(staging_dir, made)
    if inspect_path(staging_dir).kind == "missing":
        forget(plan.target)


def _remove_replaced(path: Path, carried: Present) -> list[Leftover]:
    """Delete the replaced directory, unless somebody wrote into it since its files were carried over."""
    try:
        added = changed_since(path, carried)
    except (OSError, MergeRefused):
        added = ["(it cannot be read)"]
    if not added:
        shutil.rmtree(path, ignore_errors=True)
    if inspect_path(path).kind == "missing":
        return []
    why = f"{join_limited(added)} changed in the last moment" if added else "it could not be deleted completely"
    return [
        Leftover(path=path, what=f"the replaced directory was kept: {why}. To delete it: rm -r {shell_quote(path)}")
    ]


def _failed(plan: MergePlan, error: OSError) -> DoctorError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        need, where = format_bytes(plan.needs.disk_bytes), printable(str(plan.target.parent))
        if error.errno == errno.EDQUOT:
            return DoctorError(
                f"the disk quota in {where} is used up; nothing was changed. The merge needs {need} of it."
            )
        return DoctorError(f"{where} is full; nothing was changed. Free {need} there.")
    return DoctorError(
        f"the merge into {printable(str(plan.target))} failed: {reason}; nothing was changed. "
        "Check the disk and its permissions, then merge again."
    )


class _ProgressReporter:
    """Reports progress to the caller, and raises in the merge when the caller cancels or interrupts it."""

    def __init__(
        self, total: int, progress: Progress | None, cancel: Cancel | None, started: float, interrupts: DeferredSignals
    ) -> None:
        self._total, self._progress, self._cancel, self._started = total, progress, cancel, started
        self._interrupts = interrupts
        self._done = 0

    def __call__(self, activity: str, count: int) -> None:
        self._done += count
        self._interrupts.raise_pending()
        if self._cancel is not None and self._cancel():
            raise MergeCancelled("the merge was cancelled; nothing was changed")
        if self._progress is not None:
            elapsed = time.monotonic() - self._started
            self._progress(Step(activity=activity, done=self._done, total=self._total, elapsed_s=elapsed))
