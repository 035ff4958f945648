"""Downloads a hub repository that is not in the cache, or is incomplete, with the sessions' own huggingface_hub."""

from __future__ import annotations

from pathlib import Path

from sage_doctor.facts.hub_cache import HubFacts
from sage_doctor.readers.repo_id import is_snapshot
from sage_doctor.repairs.backup import unused_name
from sage_doctor.repairs.hub_download import IGNORED, download, endpoint, interpreter
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair
from sage_doctor.subjects.model import Model
from sage_doctor.system.mounts import why_not_written
from sage_doctor.system.seen import see
from sage_doctor.text import printable, shell_quote

CODES = (
    "hub-not-cached",
    "hub-snapshot-incomplete",
    "hub-blob-missing",
    "hub-incomplete-download",
    "weights-missing",
    "adapter-base-missing",
)


@repair(name="download", codes=CODES, after=["write-ref", "fix-modes"])
def plan_download(context: RepairContext) -> Plan:
    """Downloads a repository of the Hugging Face hub into the cache; cached files are kept."""
    model = context.model
    repo, revision, cache, folder = _repository(model)
    apart = why_not_written(cache)
    if apart:
        raise RepairRefused(f"it would be written to the wrong disk: {printable(apart)}")
    seen = see(folder)
    kept = unused_name(model.host, "undo", "download-{}.sh")
    python = interpreter(model)
    facts = _facts(model)
    sizes = [e.size for e in (facts.expected or {}).values()] if facts is not None else []
    request: dict[str, object] = {"repo": repo, "revision": revision, "cache": str(cache), "ignored": IGNORED}
    return Plan(
        action=f"download {repo} at {revision} from {endpoint()}; cached files are kept",
        writes=(
            f"{folder} ({'the files that the hub lists' if sizes else 'size unknown until the hub is asked'})",
            f"{kept} (a script that removes what was fetched)",
        ),
        write_bytes=sum(sizes),
        disk_bytes=sum(sizes),
        network=True,
        runs=f"snapshot_download of huggingface_hub, in {python}",
        unchanged="files that are in the cache now (half fetched ones are completed), and other repositories",
        undo="removes what was fetched; run it before anything else of this repository is fetched:",
        undo_commands=(f"sh {shell_quote(kept)}",),
        seen=(seen,),
        apply=lambda on_progress: download(python, request, folder, kept, on_progress),
    )


def _facts(model: Model) -> HubFacts | None:
    return model.hub or model.base.hub


def _repository(model: Model) -> tuple[str, str, Path, Path]:
    """Return repository, revision, cache and the repository's folder in it. Raises `RepairRefused`."""
    hub = _facts(model)
    if hub is not None:
        return hub.repo_id, hub.revision, hub.folder.parent, hub.folder
    if is_snapshot(model.path):
        folder = model.path.parent.parent
        return folder.name.removeprefix("models--").replace("--", "/", 1), model.path.name, folder.parent, folder
    raise RepairRefused("it does not come from the Hugging Face hub. Copy it from another machine.")
