"""Makes the links of a cached snapshot again, where a copy or an archive turned them into texts."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from sage_doctor.facts.hub_cache import HubFacts, blob_named_in, snapshot_facts
from sage_doctor.findings.repairability import why_not_links
from sage_doctor.readers.repo_id import is_snapshot
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair
from sage_doctor.subjects.model import Model
from sage_doctor.system.file_steps import all_of, make_link
from sage_doctor.system.seen import Seen, see
from sage_doctor.text import shell_quote


@repair(name="relink-cache", codes=["hub-blob-missing"])
def plan_relink_cache(context: RepairContext) -> Plan:
    """Turns texts that hold the path of a blob into links to it again."""
    hub = _facts(context.model)
    reason = why_not_links(hub)
    if reason or hub.snapshot is None:
        raise RepairRefused(f"{reason}. Download the repository again while online.")
    steps, undo = [], []
    blobs: list[Seen] = []
    for text in hub.texts:
        path = hub.snapshot / text.name
        there = see(path)
        target = os.path.relpath(hub.folder / "blobs" / text.blob, path.parent)
        if blob_named_in(path) != text.blob:
            raise RepairRefused(f"{path} has changed. Run `sage-doctor check` again.")
        blobs.append(see(hub.folder / "blobs" / text.blob))
        steps.append(partial(make_link, path, target, seen=there))
        undo.append(f"rm -f {shell_quote(path)} && printf %s {shell_quote(target)} > {shell_quote(path)}")
    return Plan(
        action=f"replace {len(steps)} texts by the links to blobs that they name",
        reads=(str(hub.folder / "blobs"),),
        writes=tuple(str(hub.snapshot / t.name) for t in hub.texts),
        unchanged="the blobs, and every other file",
        undo_commands=tuple(undo),
        seen=tuple(blobs),
        apply=lambda _on_progress: all_of(list(steps)),
    )


def _facts(model: Model) -> HubFacts:
    """Return the facts of the snapshot that this model, or the base of this adapter, is. Raises `RepairRefused`."""
    hub = model.hub or model.base.hub
    if hub is not None:
        return hub
    path: Path = model.path
    if is_snapshot(path):
        return snapshot_facts(path)
    raise RepairRefused("it is not in the Hugging Face cache")
