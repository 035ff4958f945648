"""A download from the Hugging Face hub with the sessions' own huggingface_hub, and what takes it back."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.facts.hub_cache import HubFacts
from sage_doctor.repairs.backup import unused_name
from sage_doctor.subjects.model import Model
from sage_doctor.system.activity import OnProgress
from sage_doctor.system.child import Child
from sage_doctor.system.file_steps import Applied, all_of, rename, write_file
from sage_doctor.system.walk import Walk
from sage_doctor.text import format_duration, printable, shell_quote

# Other frameworks' weights, which a session never opens.
IGNORED = ("*.h5", "*.msgpack", "*.onnx", "onnx/*", "*.ot", "*.gguf", "original/*", "openvino/*", "coreml/*")
DEADLINE_S = 24 * 3600.0  # huggingface_hub has deadlines of its own for a connection that hangs
# The hub is asked first: where it cannot be reached, `snapshot_download` returns what is cached, and says nothing.
SCRIPT = """import json, sys
asked = json.loads(sys.argv[1])
try:
    from huggingface_hub import HfApi, snapshot_download
    HfApi().repo_info(asked["repo"], revision=asked["revision"], timeout=30)
    snapshot_download(
        asked["repo"], revision=asked["revision"], cache_dir=asked["cache"], ignore_patterns=asked["ignored"]
    )
except Exception as error:
    sys.exit(f"{type(error).__name__}: " + " ".join(str(error).split()))
"""


def fetch(model: Model, hub: HubFacts, on_progress: OnProgress) -> Applied:
    """Download a repository that another repair of this model needs. Raises `DoctorError` if it fails."""
    request: dict[str, object] = {
        "repo": hub.repo_id, "revision": hub.revision, "cache": str(hub.folder.parent), "ignored": IGNORED,
    }  # fmt: skip
    return download(
        interpreter(model), request, hub.folder, unused_name(model.host, "undo", "download-{}.sh"), on_progress
    )


def endpoint() -> str:
    """Return the address of the hub."""
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def interpreter(model: Model) -> str:
    """Return the interpreter whose huggingface_hub downloads: that of the sessions."""
    return str(model.host.python or model.host.session.executable or sys.executable)


def download(python: str, request: dict[str, object], folder: Path, kept: Path, on_progress: OnProgress) -> Applied:
    """Download, and write the script `kept` that removes what was fetched. Raises `DoctorError` if it fails."""
    before, refs = _listing(folder), _refs(folder)
    _download(python, request, on_progress)
    after = _listing(folder)
    halves = _completed(before - after, after - before)
    added = sorted(after - before - halves.keys(), key=lambda p: (-len(p.parts), p))

    def rollback() -> None:
        for whole, half in halves.items():
            with contextlib.suppress(DoctorError):
                rename(whole, half)
        for path in added:
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                else:
                    path.unlink()
        for path, raw in refs.items():
            if path.read_bytes() != raw:
                write_file(path, raw)

    def write_undo() -> Applied:
        return write_file(kept, _undo_script(str(request["repo"]), added, halves, refs).encode())

    return all_of([lambda: Applied(rollback=rollback), write_undo])


def _completed(gone: set[Path], added: set[Path]) -> dict[Path, Path]:
    """Return the part files that were there before, by the file that a download made of each.

    A part that holds the whole file is resumed like any other: with the old name nothing of it is lost.
    """
    parts = (p for p in sorted(gone) if p.name.endswith(".incomplete"))
    return {whole: p for p in parts if (whole := p.with_name(p.name.partition(".")[0])) in added}


def _undo_script(repo: str, added: list[Path], halves: dict[Path, Path], refs: dict[Path, bytes]) -> str:
    """Return a script that removes what a download added, and gives the refs that it moved their old commit."""
    lines = ["#!/bin/sh", f"# Takes the download of {printable(repo)} back: removes what it added, and nothing else."]
    lines += [f"mv -f {shell_quote(whole)} {shell_quote(half)}" for whole, half in halves.items()]
    for path in added:
        directory = path.is_dir() and not path.is_symlink()
        lines.append(f"{'rmdir' if directory else 'rm -f'} {shell_quote(path)}")
    for path, raw in refs.items():
        if path.read_bytes() != raw:
            lines.append(f"printf %s {shell_quote(os.fsdecode(raw))} > {shell_quote(path)}")
    return "".join(f"{line}\n" for line in lines)


def _download(python: str, request: dict[str, object], on_progress: OnProgress) -> None:
    """Run the download to its end. Raises `DoctorError` if it fails."""
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


def _listing(folder: Path) -> set[Path]:
    """Return what a download of the repository may add to: its folder, its locks, and the way to them."""
    cache = folder.parent
    locks = cache / ".locks"
    trees = [folder, locks / folder.name]
    single = [*trees, locks, cache / "CACHEDIR.TAG", *(p for p in (cache, *cache.parents))]
    below = {Path(e.path) for found in Walk(roots=trees).listings() for e in (*found.below, *found.files)}
    return below | {path for path in single if os.path.lexists(path)}


def _refs(folder: Path) -> dict[Path, bytes]:
    """Return the refs of the repository, which a download may move."""
    found = (Path(e.path) for listing in Walk(roots=[folder / "refs"]).listings() for e in listing.files)
    return {path: path.read_bytes() for path in found if path.is_file() and not path.is_symlink()}
