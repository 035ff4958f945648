"""Kill a merge at random moments, many times: `kill_loop.py DIRECTORY COUNT [SIGNAL] [PYTHON]`.

DIRECTORY holds `base`, `adapter` and `merged`, the latter an older model that the merge replaces. Every kill is of a
process that has torch already and has just begun to merge, so that all of its time is the merge's own; or of a command
that PYTHON runs, which has torch to import yet. After each, what lies at `merged` must be one of the two
models, every byte of it. Prints one line of JSON.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch  # noqa: TID253 - before the fork, so that what is killed is the merge

from sage_doctor.merge import apply, plan_merge
from sage_doctor.readers.merge_record import RECORD

CARRIED = ("README.md", "runs/log")  # files of the older model's directory that no merge makes


def identity(folder: Path) -> str:
    """Return a hash of names and contents, the record aside, which holds the time."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.name != RECORD:
            data = path.read_bytes() if path.is_file() else b""
            digest.update(str(path.relative_to(folder)).encode() + hashlib.sha256(data).digest())
    return digest.hexdigest()


def merge(root: Path) -> None:
    apply(plan_merge(root / "adapter", root / "merged", base=root / "base"), threads=1)


def in_child(root: Path) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            merge(root)
            code = 0
        except KeyboardInterrupt:
            code = 130
        finally:
            os._exit(code)
    return pid


def in_command(python: str, root: Path) -> int:
    words = ["merge", "adapter", "--base", "base", "--out", "merged", "--yes"]
    devnull = os.open(os.devnull, os.O_WRONLY)
    return subprocess.Popen([python, "-m", "sage_doctor", *words], cwd=root, stdout=devnull).pid


def main(root: Path, count: int, number: int, start: Callable[[Path], int]) -> None:
    torch.set_num_threads(1)
    rng = random.Random(count)
    shutil.copytree(root / "merged", root / "old")
    old = identity(root / "old")
    started = time.monotonic()
    os.waitpid(start(root), 0)
    duration = time.monotonic() - started
    new = identity(root / "merged")
    assert all((root / "merged" / name).read_bytes() == (root / "old" / name).read_bytes() for name in CARRIED)
    seen = {"old": 0, "new": 0, "torn": 0, "left_over": 0, "finished": 0}
    for _ in range(count):
        shutil.rmtree(root / "merged")
        shutil.copytree(root / "old", root / "merged")
        pid = start(root)
        time.sleep(rng.uniform(0, duration))
        os.kill(pid, number)
        seen["finished"] += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        found = identity(root / "merged")
        seen["old" if found == old else "new" if found == new else "torn"] += 1
        seen["left_over"] += any(n.startswith(".merged.sage-merge-") for n in os.listdir(root))
    os.waitpid(start(root), 0)
    seen["torn"] += identity(root / "merged") != new
    rest = sorted(n for n in os.listdir(root) if n.startswith("."))
    print(json.dumps({**seen, "kills": count, "merge_s": round(duration, 3), "rest": rest, "differ": old != new}))


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    begin = functools.partial(in_command, given[4]) if 4 in given else in_child
    main(Path(sys.argv[1]), int(sys.argv[2]), getattr(signal, given.get(3, "SIGKILL")), begin)
