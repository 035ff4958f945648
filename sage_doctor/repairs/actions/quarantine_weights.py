"""Renames a stale `model.safetensors` that a loader would take instead of the shards."""

from __future__ import annotations

import os

from sage_doctor.findings.repairability import INDEX, SINGLE, why_not_quarantine
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair
from sage_doctor.system.file_steps import rename
from sage_doctor.system.seen import see
from sage_doctor.text import format_bytes, shell_quote


@repair(name="quarantine-weights", codes=["weights-ambiguous"])
def plan_quarantine_weights(context: RepairContext) -> Plan:
    """Renames a stale model.safetensors, so that a load takes the complete sharded set."""
    model = context.model
    path = model.path / SINGLE
    there = see(path)
    others = tuple(see(model.path / name) for name in (INDEX, *model.weights.shards))
    reason = why_not_quarantine(model)
    if reason:
        raise RepairRefused(f"{reason}. Find out which set is right and rename the other one by hand.")
    other = path.with_name(f"{SINGLE}.aside")
    if os.path.lexists(other):
        raise RepairRefused(f"{other} exists already. Move it away first.")
    size = os.stat(path).st_size
    return Plan(
        action=f"rename {SINGLE} ({format_bytes(size)}, older than every shard, or broken) to {other.name}",
        reads=(f"{model.path}: the headers of {len(model.weights.shards)} shards",),
        writes=(str(other),),
        unchanged="the shards, their index, and the content of the renamed file",
        undo_commands=(f"mv -n {shell_quote(other)} {shell_quote(path)}",),
        seen=others,
        apply=lambda _on_progress: rename(path, other, seen=there),
    )
