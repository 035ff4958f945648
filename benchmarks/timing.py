"""Measuring on a machine that others use too: interleaved runs, and the fastest of each kind."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def seconds(words: Sequence[str], cwd: Path) -> float:
    """Return the wall time of a process, in seconds. Ends the benchmark where it does not exit with 0."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SAGE_", "PYTEST"))}
    environment |= {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"}
    environment |= {"XDG_STATE_HOME": str(cwd / "state"), "STATE_DIRECTORY": ""}  # these runs are nobody's history
    begun = time.perf_counter()
    done = subprocess.run(list(words), cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - begun
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)} exited with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return taken


def compare(kinds: Mapping[str, Sequence[str]], cwd: Path, runs: int) -> dict[str, float]:
    """Return the least wall time of each kind of run, in seconds, and print median and least of each.

    The kinds take turns, so that what else the machine does falls on all of them; one turn before counts for nothing.
    """
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(runs + 1):
        for name, words in kinds.items():
            used = seconds(words, cwd)
            if turn:
                taken[name].append(used)
    for name, values in taken.items():
        print(f"  {name:<28} least {min(values):7.3f} s   median {statistics.median(values):7.3f} s   of {runs}")
    return {name: min(values) for name, values in taken.items()}
