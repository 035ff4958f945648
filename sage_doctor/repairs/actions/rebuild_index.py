"""A shard index that is missing, broken, or does not fit the shards: made again from the shards' headers."""

from __future__ import annotations

import json
import os

from sage_doctor.findings.repairability import INDEX, shard_headers, why_not_index
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.safetensors_header import Header
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair
from sage_doctor.system.file_steps import backup_name, write_file

COUNTED_ANEW = ("total_size", "total_parameters")


@repair(
    name="rebuild-index",
    codes=["shard-index-missing", "shard-index-invalid", "shard-index-mismatch"],
    after=["put-aside"],
)
def plan_rebuild_index(situation: RepairContext) -> Plan:
    """Makes the shard index again from the headers of a complete set of shards."""
    finding, model = situation.finding, situation.model
    obstacle = why_not_index(model)
    if obstacle:
        raise RepairRefused(f"{obstacle}. Bring the missing or broken files back first.")
    path = model.path / INDEX
    headers = shard_headers(model)
    old = (read_json_object(path).value or {}).get("metadata")
    data = index_text(headers, old if isinstance(old, dict) else {}).encode("ascii")
    backup = backup_name(path) if os.path.lexists(path) else None
    tensors = sum(len(h.tensors) for h in headers.values())
    return Plan(
        repair="rebuild-index",
        subject=finding.subject,
        code=finding.code,
        does=f"writes the index of {tensors} tensors in {len(headers)} shards, as the shards' headers say",
        reads=(f"{model.path}: the headers of {len(headers)} shards",),
        writes=(str(path), *([f"{backup}: what was there before"] if backup is not None else [])),
        write_bytes=len(data),
        leaves="the shards",
        undo=f"mv {backup} {path}" if backup is not None else f"rm {path}",
        apply=lambda _on_progress: write_file(path, data, backup=backup),
    )


def index_text(headers: dict[str, Header], metadata: dict[str, object]) -> str:
    """Return an index in the form in which transformers writes it; `total_size` is the bytes of all tensors."""
    total = sum(t.end - t.start for h in headers.values() for t in h.tensors.values())
    kept = {k: v for k, v in metadata.items() if k not in COUNTED_ANEW}
    where = {name: file for file, h in headers.items() for name in h.tensors}
    return json.dumps({"metadata": {**kept, "total_size": total}, "weight_map": where}, indent=2, sort_keys=True) + "\n"
