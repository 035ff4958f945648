"""Everything between an empty workshop and a finished one, and what of it goes on beside what.

`import torch` takes longer than anything else of a small merge, and keeps one core busy. Meanwhile threads hash the
inputs, and the kernel copies tensors that stay as they are. Then this thread reads and computes, others write and
hash what it hands over, and have the disk busy with it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.merge.deltas import Arithmetic, DeltaRetention, load_torch
from sage_doctor.merge.edits import TensorPlan
from sage_doctor.merge.layout import Slot
from sage_doctor.merge.output import Flusher, Output, Writer
from sage_doctor.merge.plan import MergePlan
from sage_doctor.merge.provenance import hash_inputs, record_text, surroundings
from sage_doctor.merge.refusal import MergeRefused
from sage_doctor.merge.streams import Source, copy_range, write_all
from sage_doctor.merge.task_group import Task, TaskGroup
from sage_doctor.merge.verify import require_unchanged, verify
from sage_doctor.readers.merge_record import RECORD
from sage_doctor.system.atomic_write import sync_directory
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable

Tell = Callable[[str, int], None]


def fill(
    workshop: Path, plan: MergePlan, on_progress: Tell, *, hash_cache: Path | None, threads: int | None
) -> DeltaRetention:
    """Write, flush and verify a plan's result in `workshop`, and return how much of the change survived rounding.

    `on_progress` hears what is being done, and how many bytes of weights were just written; what it raises ends the
    merge. When this returns or raises, no thread is left. Raises `DoctorError` and `OSError`.
    """
    with contextlib.ExitStack() as files, TaskGroup() as beside:  # left in reverse: threads end before files are closed
        return _Filling(workshop, plan, on_progress, files, beside).run(hash_cache, threads)


class _Task:
    """Tensors that follow each other in both files and are copied as one, or one tensor that is computed."""

    def __init__(self, output: Output, slots: list[Slot]) -> None:
        self.output, self.slots = output, slots
        self.untouched = slots[0].piece.untouched
        self.done = False


class _Filling:
    """One workshop being filled."""

    def __init__(
        self, workshop: Path, plan: MergePlan, on_progress: Tell, files: contextlib.ExitStack, beside: TaskGroup
    ) -> None:
        self._workshop, self._plan, self._told, self._files, self._beside = workshop, plan, on_progress, files, beside
        self._source = files.enter_context(Source())
        self._flusher = Flusher()
        self._writer = Writer(self._flusher)
        self._survival = DeltaRetention()

    def run(self, hash_cache: Path | None, threads: int | None) -> DeltaRetention:
        plan, beside = self._plan, self._beside
        inputs = beside.start(hash_inputs, plan, hash_cache, beside.check_cancelled)
        flushed = beside.start(self._flusher.run, beside.check_cancelled)
        beside.start(self._writer.run, beside.check_cancelled)
        hashed = beside.start(self._writer.run_hashing, beside.check_cancelled)
        torch = beside.start(load_torch) if any(not p.untouched for p in plan.pieces) else None
        mode = inspect_path(plan.base / "config.json").mode & 0o777
        for companion in plan.companions:
            self._small(companion.name, companion.source.read_bytes(), inspect_path(companion.source).mode & 0o777)
        for name, text in plan.texts.items():
            self._small(name, text.encode("utf-8", "surrogatepass"), mode)
        sums = self._weights(torch, threads)
        self._writer.leave()
        about = surroundings()
        digests = beside.wait(hashed, lambda: self._on_progress("writing the rest"))
        self._on_progress("verifying")
        verify(plan, self._workshop, self._source, sums)
        before = beside.wait(inputs, lambda: self._on_progress("hashing the inputs"))
        beside.wait(flushed, lambda: self._on_progress("waiting for the disk"))
        after = {file.name: digests[self._workshop / file.name] for file in plan.weights}
        self._record(record_text(plan, about, before, after, self._survival), mode)
        os.chmod(self._workshop, inspect_path(plan.target if plan.replaces else plan.base).mode & 0o777)
        sync_directory(self._workshop)
        require_unchanged(plan)
        return self._survival

    def _on_progress(self, doing: str, count: int = 0) -> None:
        self._beside.check()
        self._told(doing, count)

    def _open(self, name: str, size: int) -> Output:
        path = self._workshop / name
        path.parent.mkdir(parents=True, exist_ok=True)
        output = Output(path, size)
        self._files.callback(output.close)
        return output

    def _small(self, name: str, data: bytes, mode: int) -> None:
        """Write at once: handed over, all of them would be in memory together."""
        output = self._open(name, len(data))
        write_all(output.handle, data, 0)
        os.fchmod(output.handle, mode)
        self._flusher.end(output.handle)

    def _record(self, text: str, mode: int) -> None:
        """Write the record. Its hashes are known only after everything else has been flushed."""
        handle = os.open(self._workshop / RECORD, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_all(handle, text.encode("utf-8", "surrogatepass"), 0)
            os.fchmod(handle, mode)
            os.fsync(handle)
        finally:
            os.close(handle)

    def _weights(self, torch: Task[None] | None, threads: int | None) -> Arithmetic | None:
        """Have the weight files written, and return what computed them."""
        files = [(file, self._open(file.name, file.nbytes)) for file in self._plan.weights]
        for file, output in files:
            self._writer.write(output, file.head, 0)
            self._on_progress(f"writing {file.name}", len(file.head))
        tasks = [[_Task(output, slots) for slots in _runs(file.slots)] for file, output in files]
        sums = None
        if torch is not None:
            for task in (t for own in tasks for t in own if t.untouched):
                if not torch.running:
                    break
                self._do(task, None)
            self._beside.wait(torch, lambda: self._on_progress("starting torch"))
            sums = Arithmetic(threads)
        for (file, output), own in zip(files, tasks, strict=True):
            for task in own:
                if not task.done:
                    self._do(task, sums)
            self._writer.finish(output, file.mode)
        return sums

    def _do(self, task: _Task, sums: Arithmetic | None) -> None:
        if task.untouched:
            self._copy(task)
        else:
            assert sums is not None  # there is a piece to compute
            self._compute(task, sums)
        task.done = True

    def _copy(self, task: _Task) -> None:
        output, start, end = task.output, task.slots[0].start, task.slots[-1].end
        first = task.slots[0].piece.source
        at = start

        def told(count: int) -> None:
            nonlocal at
            self._writer.wrote(output, at, count)
            at += count
            self._on_progress(f"writing {output.path.name}", count)

        try:
            copy_range(self._source.handle(first.path), first.tensor.start, output.handle, start, end - start, told)
        except EOFError:
            raise DoctorError(f"{printable(str(first.path))} became shorter while it was read") from None

    def _compute(self, task: _Task, sums: Arithmetic) -> None:
        slot, output = task.slots[0], task.output
        doing, at = f"writing {output.path.name}", slot.start

        def acquire_buffer(count: int) -> bytearray:
            return self._writer.acquire_buffer(count, lambda: self._on_progress(doing))

        for block in sums.blocks(slot.piece, self._source, self._survival, acquire_buffer):
            if not block.finite:
                raise _nonfinite(slot.piece)
            self._writer.submit(output, block.memory, block.nbytes, at)
            at += block.nbytes
            self._on_progress(doing, block.nbytes)


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


def _follows(one: TensorPlan, other: TensorPlan) -> bool:
    return one.source.path == other.source.path and one.source.tensor.end == other.source.tensor.start


def _nonfinite(piece: TensorPlan) -> MergeRefused:
    return MergeRefused(
        "merge-nonfinite",
        f"{printable(piece.name)} would hold NaN or infinite numbers; nothing was changed",
        "Check base and adapter with --level integrity. If they are sound, merge with --dtype bfloat16 or float32.",
    )
