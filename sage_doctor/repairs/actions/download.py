"""Downloads a hub repository that is not in the cache, or is incomplete, with the sessions' own huggingface_hub."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.facts.hub_cache import HubFacts
from sage_doctor.findings.hub import is_snapshot
from sage_doctor.repairs.repair import OnProgress, Plan, RepairContext, RepairRefused, repair
from sage_doctor.subjects.model import Model
from sage_doctor.system.child import Child
from sage_doctor.system.file_steps import Applied
from sage_doctor.system.walk import Walk
from sage_doctor.text import format_duration, printable, shell_quote

CODES = (
    "hub-not-cached",
    "hub-snapshot-incomplete",
    "hub-blob-missing",
    "hub-incomplete-download",
    "weights-missing",
)
# Other frameworks' weights, which a session never opens.
IGNORED = ("*.h5", "*.msgpack", "*.onnx", "onnx/*", "*.ot", "*.gguf", "original/*", "openvino/*", "coreml/*")
DEADLINE_S = 24 * 3600.0  # huggingface_hub has deadlines of its own for a connection that hangs
SCRIPT = (
    "import json,sys; from huggingface_hub import snapshot_download as d; a=json.loads(sys.argv[1]); "
    "print(d(a['repo'],revision=a['revision'],cache_dir=a['cache'],ignore_patterns=a['ignored']))"
)


@repair(name="download", codes=CODES, after=["write-ref", "fix-modes"])
def plan_download(context: RepairContext) -> Plan:
    """Downloads a repository of the Hugging Face hub into the cache; cached files are kept."""
    finding, model = context.finding, context.model
    repo, revision, cache, folder = _repository(model)
    python = str(model.host.python or model.host.session.executable or sys.executable)
    facts = _facts(model)
    sizes = [e.size for e in (facts.expected or {}).values()] if facts is not None else []
    request: dict[str, object] = {"repo": repo, "revision": revision, "cache": str(cache), "ignored": IGNORED}
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return Plan(
        repair="download",
        subject=finding.subject,
        code=finding.code,
        action=f"download {repo} at {revision} from {endpoint}; cached files are kept",
        reads=(),
        writes=(f"{folder} ({'the files that the hub lists' if sizes else 'size unknown until the hub is asked'})",),
        write_bytes=sum(sizes),
        disk_bytes=sum(sizes),
        network=True,
        runs=f"snapshot_download of huggingface_hub, in {python}",
        unchanged="files that are in the cache now, and other repositories",
        undo=f"hf cache rm {shell_quote('model/' + repo)}",
        apply=lambda on_progress: _apply(python, request, folder, on_progress),
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


def _apply(python: str, request: dict[str, object], folder: Path, on_progress: OnProgress) -> Applied:
    before = _listing(folder)
    refs = {p: p.read_bytes() for p in before if p.parent.name == "refs" and p.is_file()}

    def rollback() -> None:
        for path, raw in refs.items():
            path.write_bytes(raw)
        for path in sorted(_listing(folder) - before, key=lambda p: -len(p.parts)):
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                else:
                    path.unlink()
        if not before:
            shutil.rmtree(folder, ignore_errors=True)

    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    environment = {k: v for k, v in os.environ.items() if k not in offline}
    on_progress(f"downloading {request['repo']}")
    try:
        done = Child(
            [python, "-c", SCRIPT, json.dumps(request)],
            timeout_s=DEADLINE_S,
            env={**environment, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
            cwd=Path("/"),  # Python looks for modules in the working directory first
            keep_end=True,
        ).finish()
    except OSError as error:
        raise DoctorError(f"{printable(python)} does not start: {os.strerror(error.errno or 0).lower()}") from error
    if done.code != 0:
        # Partial downloads are kept: the next attempt resumes them.
        said = f"timed out after {format_duration(DEADLINE_S)}" if done.timed_out else done.last_error
        raise DoctorError(
            f"the download failed: {printable(said or 'no reason given', limit=300)}. "
            "Partial files are kept; the next attempt resumes."
        )
    return Applied(rollback=rollback)


def _listing(folder: Path) -> set[Path]:
    return {Path(e.path) for found in Walk(roots=[folder]).listings() for e in (*found.below, *found.files)}
