"""Weight files: there, whole, and what they are said to be. Headers only, nothing is loaded or unpickled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.bases import SIMILAR
from sage_doctor.findings.candidates import as_candidates
from sage_doctor.findings.hub import is_snapshot, snapshot_without_weights
from sage_doctor.findings.repairability import INDEX, why_not_index, why_not_quarantine
from sage_doctor.findings.restore import bring_back, merge_commands, with_repair
from sage_doctor.findings.weights import broken_header
from sage_doctor.readers.safetensors_header import read_stand_in
from sage_doctor.subjects.model import Model
from sage_doctor.text import format_bytes, join_limited, printable, shell_quote

ORDER = 70  # of the check files: causes before consequences

FULL = ("full", "merged")
LOCATED = ("check_path", "check_hub", "check_hub_blobs")


@check("static", after=LOCATED, kinds=FULL)
def check_weights_present(model: Model) -> Iterator[Finding]:
    """There are weights where `from_pretrained` looks for them."""
    weights = model.weights
    if weights.form != "none":
        return
    for name, node in weights.blocked_names:
        code = "path-dangling-symlink" if node.kind in ("dangling", "loop") else "weights-unreadable"
        what = node.detail or f"a {node.kind}"
        yield finding(
            code,
            f"{name} is {printable(what)}, so a loader finds no weights",
            evidence={"file": name},
            fix=Fix(
                summary="Replace it with the real file.",
                commands=(f"ls -l {shell_quote(model.path / name)}",),
            ),
        )
        return
    if weights.explicit is not None:
        yield finding(
            "weights-missing",
            f"config.json names {printable(weights.explicit)} as the weights (transformers_weights), which does not "
            "exist",
            evidence={"file": weights.explicit},
            fix=bring_back(model, [weights.explicit]),
        )
    elif weights.shards:
        yield finding(
            "shard-index-missing",
            f"{len(weights.shards)} shard(s), but no model.safetensors.index.json",
            evidence={"shards": list(weights.shards[:50])},
            fix=_index_back(model, "model.safetensors.index.json"),
        )
    elif is_snapshot(model.path):
        yield snapshot_without_weights(model)
    else:
        yield _none_at_all(model)


def _index_back(model: Model, name: str) -> Fix:
    """Return the fix for a shard index: rebuilt from the shards if they are complete, else copied."""
    fix = bring_back(model, [name])
    if name != INDEX or why_not_index(model):
        return fix
    made = Fix(summary="The shards are complete: rebuild the index from their headers.", commands=fix.commands[1:])
    return with_repair(made, model, "rebuild-index")


def _none_at_all(model: Model) -> Finding:
    present = sorted(n for n in model.tree.names if n.endswith((".json", ".model", ".jinja", ".txt")))
    others = list(model.weights.others)
    text = "no weights: no model.safetensors, no shards, no .bin file"
    if "config.json" not in model.tree.names:
        text += ", no config.json"
    if others:
        text += f"; a loader ignores {join_limited(others)}"
    elif present:
        text += f" (only {join_limited(present, most=4)})"
    fix = bring_back(model, ["model.safetensors"])
    candidates = as_candidates(c for c in model.candidates(model.path.name) if c.rank <= SIMILAR)
    if merge_commands(model):
        summary = "Merge it from its base and adapter, or copy the weights from a machine that has them."
    elif model.spec is not None and model.spec.merge is not None:
        summary = fix.summary
    else:
        summary = "Copy the weights from a machine that has them, or download them again."
        if candidates:
            summary += f" A complete model of a similar name is here: {printable(candidates[0]['path'])}."
    return finding(
        "weights-missing",
        text,
        evidence={
            "path": str(model.path),
            "present": present[:50],
            "not_loaded": others[:50],
            "candidates": candidates,
        },
        fix=dataclasses.replace(fix, summary=summary),
    )


@check("static", after=(*LOCATED, "check_weights_present"), kinds=FULL)
def check_shard_index(model: Model) -> Iterator[Finding]:
    """The shard index can be used and leads to files in this directory."""
    index = model.weights.index
    if index is None:
        raise NotApplicable("the weights are not sharded")
    if index.escaping:
        yield finding(
            "shard-path-escape",
            f"{index.name} names {printable(index.escaping[0], limit=120)}, which is outside the model directory",
            evidence={"file": index.name, "escaping": list(index.escaping[:20])},
            fix=Fix(
                summary="Do not load this model. Fetch it again from a source you trust.",
            ),
        )
    elif index.problem:
        where = f"{index.name}:{index.line}" if index.line else index.name
        yield finding(
            "shard-index-invalid",
            f"{where}: {printable(index.problem)}",
            evidence={"file": index.name, "line": index.line},
            fix=_index_back(model, index.name),
        )
    elif not index.has_metadata:
        yield finding(
            "shard-index-invalid",
            f"{index.name} has no metadata object",
            evidence={"file": index.name},
            fix=_index_back(model, index.name),
        )


@check("static", after=(*LOCATED, "check_weights_present", "check_shard_index"), kinds=FULL)
def check_shards_present(model: Model) -> Iterator[Finding]:
    """Every shard that the index names is there."""
    if model.weights.index is None:
        raise NotApplicable("the weights are not sharded")
    missing = [f for f in model.weights.files if f.node.kind != "file"]
    if missing:
        names = [f.name for f in missing]
        have = [f for f in model.weights.files if f.node.kind == "file"]
        size = f"; the others are {format_bytes(sum(f.node.size for f in have) / len(have))} each" if have else ""
        yield finding(
            "shard-missing",
            f"{len(missing)} of {len(model.weights.files)} shards {'is' if len(missing) == 1 else 'are'} missing: "
            f"{join_limited(names)}{size}",
            evidence={"missing": names[:200], "present": [f.name for f in have][:200]},
            fix=bring_back(model, names),
        )


@check(
    "static",
    after=(*LOCATED, "check_weights_present", "check_shard_index", "check_shards_present", "check_weights_readable"),
    kinds=FULL,
)
def check_weights_whole(model: Model) -> Iterator[Finding]:
    """Every weight file is a whole safetensors file."""
    if model.weights.form in ("pickle", "pickle-sharded"):
        hollow = [(f.name, read_stand_in(model.path / f.name)) for f in model.weights.files]
        hollow = [(name, header) for name, header in hollow if header.problem is not None]
        if hollow:
            yield broken_header(model, hollow)
        return
    broken = [(f.name, f.header) for f in model.weights.files if f.header is not None and f.header.problem is not None]
    if broken:
        yield broken_header(model, broken)


@check(
    "static",
    after=(*LOCATED, "check_weights_present", "check_shard_index", "check_shards_present", "check_weights_whole"),
    kinds=FULL,
)
def check_shard_index_matches(model: Model) -> Iterator[Finding]:
    """The shard index and the shards' headers name the same tensors."""
    index = model.weights.index
    if index is None or model.weights.form != "sharded":
        raise NotApplicable("the weights are not sharded safetensors")
    held = {(t, f.name) for f in model.weights.files if f.header is not None for t in f.header.tensors}
    named = set(index.weight_map.items())
    only_named = sorted(t for t, _ in named - held)
    only_held = sorted(t for t, _ in held - named)
    if only_named or only_held:
        parts = []
        if only_named:
            parts.append(
                f"{len(only_named)} tensor(s) are not in the shard it names ({join_limited(only_named, most=2)})"
            )
        if only_held:
            parts.append(f"{len(only_held)} tensor(s) in the shards are not in it ({join_limited(only_held, most=2)})")
        yield finding(
            "shard-index-mismatch",
            f"{index.name} does not match the shards: {'; '.join(parts)}",
            evidence={"only_in_index": only_named[:50], "only_in_shards": only_held[:50]},
            fix=_index_back(model, index.name),
        )


