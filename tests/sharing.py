"""How the workers of a test run share it: what is costly is made once, and what takes long starts first."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# What takes ten seconds and more in one worker, the longest first. What stands together here shares what it builds,
# or that torch and transformers are imported, and stays with one worker.
LONG: tuple[str | tuple[str, ...], ...] = (
    "tests/corpus/",
    ("tests/demo/test_walk.py", "tests/services/test_transformers_serve.py"),
    "tests/cli/test_gate_faults.py",
    "tests/cli/test_gate.py",
    "tests/cli/test_gate_results.py",
    "tests/repairs/",
    "tests/cli/test_fix.py",
    (
        "tests/merge/",
        "tests/facts/test_adapters.py",
        "tests/facts/test_architectures.py",
        "tests/facts/test_weights.py",
    ),
    ("tests/probe/test_script.py", "tests/probe/test_kinds.py", "tests/architectures/"),
    "tests/suite/",
    "tests/cli/test_kill_sweep.py",
    "tests/cli/test_check.py",
    "tests/paths/",
    "tests/cli/test_commands.py",
    "tests/cli/test_gate_streams.py",
    "tests/packaging/test_torch_is_kept.py",
    "tests/cli/",
    "tests/services/",
)


@contextmanager
def once(directory: Path, name: str) -> Iterator[Path | None]:
    """Give the file to be made, or None where it is there: one worker makes it, the others wait."""
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = directory / name
        yield None if made.exists() else made


def arranged(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return the tests in an order in which every worker begins with long ones, and the short ones fill its rest.

    xdist's `worksteal` gives each worker a piece of the list, all of one length; who has done its own takes from the
    end of another's.
    """
    long: list[list[pytest.Item]] = [[] for _ in LONG]
    short: list[pytest.Item] = []
    for item in items:
        place = next((n for n, start in enumerate(LONG) if item.nodeid.startswith(start)), None)
        (short if place is None else long[place]).append(item)
    result: list[pytest.Item] = []
    for worker in range(workers):
        size = (len(items) - len(result)) // (workers - worker)
        # Dealt as 0 1 1 0 0 1 1 0 …, so that the sums come close.
        turns = range(len(LONG))
        mine = [i for n in turns if min(n % (2 * workers), -(n + 1) % (2 * workers)) == worker for i in long[n]]
        fill = max(0, size - len(mine))
        result += mine + short[:fill]
        short = short[fill:]
    return result + short
