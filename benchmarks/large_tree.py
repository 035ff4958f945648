"""Six thousand files around one model: what is no model is passed over by name, and not opened."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.timing import compare
from tests.model_directories import write_full

FILES, IN_EACH = 6000, 20
GOAL = 3.0


def main(runs: int = 5) -> bool:
    """Measure, print, and return whether the goal is met."""
    with tempfile.TemporaryDirectory(prefix="sage-doctor-bench-") as name:
        place = Path(name)
        write_full(place / "alone" / "model")
        write_full(place / "among" / "model")
        for number in range(FILES // IN_EACH):
            folder = place / "among" / f"session-{number // 20:03d}" / f"day-{number:04d}"
            folder.mkdir(parents=True)
            for file in range(IN_EACH):
                (folder / f"transcript-{file}.json").write_text("{}", encoding="utf-8")
        doctor = [sys.executable, "-m", "sage_doctor", "check"]
        kinds = {f"one model among {FILES} files": [*doctor, "./among"], "one model alone": [*doctor, "./alone"]}
        least = compare(kinds, place, runs)
    among, alone = least.values()
    print(f"  ratio {among / alone:.2f}, goal at most {GOAL}")
    return among / alone <= GOAL


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
