"""Verifying the written files before the swap: headers, copied bytes, and samples computed a second time."""

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


def verify(plan: MergePlan, directory: Path, source: Source, arithmetic: Arithmetic | None) -> None:
    """Raise `DoctorError` if a file in `directory` differs from the plan."""
    computed = [(f, s) for f in plan.weights for s in f.slots if not s.plan.untouched]
    step = max(1, len(computed) // _MOST_SUMS)
    for file in plan.weights:
        _header(file, directory)
        for slot in file.slots:
            if slot.plan.untouched:
                _copied(file, slot, directory, source)
    if arithmetic is not None:
        for number, (file, slot) in enumerate(computed[::step]):
            _computed(file, slot, directory, source, arithmetic, number)
    names = {f.name for f in plan.weights} | {c.name for c in plan.companions} | set(plan.texts)
    missing = sorted(n for n in names if inspect_path(directory / n).kind != "file")
    if missing:
        raise _mismatch(directory, f"missing: {join_limited(missing)}")


def _header(file: WeightsOut, directory: Path) -> None:
    header = read_header(directory / file.name)
    if header.problem is not None:
        raise _mismatch(directory, f"{file.name}: {header.problem.message}")
    for slot in file.slots:
        tensor = header.tensors.get(slot.plan.name)
        wanted = (slot.plan.dtype, slot.plan.shape, slot.start, slot.end)
        if tensor is None or (tensor.dtype, tensor.shape, tensor.start, tensor.end) != wanted:
            raise _mismatch(directory, f"{file.name} does not contain {slot.plan.name} as planned")


def _copied(file: WeightsOut, slot: Slot, directory: Path, source: Source) -> None:
    """Compare the first and the last bytes of a copied tensor."""
    count = min(_SAMPLE_BYTES, slot.end - slot.start)
    for at in {0, slot.end - slot.start - count}:
        if read_range(directory / file.name, slot.start + at, count) != source.read(slot.plan.source, at, count):
            raise _mismatch(directory, f"{slot.plan.name} was not copied correctly")


def _computed(
    file: WeightsOut, slot: Slot, directory: Path, source: Source, arithmetic: Arithmetic, number: int
) -> None:
    block = arithmetic.one_block(slot.plan, source, number)
    if block is None:
        return
    raw = block.memory[: block.nbytes]
    width = (slot.end - slot.start) // slot.plan.height if slot.plan.height else slot.end - slot.start
    if read_range(directory / file.name, slot.start + block.start * width, len(raw)) != raw:
        raise _mismatch(directory, f"{slot.plan.name} was not written as it was computed")


def _mismatch(directory: Path, what: str) -> DoctorError:
    return DoctorError(
        f"the merged model in {printable(str(directory.parent))} was not written as planned: {printable(what)}; "
        "nothing was replaced. Check the disk (dmesg, SMART), then merge again."
    )


def changed_inputs(inputs: Mapping[Path, PathInfo]) -> list[str]:
    """Return the names of the inputs that are not what they were when the plan was made."""
    return [os.fspath(path) for path, before in inputs.items() if inspect_path(path) != before]


def read_same(path: Path, planned: PathInfo) -> bytes:
    """Return the bytes of the file that the plan is about: not of another one that a link leads to now."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if (found.st_dev, found.st_ino) != (planned.device, planned.inode):
            raise _changed([os.fspath(path)])
        return file.read(planned.size + 1)


def require_unchanged(plan: MergePlan) -> None:
    """Raise `DoctorError` where base or adapter changed since the plan was made."""
    changed = changed_inputs(plan.inputs)
    if changed:
        raise _changed(changed)


def _changed(names: list[str]) -> DoctorError:
    return DoctorError(
        f"{join_limited(names, most=2)} changed during the merge; nothing was replaced. "
        "Wait until the program that writes there has ended, and merge again."
    )
