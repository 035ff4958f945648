"""A model directory that takes the place of another: which findings that fixes, and the way back."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Final

from sage_doctor.merge.staging import atomic_swap

# Findings about weights, which a whole new directory of the model fixes.
OF_WEIGHTS: Final = (
    "path-missing",
    "weights-missing",
    "weights-truncated",
    "weights-oversized",
    "weights-empty",
    "weights-lfs-pointer",
    "weights-not-safetensors",
    "weights-header-invalid",
    "weights-shape-mismatch",
    "weights-unreadable",
    "weights-hash-mismatch",
    "weights-nonfinite",
    "weights-all-zero",
    "shard-missing",
    "shard-index-missing",
    "shard-index-invalid",
    "shard-index-mismatch",
    "load-keys-mismatched",
    "params-not-materialised",
)


def restore(kept: Path, target: Path) -> None:
    """Put the old directory back in the place of the new one, which is deleted."""
    if atomic_swap(kept, target):
        drop(kept)


def drop(path: Path) -> None:
    """Delete a directory as far as possible."""
    with contextlib.suppress(OSError):
        shutil.rmtree(path)
