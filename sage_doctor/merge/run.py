"""Carrying out a plan: write beside the target, flush, verify, then exchange in one step.

Whatever stops it (a kill, a full disk, an interrupt, a source that changes) leaves the target as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.merge.deltas import Arithmetic, Survival
from sage_doctor.merge.edits import Piece
from sage_doctor.merge.layout import Slot, WeightsOut
from sage_doctor.merge.needs import require
from sage_doctor.merge.plan import MergePlan
from sage_doctor.merge.provenance import Hashes, record_text
from sage_doctor.merge.refusal import MergeRefused, refused
from sage_doctor.merge.streams import Source, copy_range, write_all
from sage_doctor.merge.target import LeftOver, clean_up, locked, make_workshop, put_in_place, sync_directory
from sage_doctor.merge.verify import require_unchanged, verify
from sage_doctor.readers.merge_record import RECORD
from sage_doctor.readers.regular import look
from sage_doctor.text import human_bytes, printable

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
    with locked(plan.target, wait_s=wait_s):
        cleaned = clean_up(plan.target)
        require_unchanged(plan)
        _require_target(plan)
        require(plan.needs, plan.target)
        workshop = make_workshop(plan.target)
        try:
            run = _Run(plan, workshop, progress, cancel, started)
            survival = run.write(hash_cache, threads)
            replaced = put_in_place(workshop, plan.target)
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
    if (look(plan.target).kind != "missing") != plan.replaces:
        what = "is gone" if plan.replaces else "has appeared"
        raise refused(f"{printable(str(plan.target))} {what} since the plan was made", "Look at it, and merge again.")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path)


def _failed(plan: MergePlan, error: OSError) -> DoctorError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        need = human_bytes(plan.needs.disk_bytes)
        return DoctorError(f"{printable(str(plan.target.parent))} is full; nothing was changed. Free {need} there.")
    return DoctorError(
        f"the merge into {printable(str(plan.target))} failed: {reason}; nothing was changed. "
        "Look at that disk and its permissions, then merge again."
    )


def _warnings(plan: MergePlan, survival: Survival) -> list[tuple[str, str]]:
    share = survival.share
    if share is None or share >= VANISHING:
        return []
    advice = "merge with --dtype float32, or run base and adapter together" if plan.dtype != "float32" else "it is tiny"
    return [("merge-delta-vanishes", f"only {share:.0%} of the adapter's change survives rounding: {advice}")]


class _Run:
    """One merge under way."""

    def __init__(
        self, plan: MergePlan, workshop: Path, progress: Progress | None, cancel: Cancel | None, started: float
    ) -> None:
        self.plan, self.workshop = plan, workshop
        self._progress, self._cancel, self._started = progress, cancel, started
        self._done = 0
        self._survival = Survival()
        self._written: list[Hashes] = []

    def write(self, hash_cache: Path | None, threads: int | None) -> Survival:
        """Write, flush and verify everything in the workshop."""
        hashes = Hashes(list(self.plan.inputs), hash_cache)
        needed = any(not p.untouched for p in self.plan.pieces)
        sums = Arithmetic(threads) if needed else None
        with Source() as source:
            for file in self.plan.weights:
                self._weights(file, source, sums)
            for companion in self.plan.companions:
                data = companion.source.read_bytes()
                self._small(companion.name, data, look(companion.source).mode & 0o777)
            mode = look(self.plan.base / "config.json").mode & 0o777
            for name, text in self.plan.texts.items():
                self._small(name, text.encode("utf-8", "surrogatepass"), mode)
            self._tell("verifying")
            verify(self.plan, self.workshop, source, sums)
        digests = hashes.wait(lambda: self._tell("hashing the inputs"))
        outputs = {
            os.path.relpath(path, self.workshop): digest
            for written in self._written
            for path, digest in written.wait(lambda: self._tell("hashing the result")).items()
        }
        record = record_text(self.plan, digests, outputs, self._survival)
        self._small(RECORD, record.encode("utf-8", "surrogatepass"), mode)
        os.chmod(self.workshop, self._directory_mode())
        sync_directory(self.workshop)
        require_unchanged(self.plan)
        return self._survival

    def _directory_mode(self) -> int:
        return look(self.plan.target if self.plan.replaces else self.plan.base).mode & 0o777

    def _tell(self, doing: str, count: int = 0) -> None:
        self._done += count
        if self._cancel is not None and self._cancel():
            raise MergeCancelled("the merge was cancelled; nothing was changed")
        if self._progress is not None:
            elapsed = time.monotonic() - self._started
            self._progress(Step(doing=doing, done=self._done, total=self.plan.nbytes, elapsed_s=elapsed))

    def _small(self, name: str, data: bytes, mode: int) -> None:
        handle = os.open(self.workshop / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_all(handle, data, 0)
            os.fchmod(handle, mode)
            os.fsync(handle)
        finally:
            os.close(handle)

    def _weights(self, file: WeightsOut, source: Source, sums: Arithmetic | None) -> None:
        path = self.workshop / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_all(handle, file.head, 0)
            self._tell(f"writing {file.name}", len(file.head))
            for slots in _runs(file.slots):
                if slots[0].piece.untouched:
                    self._copy(file.name, slots, source, handle)
                else:
                    assert sums is not None  # there is a piece to compute
                    self._compute(file.name, slots[0], source, handle, sums)
            os.fchmod(handle, file.mode)
            self._written.append(Hashes([path], None))  # hashed while the disk is busy with it
            os.fsync(handle)
        finally:
            os.close(handle)

    def _copy(self, name: str, slots: list[Slot], source: Source, handle: int) -> None:
        first = slots[0].piece.source
        count = slots[-1].end - slots[0].start
        try:
            copy_range(
                source.handle(first.path), first.tensor.start, handle, slots[0].start, count,
                lambda done: self._tell(f"writing {name}", done),
            )  # fmt: skip
        except EOFError:
            raise DoctorError(f"{printable(str(first.path))} became shorter while it was read") from None

    def _compute(self, name: str, slot: Slot, source: Source, handle: int, sums: Arithmetic) -> None:
        at = slot.start
        for block in sums.blocks(slot.piece, source, self._survival):
            if not block.finite:
                raise _nonfinite(slot.piece)
            raw = memoryview(block.data.flatten().view(sums.torch.uint8).numpy())
            write_all(handle, raw, at)
            at += len(raw)
            self._tell(f"writing {name}", len(raw))


def _runs(slots: tuple[Slot, ...]) -> list[list[Slot]]:
    """Return the slots in groups: untouched tensors that follow each other in both files are copied as one."""
    groups: list[list[Slot]] = []
    for slot in slots:
        last = groups[-1][-1] if groups else None
        if last is not None and last.piece.untouched and slot.piece.untouched and _follows(last.piece, slot.piece):
            groups[-1].append(slot)
        else:
            groups.append([slot])
    return groups


def _follows(one: Piece, other: Piece) -> bool:
    return one.source.path == other.source.path and one.source.tensor.end == other.source.tensor.start


def _nonfinite(piece: Piece) -> MergeRefused:
    return MergeRefused(
        "merge-nonfinite",
        f"{printable(piece.name)} would hold NaN or infinite numbers; nothing was changed",
        "Check base and adapter with --level integrity. If they are sound, merge with --dtype bfloat16 or float32.",
    )
