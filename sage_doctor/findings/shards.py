"""Sharded weights, their index, and a second set of weights beside them: which one is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_doctor.facts.weights import read_shard_index, whole_set
from sage_doctor.findings.config_sizes import size_mismatches
from sage_doctor.findings.making import finding
from sage_doctor.findings.repairability import (
    INDEX,
    set_without_index,
    why_not_index,
    why_not_quarantine,
    why_not_shards,
)
from sage_doctor.findings.restore import bring_back, with_repair
from sage_doctor.readers.safetensors_header import read_header
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
    stale_by = _stale_by(model)
    return finding(
        "weights-ambiguous",
        "model.safetensors and a sharded set both exist; a loader takes model.safetensors"
        + (f", which is not the one of this config.json ({stale_by}); the shards are" if stale_by else ""),
        severity="error" if stale_by else None,
        evidence=evidence,
        fix=fix if why_not_quarantine(model) else with_repair(fix, model, "quarantine-weights"),
    )


def _stale_by(model: Model) -> str:
    """Return what in config.json only the shards fit, and the single file that is loaded does not; empty otherwise."""
    wrong = next(size_mismatches(model, model.tensors), None)
    if wrong is None or model.config_file.value is None:
        return ""
    headers = [read_header(model.path / n) for n in read_shard_index(model.path / INDEX).files]
    tensors = {name: tensor for h in headers for name, tensor in h.tensors.items()}
    whole = bool(headers) and all(h.problem is None for h in headers)
    return wrong[0] if whole and next(size_mismatches(model, tensors), None) is None else ""
