"""A gate with a result that still holds against `import pytest`; one that has to load against a bare load script.

Goals: at most 1.5 times `import pytest`, and at most 1.3 times the script.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.generate_overhead import SCRIPT, TOKENS
from benchmarks.timing import compare
from sage_doctor.demo.smollm2 import converted

WARM_GOAL = 1.5
COLD_GOAL = 1.3
MANIFEST = """schema = 1
[roles.raising]
models = ["base"]
[models.base]
kind = "full"
path = "{model}"
prompt = "Who are you?"
max_new_tokens = {tokens}
"""


def main(runs: int = 9) -> bool:
    """Measure, print, and return whether the goals are met."""
    model = converted()
    with tempfile.TemporaryDirectory(prefix="sage-doctor-bench-") as name:
        place = Path(name)
        (place / "script.py").write_text(SCRIPT, encoding="utf-8")
        (place / "sage-doctor.toml").write_text(MANIFEST.format(model=model, tokens=TOKENS), encoding="utf-8")
        gate = [sys.executable, "-m", "sage_doctor", "gate", "raising"]
        cold = {
            "gate, loading": [*gate, "--no-cache"],
            "bare script": [sys.executable, "script.py", str(model), str(TOKENS)],
        }
        loading, script = compare(cold, place, 3).values()
        warm = {"gate, result holds": gate, "import pytest": [sys.executable, "-c", "import pytest"]}
        holding, imported = compare(warm, place, runs).values()
    print(f"  loading: ratio {loading / script:.2f}, goal at most {COLD_GOAL}")
    print(f"  result holds: ratio {holding / imported:.2f}, goal at most {WARM_GOAL}")
    return loading / script <= COLD_GOAL and holding / imported <= WARM_GOAL


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
