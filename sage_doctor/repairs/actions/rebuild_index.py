"""Rebuilds a shard index that is missing, broken or wrong, from the shards' headers."""

from __future__ import annotations

import json
import os

from sage_doctor.facts.weights import whole_set
from sage_doctor.findings.repairability import INDEX, shard_headers, why_not_index
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.safetensors_header import Header
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair
from sage_doctor.system.file_steps import backup_name, undo_write, write_file
from sage_doctor.system.seen import see

RECOMPUTED = ("total_size", "total_parameters")


@repair(
    name="rebuild-index",
    codes=["shard-index-missing", "shard-index-invalid", "shard-index-mismatch"],
    after=["quarantine-weights"],
)
def plan_rebuild_index(context: RepairContext) -> Plan:
    """Rebuilds the shard index from the headers of a complete set of shards."""
    model = context.model
    path = model.path / INDEX
    there = see(path)
    shards = tuple(see(model.path / name) for name in whole_set(model.weights.shards))
    reason = why_not_index(model)
    if reason:
        raise RepairRefused(f"{reason}. Restore the missing or broken files first.")
    headers = shard_headers(model)
    old = (read_json_object(path).value or {}).get("metadata")
    data = index_text(headers, old if isinstance(old, dict) else {}).encode("ascii")
    backup = backup_name(path) if os.path.lexists(path) else None
    tensors = sum(len(h.tensors) for h in headers.values())
    return Plan(
        action=f"write the index of {tensors} tensors in {len(headers)} shards, from the shards' headers",
        reads=(f"{model.path}: the headers of {len(headers)} shards",),
        writes=(str(path), *([f"{backup} (the old index)"] if backup is not None else [])),
        write_bytes=len(data),
        unchanged="the shards",
        undo_commands=(undo_write(path, backup),),
        seen=shards,
        apply=lambda _on_progress: write_file(path, data, backup=backup, seen=there),
    )


def index_text(headers: dict[str, Header], metadata: dict[str, object]) -> str:
    """Return an index in the form in which transformers writes it; `total_size` is the bytes of all tensors."""
    total = sum(t.end - t.start for h in headers.values() for t in h.tensors.values())
    kept = {k: v for k, v in metadata.items() if k not in RECOMPUTED}
    where = {name: file for file, h in headers.items() for name in h.tensors}
    return json.dumps({"metadata": {**kept, "total_size": total}, "weight_map": where}, indent=2, sort_keys=True) + "\n"
