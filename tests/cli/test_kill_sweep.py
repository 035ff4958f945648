"""Commands that write, killed at random moments: each file is the old one or the new, and the next run clears up.

Two kills of each in a test run, where `make soak` sets more. The merge has a sweep of its own (tests/merge).
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gate.stand_in import alive, below, write_interpreter, write_site
from tests.install.conftest import CRONTAB, write_program
from tests.model_directories import INDEX, MODEL, write_adapter, write_full, write_sharded

from .conftest import ROOT, warm_run

KILLS = int(os.environ.get("SAGE_DOCTOR_TEST_KILLS", "4"))
MANIFEST = """schema = 1
[machines.here]
match.hostname = "*"
roles = ["talk"]
[roles.talk]
models = ["merged", "sharded"]
runners = ["run.py"]
[models.merged]
kind = "merged"
path = "merged"
merge = { base = "small", adapter = "stance" }
[models.stance]
kind = "adapter"
path = "stance"
[models.small]
kind = "full"
path = "base"
[models.sharded]
kind = "full"
path = "sharded"
"""


def _healthy(world: Path) -> None:
    write_full(world / "base")
    write_full(world / "merged")
    write_adapter(world / "stance", world / "base")
    write_sharded(world / "sharded")
    (world / "run.py").write_text("import sys\nprint(sys.argv)\n")
    (world / "sage-doctor.toml").write_text(MANIFEST)


def _broken(world: Path) -> None:
    _healthy(world)
    (world / "merged" / MODEL).unlink()
    (world / "sharded" / INDEX).unlink()
    write_adapter(world / "stance", "./fine_tuned_model/final_model")


def _unknown(world: Path) -> None:
    _healthy(world)
    (world / "sage-doctor.toml").unlink()


@dataclass(frozen=True)
class Sweep:
    """A command, the world it starts in, and how many of the kills it gets."""

    words: tuple[str, ...]
    build: Callable[[Path], None]
    share: float


SWEEPS = {
    "fix": Sweep(("fix", "-l", "static", "--yes"), _broken, 0.5),
    "lock": Sweep(("lock",), _healthy, 0.25),
    "init": Sweep(("init", "--yes"), _unknown, 0.25),
    "install-cron": Sweep(("install", "cron", "--user", "--on-boot", "--every", "30m", "--yes"), _healthy, 0.25),
    "install-systemd": Sweep(("install", "systemd", "--user", "--every", "30m", "--yes"), _healthy, 0.25),
}


@dataclass(frozen=True)
class World:
    """A machine of one user: what is examined, the home, and programs that stand in for the scheduler's."""

    root: Path

    def build(self, sweep: Sweep) -> None:
        """Make it anew."""
        shutil.rmtree(self.root, ignore_errors=True)
        for name in ("home", "programs", "site"):
            (self.root / name).mkdir(parents=True)
        sweep.build(self.root / "site")
        write_program(self.root / "programs", "crontab", CRONTAB)
        write_program(self.root / "programs", "systemctl", "exit 0\n")  # no manager runs here: only the files are held
        (self.root / "programs" / "tab").write_text("0 4 * * * the-users-own\n")

    @property
    def environ(self) -> dict[str, str]:
        """The user's environment."""
        return {
            "PATH": f"{self.root / 'programs'}:/usr/bin:/bin",
            "HOME": str(self.root / "home"),
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
        }

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the doctor."""
        return subprocess.Popen(
            [sys.executable, "-m", "sage_doctor", *words],
            cwd=self.root / "site",
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def state(self) -> dict[str, bytes]:
        """Return every file but those that record when and how something ran; dates and keys are made equal."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            # A record of runs, and hashes that can be found out again, are not what a command is run for.
            if path.is_file() and not re.match(r"home/\.(local/state|cache)/", name):
                found[name] = re.sub(
                    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.]*(Z|[+-]\d\d:\d\d)?", b"DATE", path.read_bytes()
                )
        return found


@pytest.mark.parametrize("name", SWEEPS)
def test_a_kill_leaves_each_file_old_or_new(tmp_path: Path, warm_merging_doctor: Path, name: str) -> None:
    sweep = SWEEPS[name]
    world = World(tmp_path / "world")
    world.build(sweep)
    old = world.state()
    began = time.monotonic()
    process = world.start(*sweep.words)
    said, _ = process.communicate(timeout=120)
    took = time.monotonic() - began
    assert process.returncode == 0, said.decode()
    new = world.state()
    assert new != old
    chance = random.Random(name)
    for count in range(max(2, int(KILLS * sweep.share))):
        world.build(sweep)
        process = world.start(*sweep.words)
        time.sleep(chance.uniform(0.0, took))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        torn = {
            path: content
            for path, content in world.state().items()
            if path in old | new and content not in (old.get(path), new.get(path)) and not _volatile(path)
        }
        assert not torn, (count, torn)
        assert all(p in world.state() for p in old if p in new), (count, "a file that both states have is gone")
        done = warm_run(warm_merging_doctor, *sweep.words, cwd=world.root / "site", env=world.environ)
        assert done.code == 0, (count, done)
        after = world.state()
        assert {p: c for p, c in after.items() if not _volatile(p)} == {
            p: c for p, c in new.items() if not _volatile(p)
        }, count


def _volatile(path: str) -> bool:
    """Whether a file holds durations or versions of a run: a merge's own record."""
    return path.endswith("sage-doctor-merge.json")


def test_a_gate_hit_at_any_moment_never_opens_and_leaves_nobody(tmp_path: Path) -> None:
    """A gate in front of a model that does not answer sense; any process of its own is stopped or killed."""
    chance = random.Random(7)
    signals = [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT]
    python = write_interpreter(tmp_path / "env", probe="sleep 0.2; exit 1")
    site = write_site(tmp_path / "site", python)
    world = World(tmp_path)
    (tmp_path / "home").mkdir()
    for count in range(max(2, KILLS // 2)):
        gate = world.start("gate", "talk", "--no-cache", "--timeout", "8s", "--", "touch", str(tmp_path / "ran"))
        began = time.monotonic()
        time.sleep(chance.uniform(0.1, 1.5))
        family = below(gate.pid)
        hit = None
        if family and gate.poll() is None:
            hit = chance.choice(family), chance.choice(signals)
            try:
                os.kill(*hit)
            except ProcessLookupError:
                hit = None
        said, _ = gate.communicate(timeout=40)
        assert not (tmp_path / "ran").exists(), (count, hit, said)
        assert gate.returncode in (1, 3, 130), (count, hit, said)
        assert time.monotonic() - began < 12, (count, hit)
        time.sleep(0.1)
        assert not [pid for pid in family if alive(pid)], (count, hit)
    assert site.is_dir()
