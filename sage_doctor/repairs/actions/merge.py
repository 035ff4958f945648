"""Merges a model with missing or broken weights again from its base and adapter, by its recipe in the manifest."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from sage_doctor.merge import MergePlan, Step, apply, plan_merge
from sage_doctor.merge.staging import UNFINISHED, atomic_swap
from sage_doctor.merge.verify import require_unchanged
from sage_doctor.repairs.repair import OnProgress, Plan, RepairContext, RepairRefused, repair
from sage_doctor.subjects.recipe import recipe_places
from sage_doctor.system.atomic_write import sync_directory
from sage_doctor.system.file_steps import Applied
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import format_bytes

CODES = (
    "path-missing",
    "weights-missing",
    "weights-truncated",
    "weights-oversized",
    "weights-empty",
    "weights-lfs-pointer",
    "weights-not-safetensors",
    "weights-header-invalid",
    "weights-shape-mismatch",
    "weights-unreadable",
    "weights-hash-mismatch",
    "weights-nonfinite",
    "weights-all-zero",
    "shard-missing",
    "shard-index-missing",
    "shard-index-invalid",
    "shard-index-mismatch",
    "load-keys-mismatched",
    "params-not-materialised",
)


@repair(
    name="merge",
    codes=CODES,
    after=["set-base", "download", "write-ref", "lfs-pull", "fix-modes", "quarantine-weights"],
)
def plan_merge_again(context: RepairContext) -> Plan:
    """Merges a model again from its base and adapter, by the recipe in the manifest."""
    finding, model = context.finding, context.model
    places = recipe_places(model)
    recipe = model.spec.merge if model.spec is not None else None
    if places is None or recipe is None:
        raise RepairRefused(
            "the manifest has no merge recipe for it whose base and adapter are here. "
            "Add merge = { base = …, adapter = … } to its table, or copy the weights from another machine."
        )
    base, adapter = places
    merge = plan_merge(adapter, model.path, base=base)
    kept = merge.target.parent / f".{merge.target.name}.sage-fix-{os.getpid()}-{os.urandom(3).hex()}"
    cache = model.host.cache_dir / "hashes.json"
    return Plan(
        repair="merge",
        subject=finding.subject,
        code=finding.code,
        action=f"merge {recipe.adapter} into {recipe.base}, tensor by tensor, and replace the directory in one step",
        reads=(f"{base} (the base)", f"{adapter} (the adapter)"),
        read_bytes=sum(n.size for n in merge.inputs.values()),
        writes=(str(merge.target), *_companions(merge)),
        write_bytes=merge.nbytes,
        disk_bytes=merge.needs.disk_bytes,
        memory_bytes=merge.needs.memory_bytes,
        seconds=merge.needs.seconds,
        unchanged="base and adapter",
        undo="the old directory is kept until the new one is verified, then deleted",
        kept=str(kept) if merge.replaces else None,
        apply=lambda on_progress: _apply(merge, kept, cache, on_progress),
    )


def _companions(merge: MergePlan) -> list[str]:
    names = sorted([*merge.texts, *(c.name for c in merge.companions)])
    return (
        [f"  {len(merge.weights)} weight file{'' if len(merge.weights) == 1 else 's'}, {', '.join(names)}"]
        if names
        else []
    )


def _apply(merge: MergePlan, kept: Path, cache: Path, on_progress: OnProgress) -> Applied:
    before = inspect_path(merge.target).inode
    if merge.replaces:
        require_unchanged(merge)
        _keep(merge.target, kept)
        # A second name changes the inode, which may be an input's as well where somebody copied with links.
        merge = replace(merge, inputs={path: inspect_path(path) for path in merge.inputs})

    def report(step: Step) -> None:
        share = step.done / step.total if step.total else 1.0
        on_progress(f"{share:4.0%}  {step.activity}  {format_bytes(step.done)}")

    try:
        apply(merge, progress=report, hash_cache=cache)
    except BaseException:
        if merge.replaces and inspect_path(merge.target).inode != before:  # replaced already, but not verified
            _restore(kept, merge.target)
        else:
            _drop(kept)
        raise
    if not merge.replaces:
        return Applied(rollback=lambda: shutil.rmtree(merge.target))
    return Applied(rollback=lambda: _restore(kept, merge.target), commit=lambda: _drop(kept))


def _keep(target: Path, kept: Path) -> None:
    """Keep the old directory as hard links to its files: a merge writes new files and changes none."""
    os.mkdir(kept, 0o700)
    try:
        (kept / UNFINISHED).write_text(
            "Backup of the directory beside this one, from before a merge.\n", encoding="ascii"
        )
        for name in os.listdir(target):
            if inspect_path(target / name).kind == "directory" and not (target / name).is_symlink():
                shutil.copytree(target / name, kept / name, symlinks=True)  # .cache, which is small
            else:
                os.link(target / name, kept / name, follow_symlinks=False)
        sync_directory(kept)
    except BaseException:
        _drop(kept)
        raise


def _restore(kept: Path, target: Path) -> None:
    os.chmod(kept, inspect_path(target).mode & 0o777)
    replaced = atomic_swap(kept, target)
    if replaced is not None:
        _drop(replaced)


def _drop(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path)
