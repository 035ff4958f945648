"""The layout of the merged weight files: the position of each tensor, and the headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sage_doctor.merge.base import BaseModel
from sage_doctor.merge.edits import TensorPlan
from sage_doctor.merge.refusal import refused
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.safetensors_header import Header
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, read_range, read_start
from sage_doctor.text import printable

_ALIGNMENT = 8  # the library pads its headers to it


@frozen
class Slot:
    """One tensor's place in a file that is to be written: bytes from the start of the file."""

    plan: TensorPlan
    start: int
    end: int


@frozen
class WeightsOut:
    """One weight file to be written. `head` are its first bytes: length and header. `mode` is the source's."""

    name: str
    head: bytes
    slots: tuple[Slot, ...]
    mode: int

    @property
    def nbytes(self) -> int:
        """The size of the file."""
        return self.slots[-1].end if self.slots else len(self.head)


def lay_out(base: BaseModel, plans: Mapping[str, TensorPlan]) -> tuple[WeightsOut, ...]:
    """Return the files to be written: the base's, with new tensors at the end of the last one."""
    new = [p for n, p in plans.items() if n not in base.tensors]
    files = []
    for number, file in enumerate(base.weights.files):
        assert file.header is not None  # `read_base` refused it otherwise
        here = [(n, p) for n, p in base.tensors.items() if p.path == base.path / file.name]
        wanted = [plans[name] for name, _ in sorted(here, key=lambda found: found[1].tensor.start)]
        stored = file.header.tensors
        same = len(wanted) == len(stored) and all(
            p.name in stored and (p.dtype, p.shape) == (stored[p.name].dtype, stored[p.name].shape) for p in wanted
        )
        added = new if number == len(base.weights.files) - 1 else []
        head = _own_head(file.header) if same and not added else _head([*wanted, *added], file.header.metadata or {})
        at = len(head)
        slots = []
        for plan in [*wanted, *added]:
            slots.append(Slot(plan=plan, start=at, end=at + plan.nbytes))
            at += plan.nbytes
        files.append(WeightsOut(name=file.name, head=head, slots=tuple(slots), mode=file.node.mode & 0o777))
    return tuple(files)


def _own_head(header: Header) -> bytes:
    """Return the source's own first bytes, which stay true where neither dtypes nor shapes change."""
    try:
        length = int.from_bytes(read_start(header.path, 8), "little")
        return read_range(header.path, 0, 8 + length)
    except UnreadableFile as error:
        raise refused(f"{printable(header.path)}: {error}", "Examine the base.") from error


def _head(plans: list[TensorPlan], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for plan in plans:
        entries[plan.name] = {
            "dtype": plan.dtype,
            "shape": list(plan.shape),
            "data_offsets": [at, at + plan.nbytes],
        }
        at += plan.nbytes
    raw = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    raw += b" " * (-len(raw) % _ALIGNMENT)
    return len(raw).to_bytes(8, "little") + raw


def index_text(base: BaseModel, files: tuple[WeightsOut, ...]) -> str | None:
    """Return the shard index, its sizes counted anew; None where there is one file only."""
    if base.weights.index is None or base.weights.entry is None:
        return None
    old = read_json_object(base.path / base.weights.entry).value or {}
    metadata = old.get("metadata")
    total = sum(s.plan.nbytes for f in files for s in f.slots)
    kept = {k: v for k, v in (metadata if isinstance(metadata, dict) else {}).items() if k != "total_parameters"}
    where = {s.plan.name: f.name for f in files for s in f.slots}
    return json.dumps({"metadata": {**kept, "total_size": total}, "weight_map": where}, indent=2, sort_keys=True) + "\n"
