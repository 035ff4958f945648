"""Looking at what was written before it becomes the target: headers, copied bytes, and sums done once more."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.merge.deltas import Arithmetic
from sage_doctor.merge.layout import Slot, WeightsOut
from sage_doctor.merge.plan import MergePlan
from sage_doctor.merge.streams import Source
from sage_doctor.readers.safetensors_header import read_header
from sage_doctor.system.path_info import PathInfo, inspect_path, read_range
from sage_doctor.text import join_limited, printable

_SAMPLE_BYTES = 1 << 14
_MOST_SUMS = 24  # tensors of which one block is computed a second time


def verify(plan: MergePlan, directory: Path, source: Source, sums: Arithmetic | None) -> None:
    """Raise `DoctorError` where a file in `directory` is not what the plan says."""
    computed = [(f, s) for f in plan.weights for s in f.slots if not s.piece.untouched]
    step = max(1, len(computed) // _MOST_SUMS)
    for file in plan.weights:
        _header(file, directory)
        for slot in file.slots:
            if slot.piece.untouched:
                _copied(file, slot, directory, source)
    if sums is not None:
        for number, (file, slot) in enumerate(computed[::step]):
            _computed(file, slot, directory, source, sums, number)
    names = {f.name for f in plan.weights} | {c.name for c in plan.companions} | set(plan.texts)
    lacking = sorted(n for n in names if inspect_path(directory / n).kind != "file")
    if lacking:
        raise _wrong(directory, f"it lacks {join_limited(lacking)}")


def _header(file: WeightsOut, directory: Path) -> None:
    header = read_header(directory / file.name)
    if header.problem is not None:
        raise _wrong(directory, f"{file.name}: {header.problem.message}")
    for slot in file.slots:
        tensor = header.tensors.get(slot.piece.name)
        wanted = (slot.piece.dtype, slot.piece.shape, slot.start, slot.end)
        if tensor is None or (tensor.dtype, tensor.shape, tensor.start, tensor.end) != wanted:
            raise _wrong(directory, f"{file.name} does not hold {slot.piece.name} as planned")


def _copied(file: WeightsOut, slot: Slot, directory: Path, source: Source) -> None:
    """Compare the first and the last bytes of a copied tensor."""
    count = min(_SAMPLE_BYTES, slot.end - slot.start)
    for at in {0, slot.end - slot.start - count}:
        if read_range(directory / file.name, slot.start + at, count) != source.read(slot.piece.source, at, count):
            raise _wrong(directory, f"{slot.piece.name} was not copied as it is")


def _computed(file: WeightsOut, slot: Slot, directory: Path, source: Source, sums: Arithmetic, number: int) -> None:
    block = sums.one_block(slot.piece, source, number)
    if block is None:
        return
    raw = block.memory[: block.nbytes]
    width = (slot.end - slot.start) // slot.piece.height if slot.piece.height else slot.end - slot.start
    if read_range(directory / file.name, slot.start + block.start * width, len(raw)) != raw:
        raise _wrong(directory, f"{slot.piece.name} was not written as it was computed")


def _wrong(directory: Path, what: str) -> DoctorError:
    return DoctorError(
        f"the merged model in {printable(str(directory.parent))} was not written as planned: {printable(what)}; "
        "the old state is untouched. Look at the disk (dmesg, SMART), then merge again."
    )


def changed_inputs(inputs: Mapping[Path, PathInfo]) -> list[str]:
    """Return the names of the inputs that are not what they were when the plan was made."""
    return [os.fspath(path) for path, before in inputs.items() if inspect_path(path) != before]


def require_unchanged(plan: MergePlan) -> None:
    """Raise `DoctorError` where base or adapter changed since the plan was made."""
    changed = changed_inputs(plan.inputs)
    if changed:
        raise DoctorError(
            f"{join_limited(changed, most=2)} changed while the merge was under way; nothing was replaced. "
            "Wait until what writes there has ended, and merge again."
        )
