"""Merges a model with missing or broken weights again from its base and adapter, by its recipe in the manifest."""

from __future__ import annotations

import shutil
from pathlib import Path

from sage_doctor.facts.hub_cache import HubFacts, resolve_hub
from sage_doctor.merge import MergePlan, Step, plan_merge
from sage_doctor.merge.elsewhere import apply_with
from sage_doctor.merge.target import require_deletable
from sage_doctor.repairs.backup import OF_WEIGHTS, backup_path, drop, restore
from sage_doctor.repairs.hub_download import endpoint, fetch
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair
from sage_doctor.subjects.merge_python import merge_python
from sage_doctor.subjects.recipe import base_to_download, recipe_places
from sage_doctor.system.activity import OnProgress
from sage_doctor.system.file_steps import Applied, all_of
from sage_doctor.system.path_info import inspect_path


@repair(
    name="merge",
    codes=OF_WEIGHTS,
    after=["set-base", "download", "write-ref", "lfs-pull", "fix-modes", "quarantine-weights"],
)
def plan_merge_again(context: RepairContext) -> Plan:
    """Merges a model again from its base and adapter, by the recipe in the manifest."""
    model = context.model
    places = recipe_places(model)
    recipe = model.spec.merge if model.spec is not None else None
    waits = base_to_download(model)
    if waits is not None:
        return _after_download(context, *waits)
    if places is None or recipe is None:
        raise RepairRefused(
            "the manifest has no merge recipe for it whose base and adapter are here. "
            "Add merge = { base = …, adapter = … } to its table, or copy the weights from another machine."
        )
    base, adapter = places
    python = merge_python(model.host)
    merge = plan_merge(adapter, model.path, base=base, python=python)
    require_deletable(merge.present, allow_delete=context.options.allow_delete)
    kept = backup_path(merge.target)
    cache = model.host.hash_cache
    return Plan(
        action=f"merge {recipe.adapter} into {recipe.base}, tensor by tensor, and replace the directory in one step",
        reads=(f"{base} (the base)", f"{adapter} (the adapter)"),
        read_bytes=sum(n.size for n in merge.inputs.values()),
        writes=(str(merge.target), *_contents(merge)),
        write_bytes=merge.nbytes,
        disk_bytes=merge.needs.disk_bytes,
        memory_bytes=merge.needs.memory_bytes,
        seconds=merge.needs.seconds,
        runs=f"the merge, in {python}" if python is not None else None,
        unchanged="base and adapter",
        undo="the old directory is kept until the new one is verified, then deleted",
        kept=str(kept) if merge.replaces else None,
        apply=lambda on_progress: _apply(merge, python, kept, cache, on_progress),
    )


def _after_download(context: RepairContext, hub: HubFacts, adapter: Path) -> Plan:
    """Return the plan for a base that is not here: what the merge will read and write is known after the download."""
    model = context.model

    def apply_both(on_progress: OnProgress) -> Applied:
        def merge() -> Applied:
            base = resolve_hub(hub.folder.parent, hub.repo_id, hub.revision).snapshot
            if base is None:
                raise RepairRefused(f"{hub.repo_id} was downloaded, and is not in the cache")
            python = merge_python(model.host)
            plan = plan_merge(adapter, model.path, base=base, python=python)
            require_deletable(plan.present, allow_delete=context.options.allow_delete)
            cache = model.host.hash_cache
            return _apply(plan, python, backup_path(plan.target), cache, on_progress)

        return all_of([lambda: fetch(model, hub, on_progress), merge])

    return Plan(
        action=f"download {hub.repo_id} from {endpoint()} unless it is here by then, merge {adapter.name} into it, "
        "tensor by tensor, and replace the directory in one step",
        reads=(f"{adapter} (the adapter)",),
        writes=(f"{hub.folder} (size unknown until the hub is asked)", str(model.path)),
        network=True,
        unchanged="the adapter, and what is in the cache now",
        undo="the old directory is kept until the new one is verified, then deleted",
        apply=apply_both,
    )


def _contents(merge: MergePlan) -> list[str]:
    names = sorted([*merge.texts, *(c.name for c in merge.companions)])
    weights = f"  {len(merge.weights)} weight file{'' if len(merge.weights) == 1 else 's'}"
    return [", ".join([weights, *names]), *(f"  {word} {files}" for word, files in merge.fate())]


def _apply(merge: MergePlan, python: Path | None, kept: Path, cache: Path, on_progress: OnProgress) -> Applied:
    before = inspect_path(merge.target).inode

    def report(step: Step) -> None:
        on_progress(step.activity, step.done, step.total)

    keep = kept if merge.replaces else None
    try:
        apply_with(python, merge, progress=report, hash_cache=cache, allow_delete=True, keep=keep)
    except BaseException:
        if merge.replaces and inspect_path(kept).inode == before:  # replaced already, but not verified
            restore(kept, merge.target)
        raise
    if not merge.replaces:
        return Applied(rollback=lambda: shutil.rmtree(merge.target))
    return Applied(rollback=lambda: restore(kept, merge.target), commit=lambda: drop(kept))
