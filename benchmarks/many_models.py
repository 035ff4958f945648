"""A hundred small model directories against a thousand: the time that one takes must not grow with their number."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.timing import seconds
from tests.model_directories import write_adapter, write_full

# What the start costs is spread over more models, so a second per model that grows at all means that something is
# looked for among all the others.
GOAL = 1.0
COUNTS = (100, 1000)


def main(runs: int = 2) -> bool:
    """Measure, print, and return whether the goal is met."""
    least = dict.fromkeys(COUNTS, float("inf"))
    with tempfile.TemporaryDirectory(prefix="sage-doctor-bench-") as name:
        place = Path(name)
        for count in COUNTS:
            for number in range(count // 2):
                base = write_full(place / str(count) / f"base-{number:04d}")
                write_adapter(place / str(count) / f"adapter-{number:04d}", base)
        for _ in range(runs):
            for count in COUNTS:
                words = [sys.executable, "-m", "sage_doctor", "check", f"./{count}", "-f", "json"]
                least[count] = min(least[count], seconds(words, place))
    for count, taken in least.items():
        print(f"  {count:5d} models                 least {taken:7.3f} s   {1000 * taken / count:6.2f} ms a model")
    few, many = (least[count] / count for count in COUNTS)
    print(f"  ratio a model {many / few:.2f}, goal at most {GOAL}")
    return many / few <= GOAL


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
