"""A model copied from another machine (a real sshd on loopback): `sage-doctor sync` against plain rsync of its files.

    python -m benchmarks.copy_speed [--megabytes 3000] [--limit 117] [--runs 3] [--keep DIR]

All in turns, each into a new directory, with the same ssh. Ours also asks the other machine, flushes the files to disk
and hashes them (the expected hashes are in a lock), which plain rsync does not: a third kind is rsync, then `sync` and
`sha256sum` of what arrived. `--limit` is the network's speed in MB/s, by default that of gigabit Ethernet; with 0 only
the processors limit the transfer, which encrypt and hash it. Prints the least times and the throughput as a share of
plain rsync's. Returns 1 where it is less than 0.9. Needs sshd, ssh and rsync.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.model_directories import WEIGHTS, write_full
from tests.repairs.sshd import running

GOAL = 0.9
MANIFEST = """schema = 1
[machines.thor]
match.hostname = "thor"
roles = ["talk"]
vars.zoo = "{root}/here"
[machines.sprout]
match.hostname = "sprout"
roles = ["talk"]
vars.zoo = "{root}/there"
[roles.talk]
models = ["full"]
[models.full]
kind = "full"
path = "{{zoo}}/full"
"""
# On the other machine: nothing is installed there.
OURS = [sys.executable, "-m", "sage_doctor", "sync", "talk", "--from", "sprout", "--yes"]
CHECKED = 'rsync -a "$1" "$2" && sync -f "$2" && find "$2" -type f -exec sha256sum {} + >"$2.sums"'


def main(arguments: list[str] | None = None) -> bool:
    """Measure, print, and return whether the goal was met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=3000)
    parser.add_argument("--limit", type=int, default=117)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a directory to work in; by default one that is removed")
    options = parser.parse_args([] if arguments is None else arguments)
    with tempfile.TemporaryDirectory(prefix="copy-speed-", dir=options.keep) as directory:
        root = Path(directory)
        (root / "sshd").mkdir()
        with running(root / "sshd") as server:
            if options.limit:
                limited = server.clients / "rsync"
                words = f"{shutil.which('rsync')} --bwlimit={options.limit * 1_000_000 // 1024}"
                limited.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
                limited.chmod(0o755)
            least = _measure(root, server.clients, options.megabytes, options.runs)
    share = least["rsync"] / least["sage-doctor sync"]
    print(f"throughput: {share:.2f} of plain rsync's (goal: {GOAL})")
    print(
        f"throughput: {least['rsync, flushed and hashed'] / least['sage-doctor sync']:.2f} of rsync, flushed and hashed"
    )
    return share >= GOAL


def _measure(root: Path, clients: Path, megabytes: int, runs: int) -> dict[str, float]:
    rows = megabytes * 1_000_000 // 32
    tensors = {**WEIGHTS, "model.embed_tokens.weight": (rows, 8)}
    model = write_full(root / "there" / "full", tensors=tensors, vocab_size=rows)
    with open(model / "model.safetensors", "r+b") as file:
        file.seek(1024)
        file.writelines(os.urandom(1_000_000) for _ in range(megabytes - 1))
    site = root / "site"
    site.mkdir()
    (site / "sage-doctor.toml").write_text(MANIFEST.format(root=root))
    environ = {**os.environ, "PATH": f"{clients}:{os.environ['PATH']}", "SAGE_MACHINE": "thor", "HOME": str(root)}
    environ |= {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "XDG_STATE_HOME": str(root / "state")}
    here = root / "here" / "full"
    source, target = f"sprout:{model}/", f"{here}/"
    kinds = {
        "rsync": ["rsync", "-a", source, target],
        "rsync, flushed and hashed": ["sh", "-c", CHECKED, "sh", source, str(here)],
        "sage-doctor sync": OURS,
    }
    shutil.copytree(model, here)  # what is recorded of it need not be computed over there
    lock = [sys.executable, "-m", "sage_doctor", "lock"]
    subprocess.run(lock, cwd=site, env=environ, capture_output=True, check=True)
    shutil.rmtree(root / "state", ignore_errors=True)
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(runs):
        for name, words in kinds.items():
            shutil.rmtree(root / "here", ignore_errors=True)
            here.parent.mkdir()
            os.sync()
            begun = time.perf_counter()
            done = subprocess.run(words, cwd=site, env=environ, capture_output=True, text=True, check=False)
            taken[name].append(time.perf_counter() - begun)
            if done.returncode != 0:
                sys.exit(f"{name} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    for name, values in taken.items():
        print(f"  {name}: {min(values):.1f} s, {megabytes / min(values):.0f} MB/s")
    return {name: min(values) for name, values in taken.items()}


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
