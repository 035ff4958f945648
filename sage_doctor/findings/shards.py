"""Sharded weights, their index, and a second set of weights beside them: which one is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_doctor.facts.weights import whole_set
from sage_doctor.findings.making import finding
from sage_doctor.findings.repairability import (
    INDEX,
    set_without_index,
    why_not_index,
    why_not_quarantine,
    why_not_shards,
)
from sage_doctor.findings.restore import bring_back, with_repair
from sage_doctor.report import Finding, Fix
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.subjects.model import Model


def index_back(model: Model, name: str) -> Fix:
    """Return the fix for a shard index: rebuilt from the shards if they are complete, else copied."""
    fix = bring_back(model, [name])
    if name != INDEX or why_not_index(model):
        return fix
    made = Fix(summary="The shards are complete: rebuild the index from their headers.", commands=fix.commands[1:])
    return with_repair(made, model, "rebuild-index")


def orphaned_index(model: Model) -> Finding | None:
    """Return the finding for an index whose shards are not here, while other weights are, and whole."""
    weights, index = model.weights, model.weights.index
    missing = [f.name for f in weights.files if f.node.kind == "missing"]
    if index is None or not missing:
        return None
    here = "none" if len(missing) == len(weights.files) else f"{len(missing)}"
    text = f"{index.name} names {len(weights.files)} shards, of which {here} " + (
        "is here" if here == "none" else "are missing"
    )
    evidence = {"file": index.name, "missing": missing[:50]}
    if why_not_index(model) == "":
        shards = list(whole_set(weights.shards))
        return finding(
            "shard-index-mismatch",
            f"{text}: it belongs to another sharding. The {len(shards)} shards here are whole "
            f"({join_limited(shards, most=2)})",
            evidence={**evidence, "present": shards[:50]},
            fix=index_back(model, index.name),
        )
    other = set_without_index(model)
    if other is None or len(missing) < len(weights.files):
        return None
    path = model.path / index.name
    return finding(
        "shard-index-mismatch",
        f"{text}, and a loader looks no further. The whole weights are {join_limited(other, most=3)}",
        evidence={**evidence, "whole": other[:50]},
        fix=Fix(
            summary=f"Move {index.name} away: a loader then takes {join_limited(other, most=2)}.",
            commands=(f"mv -n {shell_quote(path)} {shell_quote(str(path) + '.aside')}",),
        ),
    )


def two_sets(model: Model) -> Finding:
    """Return the finding for a single file of weights and a shard index beside each other."""
    shards = ["model.safetensors.index.json", *model.weights.shards][:50]
    evidence = {"taken": "model.safetensors", "ignored": shards}
    incomplete = why_not_shards(model)
    if incomplete:
        path = model.path / INDEX
        return finding(
            "weights-ambiguous",
            f"{INDEX} lies beside model.safetensors, which a loader takes; what the index names is not whole "
            f"({printable(incomplete)})",
            severity="info",
            evidence=evidence,
            fix=Fix(
                summary="Move the index away: transformers ignores it, but a program that goes by it (vLLM) finds no "
                "weights.",
                commands=(f"mv -n {shell_quote(path)} {shell_quote(str(path) + '.aside')}",),
            ),
        )
    stale = model.path / "model.safetensors"
    fix = Fix(
        summary="Find out which set is right, and move the other one away.",
        commands=(
            f"ls -l --time-style=full-iso {shell_quote(model.path)}",
            f"mv -n {shell_quote(stale)} {shell_quote(str(stale) + '.aside')}",
        ),
    )
    return finding(
        "weights-ambiguous",
        "model.safetensors and a sharded set both exist; a loader takes model.safetensors",
        evidence=evidence,
        fix=fix if why_not_quarantine(model) else with_repair(fix, model, "quarantine-weights"),
    )
