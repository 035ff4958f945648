"""A static check of a manifest with a full model, an adapter and a merged one, against an empty pytest session.

Goal: at most twice as long.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import ROOT, compare
from sage_doctor.demo.smollm2 import converted

GOAL = 2.0
MANIFEST = """schema = 1
[models.base]
kind = "full"
path = "base"
prompt = "Who are you?"
[models.adapter]
kind = "adapter"
path = "adapter"
base = "base"
[models.merged]
kind = "merged"
path = "merged"
merge = { base = "base", adapter = "adapter" }
"""


def main(runs: int = 15) -> bool:
    """Measure, print, and return whether the goal is met."""
    with tempfile.TemporaryDirectory(prefix="sage-doctor-bench-") as name:
        place = Path(name)
        for model in ("base", "merged"):
            (place / model).mkdir()
            for file in converted().iterdir():
                (place / model / file.name).symlink_to(file)
        shutil.copytree(ROOT / "sage_doctor" / "demo" / "adapter", place / "adapter")
        (place / "sage-doctor.toml").write_text(MANIFEST, encoding="utf-8")
        (place / "empty").mkdir()
        (place / "empty" / "test_empty.py").write_text("def test_empty() -> None:\n    pass\n", encoding="utf-8")
        kinds = {
            "sage-doctor, static": [sys.executable, "-m", "sage_doctor", "check", "-l", "static"],
            "pytest, one empty test": [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--disable-plugin-autoload"),
                *("-c", "/dev/null", "--rootdir", ".", "empty"),
            ],
        }
        least = compare(kinds, place, runs)
    doctor, pytest = least.values()
    print(f"  ratio {doctor / pytest:.2f}, goal at most {GOAL}")
    return doctor / pytest <= GOAL


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
