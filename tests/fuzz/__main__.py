"""Reads mutated bytes with every reader of foreign bytes, guided by the coverage of this project's code.

    python -m tests.fuzz [--executions N] [READER...]

N, a million unless it is given, is shared by all readers. Each runs in a process of its own, so that a crash of the
interpreter is told as well, with a limit on memory. What breaks one is written to `tests/fuzz/finds/READER/`, where it
stays as a test; the exit code is 1 then. Needs atheris, which `make fuzz` installs.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.seeds import SEEDS

FINDS = Path(__file__).parent / "finds"
MOST_BYTES = 4096
MEMORY_MB = 2048
MOST_FINDS = 20  # of one reader in one run


def fuzz(name: str, executions: int, corpus: Path) -> tuple[int, list[bytes]]:
    """Run one reader; returns how many executions there were, and the inputs that broke it."""
    corpus.mkdir(parents=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    artifacts = corpus.parent / f"{name}-broke"
    artifacts.mkdir()
    limits = [f"-max_len={MOST_BYTES}", "-timeout=20", f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1"]
    done = 0
    found: list[bytes] = []
    while done < executions and len(found) < MOST_FINDS:
        command = [sys.executable, "-m", "tests.fuzz.target", name, str(corpus), f"-runs={executions - done}", *limits]
        told = subprocess.run(
            [*command, f"-artifact_prefix={artifacts}/"], capture_output=True, text=True, errors="replace", check=False
        )
        counted = re.findall(r"(?:stat::number_of_executed_units: |^#)(\d+)", told.stderr, re.MULTILINE)
        done += max((int(n) for n in counted), default=0) or 1
        broke = sorted(artifacts.iterdir())
        found += [path.read_bytes() for path in broke]
        for path in broke:
            path.unlink()
        if told.returncode != 0:
            print(f"  {name}: {_last_error(told.stderr)}")
        if told.returncode != 0 and not broke:
            raise SystemExit(f"{name}: the fuzzer itself ended with status {told.returncode}:\n{told.stderr[-2000:]}")
    return done, found


def _last_error(text: str) -> str:
    lines = [line for line in text.splitlines() if re.match(r"\s*[\w.]*(Error|Exception|ERROR)", line)]
    return lines[0].strip()[:200] if lines else text[-200:]


def main() -> int:
    """Fuzz the readers and print one line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("readers", nargs="*", metavar="READER")
    given = parser.parse_args()
    unknown = sorted(set(given.readers) - set(SEEDS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; the readers are {', '.join(SEEDS)}")
    names = given.readers or list(SEEDS)
    share = -(-given.executions // len(names))
    total, broken = 0, 0
    with tempfile.TemporaryDirectory(prefix="sage-doctor-fuzz-") as place:
        for name in names:
            started = time.monotonic()
            done, found = fuzz(name, share, Path(place) / name)
            for raw in found:
                folder = FINDS / name
                folder.mkdir(parents=True, exist_ok=True)
                (folder / hashlib.sha256(raw).hexdigest()[:16]).write_bytes(raw)
            total, broken = total + done, broken + len(found)
            seconds = time.monotonic() - started
            print(f"{name:22} {done:>9,} executions in {seconds:6.1f} s, {len(found)} broke it", flush=True)
    print(f"{total:,} executions of {len(names)} readers, {broken} inputs that broke one")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
