"""Models in the local Hugging Face cache, which must be whole to be found without a network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.findings.reach import hub_out_of_reach, writable_first
from sage_doctor.findings.restore import with_repair
from sage_doctor.readers.tree import Tree, read_tree
from sage_doctor.report import Finding, Fix
from sage_doctor.text import format_bytes, join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.facts.hub_cache import HubFacts
    from sage_doctor.subjects.model import Model

TITLE = "Hugging Face cache"
DECLARATIONS = declare(
    Declaration(
        code="hub-not-cached",
        severity="error",
        title="The model is not in the local cache",
        cause="The model was never downloaded on this machine, or is in a cache that the session does not use "
        "(HF_HOME, HF_HUB_CACHE). It cannot be loaded offline.",
        remediation="Download it once with `hf download`, as the session's user and with the session's HF_HOME.",
        shows=(
            (r"We couldn't connect to '?https?://\S{1,200} to load (the files|this file|this " r"model|\S{1,100}\.)"),
            r"Cannot find the requested files in the (disk|local) cache",
            r"cannot find the requested files in the (local cache|cached path)",
            r"Cannot find an appropriate cached snapshot folder",
            r"cannot find the appropriate snapshot folder",
            r"LocalEntryNotFoundError:\x20",
            r"OfflineModeIsEnabled:\x20",
            r"offline mode is enabled\. To disable it",
            r"No cached tree listing found for '",
        ),
        may_show=(r"There was a specific connection error when trying to load", r"Can't load the model for '[\w-]"),
    ),
    Declaration(
        code="hub-ref-missing",
        severity="error",
        title="The cached model has no ref",
        cause="`refs/main` is missing, so the commit of 'main' is not known. A load by name fails; a load by commit "
        "works.",
        remediation="`sage-doctor fix` writes the ref if it is known. Otherwise name the commit in the manifest: "
        "`hf:org/name@COMMIT`.",
        may_show=(
            (r"We couldn't connect to '?https?://\S{1,200} to load (the files|this file|this " r"model|\S{1,100}\.)"),
        ),
    ),
    Declaration(
        code="hub-snapshot-incomplete",
        severity="error",
        title="The cached model is incomplete",
        cause="A download stopped part way or fetched only some files. The libraries take a partial snapshot for a "
        "complete one and fail on the first missing file.",
        remediation="Run `hf download` for the model again: it fetches only what is missing.",
        may_show=(
            r"… does not appear to have a file named",
            (r"We couldn't connect to '?https?://\S{1,200} to load (the files|this file|this " r"model|\S{1,100}\.)"),
        ),
        shows=(r"The cached snapshot for '.{1,200}?' .{0,200}? is incomplete",),
    ),
    Declaration(
        code="hub-blob-missing",
        severity="error",
        title="A file in the cache is a broken link",
        cause="The cache keeps file contents in `blobs` and links to them. A blob was deleted, or was not copied: this "
        "happens when only `snapshots` is copied.",
        remediation="Run `hf download` for the model again. To copy a cache, copy the whole `models--…` directory with "
        "`cp -a` or `rsync -a`.",
        shows=(r"No such file or directory:? .{0,400}?/(snapshots|blobs)/",),
    ),
    Declaration(
        code="hub-incomplete-download",
        severity="warning",
        title="The cache has an unfinished download",
        cause="An interrupted download leaves a file ending in `.incomplete`. It takes up space, and the file it was "
        "for may still be missing.",
        remediation="Run `hf download` for the model again, which continues it; or delete the file if no download is "
        "running.",
        shows=(
            *(r"416 Client Error: Requested Range Not Satisfiable", r"416 Client Error: Range Not Satisfiable for url"),
        ),
    ),
)


def links_as_texts(hub: HubFacts, model: Model) -> Finding:
    """Return the finding for links of a snapshot that a copy turned into texts. `hub.texts` is not empty."""
    from sage_doctor.findings.repairability import why_not_links  # noqa: PLC0415 - looks at every blob

    names = [t.name for t in hub.texts]
    why_not = why_not_links(hub)
    if why_not:
        summary = f"Download them again ({why_not}); existing files are kept."
        revision = shell_quote(hub.commit or hub.revision)
        fix = downloaded(model, summary, f"hf download {shell_quote(hub.repo_id)} --revision {revision}")
    else:
        fix = with_repair(
            Fix(summary="The blobs are all there: make the links again, which needs no network."), model, "relink-cache"
        )
    return finding(
        "hub-blob-missing",
        f"{len(names)} file(s) of the cached snapshot hold the path of their blob as text instead of a link to it: "
        f"{join_limited(names)}",
        evidence={"files": names[:50], "snapshot": str(hub.snapshot)},
        fix=fix,
    )


def downloaded(model: Model, summary: str, *commands: str) -> Fix:
    """Return the fix that downloads the missing files of this model, while there is a network."""
    return with_repair(Fix(summary=summary, commands=commands), model, "download")


def unresolved(hub: HubFacts, model: Model) -> Finding:
    """Return why an offline session does not find this repository. `hub.status` is not `found`.

    `model` is the one that is the repository, or whose base it is.
    """
    shown = printable(hub.repo_id)
    download = f"hf download {shell_quote(hub.repo_id)}"
    evidence = {"repo_id": hub.repo_id, "revision": hub.revision, "folder": str(hub.folder)}
    apart = hub_out_of_reach(hub, model)
    if apart is not None:
        return apart
    if hub.status == "not-cached":
        fix = downloaded(model, "Download it while there is a network; sessions then find it offline.", download)
        other = _in_another_cache(hub, model)
        if other is not None:
            where = printable(str(other.parent))
            fix = dataclasses.replace(
                fix,
                summary=f"It is in another cache, {where}: set HF_HUB_CACHE to that, or copy it from there.",
                commands=(
                    f"mkdir -p {shell_quote(hub.folder.parent)}",
                    f"cp -an {shell_quote(other)} {shell_quote(hub.folder)}",
                    *fix.commands,
                ),
            )
            evidence = {**evidence, "found_in": str(other.parent)}
        return finding(
            "hub-not-cached",
            f"{shown} is not in the Hugging Face cache ({printable(str(hub.folder.parent))})",
            evidence=evidence,
            fix=writable_first(model, hub.folder, fix),
        )
    if hub.status == "ref-missing":
        from sage_doctor.findings.repairability import why_not_ref  # noqa: PLC0415 - reads the snapshot

        commit = hub.snapshots[-1] if len(hub.snapshots) == 1 else None
        ref = hub.folder / "refs" / hub.revision
        write = (
            (f"mkdir -p {shell_quote(ref.parent)}", f"printf %s {shell_quote(commit)} > {shell_quote(ref)}")
            if commit
            else ()
        )
        fix = Fix(
            summary=f"Write the missing ref for the only snapshot ({printable(commit)[:12]})."
            if commit
            else f"Name the snapshot in the manifest (revision = …): {join_limited(list(hub.snapshots))}.",
            commands=write,
        )
        return finding(
            "hub-ref-missing",
            f"{shown} is cached, but refs/{printable(hub.revision)} is missing",
            evidence={**evidence, "snapshots": list(hub.snapshots)},
            fix=fix if why_not_ref(hub) else with_repair(fix, model, "write-ref"),
        )
    return finding(
        "hub-snapshot-incomplete",
        f"{shown}: refs/{printable(hub.revision)} names a snapshot that is not in the cache"
        + (f" ({printable(hub.detail)})" if hub.detail else ""),
        evidence={**evidence, "commit": hub.commit, "snapshots": list(hub.snapshots)},
        fix=_with_whole_snapshot(downloaded(model, "Download it again.", download), hub.folder, hub.repo_id),
    )


def _in_another_cache(hub: HubFacts, model: Model) -> Path | None:
    from sage_doctor.facts.hub_snapshots import elsewhere  # noqa: PLC0415 - only where something is missing

    return elsewhere(hub, model.host.environ, model.host.home)


def _with_whole_snapshot(fix: Fix, folder: Path, repo_id: str, *, other_than: str = "") -> Fix:
    """Return the fix that also names an earlier snapshot of the repository that is whole."""
    from sage_doctor.facts.hub_snapshots import whole_snapshots  # noqa: PLC0415 - only where something is missing

    whole = whole_snapshots(folder, other_than=other_than)
    if not whole:
        return fix
    summary = (
        f"{fix.summary} Without a network: snapshot {printable(whole[0])[:12]} is whole; name it as "
        f"hf:{printable(repo_id)}@{printable(whole[0])} in the manifest, or as revision= in the session."
    )
    return dataclasses.replace(fix, summary=summary)


def dangling_blobs(hub: HubFacts, model: Model) -> Finding:
    """Return the finding for snapshot links whose blob is gone. `hub.dangling` is not empty."""
    names = [d.name for d in hub.dangling]
    return finding(
        "hub-blob-missing",
        f"{len(names)} file(s) of the cached snapshot are broken links: {join_limited(names)}",
        evidence={"files": names[:50], "snapshot": str(hub.snapshot)},
        fix=downloaded(
            model,
            "Download them again; existing files are kept.",
            f"hf download {shell_quote(hub.repo_id)} --revision {shell_quote(hub.revision)}",
        ),
    )


def snapshot_without_weights(model: Model) -> Finding:
    """Return the finding for a cached snapshot that holds no weights: what was asked for were its small files only."""
    from sage_doctor.facts.hub_cache import snapshot_facts  # noqa: PLC0415 - only where something is missing

    path = model.path
    hub = model.hub or snapshot_facts(path)
    partial = hub.incomplete[0] if hub.incomplete else None
    arrived = f": of {printable(partial.path.name)} {format_bytes(partial.size)} arrived" if partial is not None else ""
    fix = downloaded(
        model,
        "Run the download again; existing files are kept."
        if partial
        else "Download the rest; existing files are kept.",
        f"hf download {shell_quote(hub.repo_id)} --revision {shell_quote(path.name)}",
    )
    return finding(
        "hub-snapshot-incomplete",
        f"the snapshot of {printable(hub.repo_id)} has no weights{arrived}",
        evidence={
            "snapshot": str(path),
            "repo_id": hub.repo_id,
            **({"incomplete": [str(i.path) for i in hub.incomplete[:20]]} if partial is not None else {}),
        },
        fix=_with_whole_snapshot(fix, path.parent.parent, hub.repo_id, other_than=path.name),
    )


def is_cache_folder(tree: Tree) -> bool:
    """Return whether a directory is that of a repository in a Hugging Face cache: its snapshots are below it."""
    return tree.path.name.startswith("models--") and tree.info("snapshots").kind == "directory"


def cache_folder(model: Model) -> Finding:
    """Return the finding for a path that stops at the cache's folder of a repository, above what can be loaded."""
    repo = model.path.name.removeprefix("models--").replace("--", "/", 1)
    snapshots = sorted(read_tree(model.path / "snapshots").names)
    there = model.path / "snapshots" / snapshots[0] if len(snapshots) == 1 else model.path / "snapshots"
    return finding(
        "weights-missing",
        f"this is the cache's folder of {printable(repo)}, not the model: what can be loaded is in "
        f"{printable(str(there.relative_to(model.path)))}",
        evidence={"repo_id": repo, "snapshots": snapshots[:20]},
        fix=Fix(
            summary=f"Name the repository (`hf:{printable(repo)}` in the manifest, {printable(repo)} in a session), "
            "or the snapshot's directory.",
            commands=tuple(f"sage-doctor check {shell_quote(model.path / 'snapshots' / s)}" for s in snapshots[:3]),
        ),
    )
