"""Findings about the Hugging Face cache, which a model's own check and that of an adapter's base share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.findings.making import finding
from sage_doctor.findings.repairability import why_not_ref, with_repair
from sage_doctor.report import Finding, Fix
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.facts.hub_cache import HubFacts


def downloaded(model: Model, summary: str, *commands: str) -> Fix:
    """Return the fix that downloads what this model lacks, while there is a network."""
    return with_repair(Fix(summary=summary, commands=commands), model, "download")


def unresolved(hub: HubFacts, model: Model) -> Finding:
    """Return why an offline session does not find this repository. `hub.status` is not `found`.

    `model` is the one that is the repository, or whose base it is.
    """
    shown = printable(hub.repo_id)
    download = f"hf download {shell_quote(hub.repo_id)}"
    evidence = {"repo_id": hub.repo_id, "revision": hub.revision, "folder": str(hub.folder)}
    if hub.status == "not-cached":
        return finding(
            "hub-not-cached",
            f"{shown} is not in the Hugging Face cache ({printable(str(hub.folder.parent))})",
            evidence=evidence,
            fix=downloaded(model, "Download it while there is a network; sessions then find it offline.", download),
        )
    if hub.status == "ref-missing":
        commit = hub.snapshots[-1] if len(hub.snapshots) == 1 else None
        ref = hub.folder / "refs" / hub.revision
        write = (
            (f"mkdir -p {shell_quote(ref.parent)}", f"printf %s {shell_quote(commit)} > {shell_quote(ref)}")
            if commit
            else ()
        )
        fix = Fix(
            summary=f"Write the missing ref; it names the one snapshot there is ({printable(commit)[:12]})."
            if commit
            else f"Say which snapshot is meant (revision = …): {join_limited(list(hub.snapshots))}.",
            commands=write,
        )
        return finding(
            "hub-ref-missing",
            f"{shown} is cached, but refs/{printable(hub.revision)} is not: an offline load cannot tell which snapshot "
            "to take",
            evidence={**evidence, "snapshots": list(hub.snapshots)},
            fix=fix if why_not_ref(hub) else with_repair(fix, model, "write-ref"),
        )
    return finding(
        "hub-snapshot-incomplete",
        f"{shown}: refs/{printable(hub.revision)} names a snapshot that is not in the cache"
        + (f" ({printable(hub.detail)})" if hub.detail else ""),
        evidence={**evidence, "commit": hub.commit, "snapshots": list(hub.snapshots)},
        fix=downloaded(model, "Download it again.", download),
    )


def dangling_blobs(hub: HubFacts, model: Model) -> Finding:
    """Return the finding for snapshot links whose blob is gone. `hub.dangling` is not empty."""
    names = [d.name for d in hub.dangling]
    return finding(
        "hub-blob-missing",
        f"{len(names)} file(s) of the cached snapshot are links to nothing: {join_limited(names)}",
        evidence={"files": names[:50], "snapshot": str(hub.snapshot)},
        fix=downloaded(
            model,
            "Download them again; what is there is kept.",
            f"hf download {shell_quote(hub.repo_id)} --revision {shell_quote(hub.revision)}",
        ),
    )


def is_snapshot(path: Path) -> bool:
    """Return whether a directory is a snapshot in a Hugging Face cache, by its place: models--…/snapshots/COMMIT."""
    return path.parent.name == "snapshots" and path.parent.parent.name.startswith("models--")


def snapshot_without_weights(model: Model) -> Finding:
    """Return the finding for a cached snapshot that holds no weights: what was asked for were its small files only."""
    path = model.path
    repo = path.parent.parent.name.removeprefix("models--").replace("--", "/", 1)
    return finding(
        "hub-snapshot-incomplete",
        f"the snapshot of {printable(repo)} holds no weights: a download stopped early, or took the small files only",
        evidence={"snapshot": str(path), "repo_id": repo},
        fix=downloaded(
            model,
            "Download the rest; what is there is kept.",
            f"hf download {shell_quote(repo)} --revision {shell_quote(path.name)}",
        ),
    )
