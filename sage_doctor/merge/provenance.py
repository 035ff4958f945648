"""The record beside merged weights: what was merged into what, how, by which versions, and what came of it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

import sage_doctor
from sage_doctor.errors import DoctorError
from sage_doctor.facts.hashing import hash_files
from sage_doctor.merge.deltas import Survival
from sage_doctor.merge.plan import MergePlan
from sage_doctor.readers.regular import UnreadableFile
from sage_doctor.text import printable

_PACKAGES = ("torch", "transformers", "peft", "safetensors", "numpy")


class Hashes:
    """The sha256 of files, computed beside the merge in a thread: hashing and summing share no lock."""

    def __init__(self, paths: list[Path], cache: Path | None) -> None:
        self._result: Mapping[tuple[Path, str], str | UnreadableFile] = {}
        self._thread = threading.Thread(target=self._run, args=(paths, cache), daemon=True)
        self._thread.start()

    def _run(self, paths: list[Path], cache: Path | None) -> None:
        found = hash_files([(p, "sha256") for p in paths], cache=cache, workers=1)
        self._result = {(p, str(a)): v for (p, a), v in found.items()}

    def wait(self, pause: Callable[[], None]) -> dict[str, str]:
        """Return the hashes by path. `pause` is called several times a second. Raises `DoctorError`."""
        while self._thread.is_alive():
            self._thread.join(0.1)
            pause()
        found = {}
        for (path, _), digest in self._result.items():
            if isinstance(digest, UnreadableFile):
                raise DoctorError(
                    f"{printable(str(path))} could not be hashed: {printable(str(digest))}; nothing replaced"
                )
            found[str(path)] = digest
        return found


def record_text(plan: MergePlan, hashes: Mapping[str, str], outputs: Mapping[str, str], survival: Survival) -> str:
    """Return the provenance record as JSON. `outputs` are the sha256 of the written weight files by name."""
    computed = [p for p in plan.pieces if not p.untouched]
    record = {
        "schema_version": 1,
        "merged_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "doctor": sage_doctor.__version__,
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "packages": _versions(),
        "base": {"path": str(plan.base), "chosen_because": plan.base_why},
        "adapter": {"path": str(plan.adapter), "config": plan.recipe},
        "inputs": [
            {"path": str(p), "bytes": n.size, "sha256": hashes.get(str(p))} for p, n in sorted(plan.inputs.items())
        ],
        "outputs": [{"path": name, "sha256": digest} for name, digest in sorted(outputs.items())],
        "dequantized_from": _dequantized(plan),
        "dtype": plan.dtype or "as stored",
        "names": plan.names_why,
        "tokenizer_from": plan.tokenizer,
        "embeddings_untied": plan.untied,
        "tensors": {"written": len(plan.pieces), "changed": len(computed)},
        "surviving_delta": None if survival.share is None else round(survival.share, 4),
    }
    return json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n"


def _dequantized(plan: MergePlan) -> dict[str, object] | None:
    form = plan.dequantized
    if form is None:
        return None
    return {"method": form.method, "quantization_config": form.settings, "lost": list(form.losses())}


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
