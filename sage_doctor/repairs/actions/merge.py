"""A merged model whose weights are missing or broken: merged again from its base and adapter, as its recipe says."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from sage_doctor.merge import MergePlan, Step, apply, plan_merge
from sage_doctor.merge.staging import UNFINISHED, atomic_swap
from sage_doctor.repairs.atomic_files import sync_directory
from sage_doctor.repairs.repair import Applied, Plan, RepairContext, RepairRefused, Tell, repair
from sage_doctor.subjects.recipe import recipe_places
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


@repair(name="merge", codes=CODES, after=["name-base", "download", "write-ref", "lfs-pull", "fix-modes", "put-aside"])
def plan_merge_again(situation: RepairContext) -> Plan:
    """Merges a model again from its base and adapter, as the manifest's recipe says."""
    finding, model = situation.finding, situation.model
    places = recipe_places(model)
    recipe = model.spec.merge if model.spec is not None else None
    if places is None or recipe is None:
        raise RepairRefused(
            "the manifest has no recipe for it whose base and adapter are here. "
            "Write merge = { base = …, adapter = … } into its table, or copy the weights from a machine that has them."
        )
    base, adapter = places
    merge = plan_merge(adapter, model.path, base=base)
    kept = merge.target.parent / f".{merge.target.name}.sage-fix-{os.getpid()}-{os.urandom(3).hex()}"
    cache = model.host.cache_dir / "hashes.json"
    return Plan(
        repair="merge",
        subject=finding.subject,
        code=finding.code,
        does=f"merges {recipe.adapter} into {recipe.base}, tensor by tensor, and puts the result in place in one step",
        reads=(f"{base} (the base)", f"{adapter} (the adapter)"),
        read_bytes=sum(n.size for n in merge.inputs.values()),
        writes=(str(merge.target), *_companions(merge)),
        write_bytes=merge.nbytes,
        disk_bytes=merge.needs.disk_bytes,
        memory_bytes=merge.needs.memory_bytes,
        seconds=merge.needs.seconds,
        leaves="base and adapter",
        undo="what is there now is kept until the checks are content with the new one, and deleted then",
        kept=str(kept) if merge.replaces else None,
        apply=lambda on_progress: _apply(merge, kept, cache, on_progress),
    )


def _companions(merge: MergePlan) -> list[str]:
    names = sorted([*merge.texts, *(c.name for c in merge.companions)])
    return [f"in it {len(merge.weights)} weight file(s), {', '.join(names)}"] if names else []


def _apply(merge: MergePlan, kept: Path, cache: Path, on_progress: Tell) -> Applied:
    before = inspect_path(merge.target).inode
    if merge.replaces:
        _keep(merge.target, kept)

    def told(step: Step) -> None:
        share = step.done / step.total if step.total else 1.0
        on_progress(f"{share:4.0%}  {step.activity}  {format_bytes(step.done)}")

    try:
        apply(merge, progress=told, hash_cache=cache)
    except BaseException:
        if (
            merge.replaces and inspect_path(merge.target).inode != before
        ):  # in place already, and no check has looked at it
            _put_back(kept, merge.target)
        else:
            _drop(kept)
        raise
    if not merge.replaces:
        return Applied(rollback=lambda: shutil.rmtree(merge.target))
    return Applied(rollback=lambda: _put_back(kept, merge.target), commit=lambda: _drop(kept))


def _keep(target: Path, kept: Path) -> None:
    """Keep the old directory as names for the same files: a merge puts new files in place and writes into none."""
    os.mkdir(kept, 0o700)
    try:
        (kept / UNFINISHED).write_text("What a directory beside this one held before a merge.\n", encoding="ascii")
        for name in os.listdir(target):
            if inspect_path(target / name).kind == "directory" and not (target / name).is_symlink():
                shutil.copytree(target / name, kept / name, symlinks=True)  # .cache, which is small
            else:
                os.link(target / name, kept / name, follow_symlinks=False)
        sync_directory(kept)
    except BaseException:
        _drop(kept)
        raise


def _put_back(kept: Path, target: Path) -> None:
    os.chmod(kept, inspect_path(target).mode & 0o777)
    replaced = atomic_swap(kept, target)
    if replaced is not None:
        _drop(replaced)


def _drop(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path)
