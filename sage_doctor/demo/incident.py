"""Lays the incident out: a machine after a reboot, whose sessions find a merged model without weights.

The tree, the names and the three faults are those of the real case: the merged model has its configuration and
tokenizer but no weights, the adapter it was made from names a base that exists only where it was trained, and the
runners carry another machine's paths. Only the model is a smaller one.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from sage_doctor.errors import UsageError
from sage_doctor.system.frozen import frozen
from sage_doctor.text import shell_quote

MERGED: Final = "introspective-merged"
ADAPTER: Final = "introspective-v2.1"

HERE = Path(__file__).parent
STANCES = Path("model-zoo/sage/epistemic-stances/smollm2-135m")
WEIGHTS = "model.safetensors"
RUNNERS = ("run_session_primary.py", "run_session_identity_anchored.py")


@frozen
class Incident:
    """Where everything lies. `root` is thor's checkout, in which the manifest stands at the top."""

    root: Path
    manifest: Path
    merged: Path
    adapter: Path
    base: Path
    runners: tuple[Path, ...]


def incident_paths(scratch: Path) -> Incident:
    """Return where the incident lies, or will lie, under a scratch directory."""
    root = scratch / "thor"
    return Incident(
        root=root,
        manifest=root / "sage-doctor.toml",
        merged=root / STANCES / "introspective-merged",
        adapter=root / STANCES / "Introspective-v2.1" / "model",
        base=root / "model-zoo" / "bases" / "SmolLM2-135M-Instruct",
        runners=tuple(root / "sage/raising/scripts" / name for name in RUNNERS),
    )


def write_incident(scratch: Path, model: Path) -> Incident:
    """Write the incident into `scratch/thor`, which must not exist yet, from the directory of the real base model.

    The weights are copied, not linked: whoever plays with the result must not break the model it came from. Raises
    `UsageError` where `scratch/thor` is there already: it may hold somebody's changes.
    """
    incident = incident_paths(scratch)
    if incident.root.exists() or incident.root.is_symlink():
        raise UsageError(
            f"{shell_quote(incident.root)} exists already\n  next: remove it, or give the demo another directory"
        )
    shutil.copytree(HERE / "thor", incident.root, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(model, incident.base)
    shutil.copytree(model, incident.merged, ignore=shutil.ignore_patterns(WEIGHTS))
    shutil.copytree(HERE / "adapter", incident.adapter)
    for tokenizer in (*model.glob("tokenizer*"), *model.glob("chat_template*")):
        shutil.copy(tokenizer, incident.adapter)
    return incident
