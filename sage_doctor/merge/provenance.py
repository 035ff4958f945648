"""The provenance record: inputs, versions and hashes of a merge, written beside the merged weights."""

from __future__ import annotations

import json
import platform
import socket
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

import sage_doctor
from sage_doctor.errors import DoctorError
from sage_doctor.facts.hashing import hash_files
from sage_doctor.merge.plan import MergePlan
from sage_doctor.merge.retention import DeltaRetention
from sage_doctor.merge.verify import require_unchanged
from sage_doctor.readers.merge_record import MergeLosses
from sage_doctor.system.path_info import UnreadableFile
from sage_doctor.text import printable

_PACKAGES = ("torch", "transformers", "peft", "safetensors", "numpy")


def hash_inputs(plan: MergePlan, cache: Path | None, check_cancelled: Callable[[int], None]) -> dict[str, str]:
    """Return the sha256 of the inputs by path. `check_cancelled` is called for each block. Raises `DoctorError`."""
    found = hash_files([(p, "sha256") for p in plan.inputs], cache=cache, workers=1, progress=check_cancelled)
    for (path, _), digest in found.items():
        if isinstance(digest, UnreadableFile):
            require_unchanged(plan)
            what = f"{printable(str(path))} could not be hashed: {printable(str(digest))}"
            raise DoctorError(f"{what}; nothing was changed. Check that file, then merge again.")
    return {str(path): str(digest) for (path, _), digest in found.items()}


def environment_record() -> dict[str, object]:
    """Return the environment of a merge: host, platform and versions."""
    return {
        "doctor": sage_doctor.__version__,
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "packages": _versions(),
    }


def record_text(
    plan: MergePlan,
    environment: Mapping[str, object],
    hashes: Mapping[str, str],
    outputs: Mapping[str, str],
    retention: DeltaRetention,
) -> str:
    """Return the provenance record as JSON.

    `environment` is the `environment_record`, `outputs` the sha256 of the written weight files by name.
    """
    computed = [p for p in plan.tensor_plans if not p.untouched]
    record = {
        "schema_version": 1,
        "merged_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **environment,
        "base": {"path": str(plan.base), "chosen_because": plan.base_why},
        "adapter": {"path": str(plan.adapter), "config": plan.adapter_config},
        "inputs": [
            {"path": str(p), "bytes": n.size, "sha256": hashes.get(str(p))} for p, n in sorted(plan.inputs.items())
        ],
        "outputs": [{"path": name, "sha256": digest} for name, digest in sorted(outputs.items())],
        "dequantized_from": _dequantized(plan),
        "dtype": plan.dtype or "as stored",
        "names": plan.names_why,
        "tokenizer_from": plan.tokenizer,
        "embeddings_untied": plan.untied,
        "tensors": {"written": len(plan.tensor_plans), "changed": len(computed)},
        "surviving_delta": None if retention.cosine is None else round(max(0.0, retention.cosine), 4),
        "delta": {
            "cosine": _rounded(retention.cosine),
            "relative_error": _rounded(retention.relative_error),
            "changed_share": _rounded(retention.changed_share),
        },
        "uncovered": list(plan.uncovered),
        "unchanged": retention.idle,
        "merged_before": list(plan.merged_before),
    }
    return json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n"


def losses_of(plan: MergePlan, retention: DeltaRetention) -> MergeLosses:
    """Return what of the adapter is not in the merged model."""
    return MergeLosses(
        cosine=retention.cosine,
        dtype=plan.dtype or "as stored",
        uncovered=plan.uncovered,
        idle=tuple(retention.idle),
        merged=sum(not p.untouched for p in plan.tensor_plans),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _dequantized(plan: MergePlan) -> dict[str, object] | None:
    form = plan.dequantized
    if form is None:
        return None
    return {"method": form.method, "quantization_config": form.settings, "lost": list(form.losses())}


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
