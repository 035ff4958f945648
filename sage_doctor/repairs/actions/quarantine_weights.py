"""Two sets of weights in one directory, of which a load takes the stale one."""

from __future__ import annotations

import os

from sage_doctor.findings.repairability import SINGLE, why_not_quarantine
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair
from sage_doctor.system.file_steps import rename
from sage_doctor.text import format_bytes


@repair(name="put-aside", codes=["weights-ambiguous"])
def plan_put_aside(situation: RepairContext) -> Plan:
    """Puts a stale model.safetensors aside, so that a load takes the complete sharded set."""
    finding, model = situation.finding, situation.model
    obstacle = why_not_quarantine(model)
    if obstacle:
        raise RepairRefused(f"{obstacle}. Find out which set is right, and put the other one aside by hand.")
    path = model.path / SINGLE
    other = path.with_name(f"{SINGLE}.aside")
    if os.path.lexists(other):
        raise RepairRefused(f"{other} is there already. Look at it, and move it away first.")
    size = os.stat(path).st_size
    return Plan(
        repair="put-aside",
        subject=finding.subject,
        code=finding.code,
        does=f"renames {SINGLE} ({format_bytes(size)}, older than every shard, or broken) to {other.name}",
        reads=(f"{model.path}: the headers of {len(model.weights.shards)} shards",),
        writes=(str(other),),
        leaves="the shards, their index, and every byte of the file that is renamed",
        undo=f"mv {other} {path}",
        apply=lambda _on_progress: rename(path, other),
    )
