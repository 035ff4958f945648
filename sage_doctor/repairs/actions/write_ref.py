"""A cached repository whose `refs/main` is gone: a session without network cannot tell which snapshot to take."""

from __future__ import annotations

from sage_doctor.findings.repairability import why_not_ref
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair
from sage_doctor.system.file_steps import write_file


@repair(name="write-ref", codes=["hub-ref-missing"])
def plan_write_ref(situation: RepairContext) -> Plan:
    """Writes the missing ref of a cached repository that has one complete snapshot."""
    finding, model = situation.finding, situation.model
    hub = model.hub or model.base.hub
    if hub is None or hub.status != "ref-missing":
        raise RepairRefused("no ref is missing any more. Run `sage-doctor check` again.")
    obstacle = why_not_ref(hub)
    if obstacle:
        raise RepairRefused(f"{obstacle}. Download the repository again while there is a network.")
    commit = hub.snapshots[0]
    ref = hub.folder / "refs" / hub.revision
    return Plan(
        repair="write-ref",
        subject=finding.subject,
        code=finding.code,
        does=f"lets {hub.revision} of {hub.repo_id} mean the one complete snapshot there is, {commit}",
        reads=(str(hub.folder / "snapshots" / commit),),
        writes=(str(ref),),
        write_bytes=len(commit),
        leaves="snapshots and blobs",
        undo=f"rm {ref}",
        # huggingface_hub takes a newline as part of the commit
        apply=lambda _on_progress: write_file(ref, commit.encode("ascii")),
    )
