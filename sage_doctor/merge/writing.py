"""Writing the staging directory: copies, computed tensors, companions and the record, in parallel where possible.

`import torch` takes longer than anything else in a small merge, and keeps one core busy. Meanwhile threads hash the
inputs, and the kernel copies unchanged tensors. Then this thread reads and computes while others write, hash and flush.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.merge.deltas import Arithmetic, load_torch
from sage_doctor.merge.edits import TensorPlan
from sage_doctor.merge.layout import Slot
from sage_doctor.merge.output import Flusher, OutputFile, Writer
from sage_doctor.merge.plan import MergePlan
from sage_doctor.merge.provenance import environment_record, hash_inputs, record_text
from sage_doctor.merge.refusal import MergeRefused
from sage_doctor.merge.retention import DeltaRetention
from sage_doctor.merge.streams import Source, copy_range, write_all
from sage_doctor.merge.task_group import Task, TaskGroup
from sage_doctor.merge.verify import read_same, require_unchanged, verify
from sage_doctor.readers.merge_record import RECORD
from sage_doctor.system.atomic_write import sync_directory
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable

OnProgress = Callable[[str, int], None]


def write_staging(
    staging_dir: Path, plan: MergePlan, on_progress: OnProgress, *, hash_cache: Path | None, threads: int | None
) -> DeltaRetention:
    """Write, flush and verify a plan's result in `staging_dir`; return how much of the change is kept after rounding.

    `on_progress` is called with the current activity and the bytes of weights just written; what it raises ends the
    merge. No thread is left afterwards. Raises `DoctorError` and `OSError`.
    """
    with contextlib.ExitStack() as files, TaskGroup() as tasks:  # in reverse order: threads end before files are closed
        return _StagingWriter(staging_dir, plan, on_progress, files, tasks).run(hash_cache, threads)


class _WriteJob:
    """Consecutive tensors that are copied in one go, or one tensor that is computed."""

    def __init__(self, output: OutputFile, slots: list[Slot]) -> None:
        self.output, self.slots = output, slots
        self.untouched = slots[0].plan.untouched
        self.done = False


class _StagingWriter:
    """The staging directory of one merge, being written."""

    def __init__(
        self, staging_dir: Path, plan: MergePlan, on_progress: OnProgress, files: contextlib.ExitStack, tasks: TaskGroup
    ) -> None:
        self._staging_dir, self._plan, self._report, self._files, self._tasks = (
            staging_dir,
            plan,
            on_progress,
            files,
            tasks,
        )
        self._source = files.enter_context(Source())
        self._flusher = Flusher()
        self._writer = Writer(self._flusher)
        self._retention = DeltaRetention()

    def run(self, hash_cache: Path | None, threads: int | None) -> DeltaRetention:
        plan, tasks = self._plan, self._tasks
        inputs = tasks.start(hash_inputs, plan, hash_cache, tasks.check_cancelled)
        flushed = tasks.start(self._flusher.run, tasks.check_cancelled)
        tasks.start(self._writer.run, tasks.check_cancelled)
        hashed = tasks.start(self._writer.run_hashing, tasks.check_cancelled)
        torch = tasks.start(load_torch) if any(not p.untouched for p in plan.tensor_plans) else None
        mode = inspect_path(plan.base / "config.json").mode & 0o777
        for companion in plan.companions:
            node = plan.inputs[companion.source]
            self._write_small(companion.name, read_same(companion.source, node), node.mode & 0o777)
        for name, text in plan.texts.items():
            self._write_small(name, text.encode("utf-8", "surrogatepass"), mode)
        arithmetic = self._weights(torch, threads)
        self._writer.stop()
        environment = environment_record()
        digests = tasks.wait(hashed, lambda: self._on_progress("writing the rest"))
        self._on_progress("verifying")
        verify(plan, self._staging_dir, self._source, arithmetic)
        before = tasks.wait(inputs, lambda: self._on_progress("hashing the inputs"))
        tasks.wait(flushed, lambda: self._on_progress("waiting for the disk"))
        after = {file.name: digests[self._staging_dir / file.name] for file in plan.weights}
        self._record(record_text(plan, environment, before, after, self._retention), mode)
        sync_directory(self._staging_dir)
        require_unchanged(plan)
        return self._retention

    def _on_progress(self, activity: str, count: int = 0) -> None:
        self._tasks.check()
        self._report(activity, count)

    def _open(self, name: str, size: int) -> OutputFile:
        path = self._staging_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        output = OutputFile(path, size)
        self._files.callback(output.close)
        return output

    def _write_small(self, name: str, data: bytes, mode: int) -> None:
        """Write a small file immediately: queued, all of them would be in memory at once."""
        output = self._open(name, len(data))
        write_all(output.handle, data, 0)
        os.fchmod(output.handle, mode)
        self._flusher.finish_file(output.handle)

    def _record(self, text: str, mode: int) -> None:
        """Write the record. Its hashes are only known after everything else was flushed."""
        handle = os.open(self._staging_dir / RECORD, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_all(handle, text.encode("utf-8", "surrogatepass"), 0)
            os.fchmod(handle, mode)
            os.fsync(handle)
        finally:
            os.close(handle)

    def _weights(self, torch: Task[None] | None, threads: int | None) -> Arithmetic | None:
        """Write the weight files, and return the arithmetic that computed them."""
        files = [(file, self._open(file.name, file.nbytes)) for file in self._plan.weights]
        for file, output in files:
            self._writer.write(output, file.head, 0)
            self._on_progress(f"writing {file.name}", len(file.head))
        tasks = [[_WriteJob(output, slots) for slots in _runs(file.slots)] for file, output in files]
        arithmetic = None
        if torch is not None:
            for task in (t for own in tasks for t in own if t.untouched):
                if not torch.running:
                    break
                self._run_job(task, None)
            self._tasks.wait(torch, lambda: self._on_progress("starting torch"))
            arithmetic = Arithmetic(threads)
        for (file, output), own in zip(files, tasks, strict=True):
            for task in own:
                if not task.done:
                    self._run_job(task, arithmetic)
            self._writer.finish_file(output, file.mode)
        return arithmetic

    def _run_job(self, task: _WriteJob, arithmetic: Arithmetic | None) -> None:
        if task.untouched:
            self._copy(task)
        else:
            assert arithmetic is not None  # there is a tensor to compute
            self._compute(task, arithmetic)
        task.done = True

    def _copy(self, task: _WriteJob) -> None:
        output, start, end = task.output, task.slots[0].start, task.slots[-1].end
        first = task.slots[0].plan.source
        at = start

        def on_copied(count: int) -> None:
            nonlocal at
            self._writer.record_written(output, at, count)
            at += count
            self._on_progress(f"writing {output.path.name}", count)

        try:
            copy_range(
                self._source.handle(first.path), first.tensor.start, output.handle, start, end - start, on_copied
            )
        except EOFError:
            raise DoctorError(f"{printable(str(first.path))} became shorter while it was read") from None

    def _compute(self, task: _WriteJob, arithmetic: Arithmetic) -> None:
        slot, output = task.slots[0], task.output
        activity, at = f"writing {output.path.name}", slot.start

        def acquire_buffer(count: int) -> bytearray:
            return self._writer.acquire_buffer(count, lambda: self._on_progress(activity))

        for block in arithmetic.blocks(slot.plan, self._source, self._retention, acquire_buffer):
            if not block.finite:
                raise _nonfinite(slot.plan)
            self._writer.submit(output, block.memory, block.nbytes, at)
            at += block.nbytes
            self._on_progress(activity, block.nbytes)


def _runs(slots: tuple[Slot, ...]) -> list[list[Slot]]:
    """Return the slots in groups: unchanged tensors that are consecutive in both files are copied in one go."""
    groups: list[list[Slot]] = []
    for slot in slots:
        last = groups[-1][-1] if groups else None
        if last is not None and last.plan.untouched and slot.plan.untouched and _follows(last.plan, slot.plan):
            groups[-1].append(slot)
        else:
            groups.append([slot])
    return groups


def _follows(one: TensorPlan, other: TensorPlan) -> bool:
    return one.source.path == other.source.path and one.source.tensor.end == other.source.tensor.start


def _nonfinite(plan: TensorPlan) -> MergeRefused:
    return MergeRefused(
        "merge-nonfinite",
        f"{printable(plan.name)} would contain NaN or infinite numbers; nothing was changed",
        "Check base and adapter with --level integrity. If both are fine, merge with --dtype bfloat16 or float32.",
    )
