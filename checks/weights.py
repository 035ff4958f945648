"""Weight files: there, whole, and what they are said to be. Headers only, nothing is loaded or unpickled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.bases import SIMILAR
from sage_doctor.findings.access import unreadable
from sage_doctor.findings.adapter_directories import other_layout
from sage_doctor.findings.candidates import as_candidates
from sage_doctor.findings.fetching import copy_from_elsewhere
from sage_doctor.findings.hub import cache_folder, is_cache_folder, snapshot_without_weights
from sage_doctor.findings.misnamed import misnamed, rename_commands
from sage_doctor.findings.nearby import weights_nearby, with_nearby
from sage_doctor.findings.repairability import INDEX, set_without_index
from sage_doctor.findings.restore import bring_back, broken_header, merge_commands
from sage_doctor.findings.shards import index_back, orphaned_index, two_sets
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.repo_id import is_snapshot
from sage_doctor.readers.safetensors_header import read_stand_in
from sage_doctor.readers.tree import names_modules
from sage_doctor.subjects.model import Model
from sage_doctor.text import format_bytes, join_limited, printable

ORDER = 70  # of the check files: causes before consequences

FULL = ("full", "merged")
LOCATED = ("check_path", "check_hub", "check_hub_blobs")


@check("static", after=LOCATED, kinds=FULL)
def check_weights_present(model: Model) -> Iterator[Finding]:
    """There are weights where `from_pretrained` looks for them."""
    weights = model.weights
    if weights.form != "none":
        return
    if names_modules(model.tree):
        raise NotApplicable("modules.json names the directories below that hold the weights")
    for name, node in weights.blocked_names:
        code = "path-dangling-symlink" if node.kind in ("dangling", "loop") else "weights-unreadable"
        what = node.detail or f"a {node.kind}"
        broken = unreadable(model.host, model.path / name) if node.kind == "unreadable" else None
        yield broken or finding(
            code,
            f"{name} is {printable(what)}, so a loader finds no weights",
            evidence={"file": name},
            fix=Fix(summary="Replace it with the real file."),
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
            fix=index_back(model, "model.safetensors.index.json"),
        )
    elif is_snapshot(model.path):
        yield snapshot_without_weights(model)
    elif is_cache_folder(model.tree):
        yield cache_folder(model)
    elif (layout := model.adapter_layout) is not None:
        yield other_layout(model, layout, "weights-missing")
    else:
        yield _none_at_all(model)


def _none_at_all(model: Model) -> Finding:
    present = sorted(n for n in model.tree.names if n.endswith((".json", ".model", ".jinja", ".txt")))
    misnamed_files = list(misnamed(model.tree, ("model.safetensors", "pytorch_model.bin")))
    nearby = None if misnamed_files else weights_nearby(model)
    if nearby is not None and nearby.reader:
        files = f": {join_limited(list(nearby.files), most=3)}" if nearby.files else ""
        return finding(
            "weights-missing",
            f"no weights of transformers, but a model for {nearby.reader}{files}; nothing else was examined",
            evidence={"path": str(model.path), "not_loaded": list(nearby.files[:50])},
            fix=with_nearby(Fix(summary=""), nearby),
        )
    text = "no weights: no model.safetensors, no shards, no .bin file"
    if "config.json" not in model.tree.names:
        text += ", no config.json"
    if nearby is not None:
        text += f"; a loader ignores {nearby.what}"
    elif present:
        text += f" (only {join_limited(present, most=4)})"
    fix = bring_back(model, ["model.safetensors"])
    candidates = as_candidates(c for c in model.candidates(model.path.name) if c.rank <= SIMILAR)
    if merge_commands(model):
        summary = "Merge it from its base and adapter, or copy the weights from a machine that has them."
    elif model.spec is not None and model.spec.merge is not None:
        summary = fix.summary
    else:
        elsewhere = copy_from_elsewhere(model, ()) is not None
        summary = fix.summary if elsewhere else "Copy the weights from a machine that has them, or download them again."
        if candidates:
            summary += f" A complete model of a similar name is here: {printable(candidates[0]['path'])}."
    fix = dataclasses.replace(fix, summary=summary)
    if misnamed_files:
        old, new = misnamed_files[0]
        renames = rename_commands(model.tree, misnamed_files[:1])
        fix = Fix(summary=f"Rename {printable(old)} to {new}: a loader looks for that name.", commands=renames)
    return finding(
        "weights-missing",
        text,
        evidence={
            "path": str(model.path),
            "present": present[:50],
            "not_loaded": list(nearby.files[:50]) if nearby is not None else [],
            "candidates": candidates,
        },
        fix=with_nearby(fix, nearby),
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
            fix=index_back(model, index.name),
        )
    elif not index.has_metadata:
        yield finding(
            "shard-index-invalid",
            f"{index.name} has no metadata object",
            evidence={"file": index.name},
            fix=index_back(model, index.name),
        )
    elif (whole := orphaned_index(model)) is not None:
        yield whole


@check("static", after=(*LOCATED, "check_weights_present", "check_shard_index"), kinds=FULL)
def check_shards_present(model: Model) -> Iterator[Finding]:
    """Every shard that the index names is there."""
    if model.weights.index is None:
        raise NotApplicable("the weights are not sharded")
    missing = [f for f in model.weights.files if f.node.kind != "file"]
    if missing:
        names = [f.name for f in missing]
        have = [f for f in model.weights.files if f.node.kind == "file"]
        whole = set_without_index(model)
        fix = bring_back(model, names)
        found = list(misnamed(model.tree, names))
        if len(found) == len(names):
            fix = Fix(
                summary=f"Rename {join_limited([printable(old) for old, _ in found], most=2)}: a loader looks for the "
                "names in the index.",
                commands=rename_commands(model.tree, found),
            )
        elif whole is not None:
            other = (
                f"{fix.summary} Other weights here are whole ({join_limited(whole, most=2)}): a loader takes them if"
            )
            fix = dataclasses.replace(fix, summary=f"{other} {model.weights.index.name} is moved away.")
        size = f"; the others are {format_bytes(sum(f.node.size for f in have) / len(have))} each" if have else ""
        yield finding(
            "shard-missing",
            f"{len(missing)} of {len(model.weights.files)} shards {'is' if len(missing) == 1 else 'are'} missing: "
            f"{join_limited(names)}{size}",
            evidence={"missing": names[:200], "present": [f.name for f in have][:200]},
            fix=fix,
        )


@check(
    "static",
    after=(*LOCATED, "check_weights_present", "check_shard_index", "check_shards_present", "check_weights_readable"),
    kinds=FULL,
)
def check_weights_whole(model: Model) -> Iterator[Finding]:
    """Every weight file is a whole safetensors file."""
    unfinished = [f.name for f in model.weights.files if f"{f.name}.aria2" in model.tree.names]
    if unfinished:
        yield finding(
            "weights-truncated",
            f"{join_limited([printable(n) for n in unfinished])}: aria2 has not finished the download (its .aria2 file "
            "is beside it); the file has its size already, and zeros for what has not arrived",
            evidence={"files": unfinished[:50]},
            fix=Fix(summary="Run the same aria2c command (hfd.sh) again: it goes on where it stopped."),
        )
        return
    if model.weights.form in ("pickle", "pickle-sharded"):
        hollow = [(f.name, read_stand_in(model.path / f.name)) for f in model.weights.files]
        hollow = [(name, header) for name, header in hollow if header.problem is not None]
        if hollow:
            yield broken_header(model, hollow)
        return
    broken = [(f.name, f.header) for f in model.weights.files if f.header is not None and f.header.problem is not None]
    if broken:
        yield broken_header(model, broken)
    elif model.weights.form in ("single", "sharded") and not model.tensors:
        names = [f.name for f in model.weights.files]
        yield finding(
            "weights-empty",
            f"{join_limited(names, most=2)}: a whole safetensors file without any tensor, as a process writes that "
            "holds none of the weights (DeepSpeed ZeRO-3, FSDP); a load fills the model with random numbers",
            evidence={"files": names[:50]},
            fix=bring_back(model, names),
        )


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
            fix=index_back(model, index.name),
        )


@check("static", after=(*LOCATED, "check_weights_present", "check_shard_index", "check_weights_whole"), kinds=FULL)
def check_weights_unambiguous(model: Model) -> Iterator[Finding]:
    """There is one set of weights, so that a loader cannot take a stale one."""
    weights = model.weights
    if not {"model.safetensors", INDEX} <= set(weights.present):
        return
    named = (read_json_object(model.path / INDEX).value or {}).get("weight_map")
    if isinstance(named, dict) and set(map(str, named.values())) == {"model.safetensors"}:
        return  # MLX writes an index of the one file as well
    yield two_sets(model)


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
