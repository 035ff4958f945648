"""Writes a missing `refs/main` of a cached repository, without which an offline session finds no snapshot."""

from __future__ import annotations

from sage_doctor.findings.repairability import why_not_ref
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair
from sage_doctor.system.file_steps import write_file
from sage_doctor.system.seen import see
from sage_doctor.text import shell_quote


@repair(name="write-ref", codes=["hub-ref-missing"])
def plan_write_ref(context: RepairContext) -> Plan:
    """Writes the missing ref of a cached repository with one complete snapshot."""
    model = context.model
    hub = model.hub or model.base.hub
    if hub is None or hub.status != "ref-missing":
        raise RepairRefused("the ref is not missing any more. Run `sage-doctor check` again.")
    ref = hub.folder / "refs" / hub.revision
    there = see(ref)
    snapshots = [hub.folder / "snapshots" / name for name in hub.snapshots[:1]]
    files = tuple(see(path) for snapshot in snapshots for path in (snapshot, *sorted(snapshot.iterdir())))
    reason = why_not_ref(hub)
    if reason:
        raise RepairRefused(f"{reason}. Download the repository again while online.")
    commit = hub.snapshots[0]
    return Plan(
        action=f"point {hub.revision} of {hub.repo_id} at its only complete snapshot, {commit}",
        reads=(str(hub.folder / "snapshots" / commit),),
        writes=(str(ref),),
        write_bytes=len(commit),
        unchanged="snapshots and blobs",
        undo_commands=(
            f"rm -f {shell_quote(ref)}",
            *(f"rmdir {shell_quote(path)}" for path in [ref.parent][: len(there.missing)]),
        ),
        seen=files,
        # huggingface_hub takes a newline as part of the commit
        apply=lambda _on_progress: write_file(ref, commit.encode("ascii"), seen=there),
    )
