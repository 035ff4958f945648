"""An older model in the place that a merge is for, and what of it is left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sage_doctor.merge import MergePlan, plan_merge

OLD = "an older model\n"
OLD_FILES = ("config.json", "model.safetensors", "README.md", "runs/log")  # the last two are carried over


def write_older_model(place: Path) -> None:
    """Write it to `merged` in a directory."""
    (place / "merged/runs").mkdir(parents=True)
    for name in OLD_FILES:
        (place / "merged" / name).write_text(OLD)


def planned(place: Path, **options: Any) -> MergePlan:
    return plan_merge(place / "adapter", options.pop("target", place / "merged"), base=place / "base", **options)


def is_old(place: Path) -> bool:
    merged = place / "merged"
    files = {str(p.relative_to(merged)): p.read_bytes() for p in merged.rglob("*") if p.is_file()}
    return files == dict.fromkeys(OLD_FILES, OLD.encode())


def rest(place: Path) -> list[str]:
    return sorted(n for n in os.listdir(place) if n.startswith("."))