@check("static", after=(*LOCATED, "check_weights_present", "check_shard_index"), kinds=FULL)
def check_weights_unambiguous(model: Model) -> Iterator[Finding]:
    """There is one set of weights, so that a loader cannot take a stale one."""
    weights = model.weights
    if "model.safetensors" in weights.present and "model.safetensors.index.json" in weights.present:
        shards = read_shards(model)
        stale = model.path / "model.safetensors"
        fix = Fix(
            summary="Find out which set is right, and move the other one away.",
            commands=(
                f"ls -l --time-style=full-iso {shell_quote(model.path)}",
                f"mv -n {shell_quote(stale)} {shell_quote(str(stale) + '.aside')}",
            ),
        )
        yield finding(
            "weights-ambiguous",
            "model.safetensors and a sharded set both exist; a loader takes model.safetensors",
            evidence={"taken": "model.safetensors", "ignored": shards},
            fix=fix if why_not_quarantine(model) else with_repair(fix, model, "quarantine-weights"),
        )


def read_shards(model: Model) -> list[str]:
    """Return the names of a sharded set that a loader ignores."""
    return ["model.safetensors.index.json", *model.weights.shards][:50]


@check("static", after=(*LOCATED, "check_weights_present", "check_shards_present", "check_weights_whole"), kinds=FULL)
def check_weights_not_pickled(model: Model) -> Iterator[Finding]:
    """The weights are safetensors, not pickles that run code when they are loaded."""
    if model.weights.form in ("pickle", "pickle-sharded"):
        yield finding(
            "weights-pickle-only",
            f"the only weights are pickles: {join_limited([f.name for f in model.weights.files])}",
            evidence={"files": [f.name for f in model.weights.files][:50]},
            fix=Fix(
                summary="If the model's source offers safetensors, fetch those. Otherwise convert the file with torch "
                "2.10 or newer, if you trust its origin.",
            ),
        )
