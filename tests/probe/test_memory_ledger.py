"""Admission among real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from sage_doctor.probe.memory_ledger import admit

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from sage_doctor.probe.memory_ledger import admit
with admit(Path(sys.argv[1]), need_bytes=int(sys.argv[2]), available_bytes=100, deadline_s=60) as admitted:
    print(admitted, flush=True)
    sys.stdin.readline()
"""


class Holder:
    """A process that reserves and keeps its reservation until it is released or killed."""

    def __init__(self, directory: Path, need: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(directory), str(need)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def says(self) -> str:
        return self._pipe(self.process.stdout).readline().strip()

    def release(self) -> None:
        self.process.communicate("\n", timeout=60)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def test_what_fits_beside_a_live_reservation_is_admitted_at_once(tmp_path: Path) -> None:
    holder = Holder(tmp_path / "run", 60)
    assert holder.says() == "True"
    with admit(tmp_path / "run", need_bytes=40, available_bytes=100, deadline_s=0) as admitted:
        assert admitted
    holder.release()


def test_what_does_not_fit_is_refused_at_the_deadline(tmp_path: Path) -> None:
    holder = Holder(tmp_path, 60)
    holder.says()
    with admit(tmp_path, need_bytes=41, available_bytes=100, deadline_s=0.3) as admitted:
        assert not admitted
    holder.release()
    assert list(tmp_path.glob("*.reservation")) == []


def test_memory_that_an_admitted_worker_already_took_is_not_counted_twice(tmp_path: Path) -> None:
    holder = Holder(tmp_path, 60)
    holder.says()
    with admit(tmp_path, need_bytes=40, available_bytes=40, deadline_s=0) as admitted:
        assert admitted
    with admit(tmp_path, need_bytes=40, available_bytes=39, deadline_s=0) as admitted:
        assert not admitted  # another program took some
    holder.release()


@pytest.mark.parametrize("end", ["release", "kill"])
def test_the_next_is_admitted_when_a_holder_ends_however_it_ends(tmp_path: Path, end: str) -> None:
    holder = Holder(tmp_path, 90)
    holder.says()
    waiting = Holder(tmp_path, 90)
    with admit(tmp_path, need_bytes=90, available_bytes=100, deadline_s=0) as admitted:
        assert not admitted
    getattr(holder, end)()
    assert waiting.says() == "True"
    waiting.release()
    assert list(tmp_path.glob("*.reservation")) == []


def test_one_alone_is_always_admitted(tmp_path: Path) -> None:
    with admit(tmp_path, need_bytes=10**15, available_bytes=100, deadline_s=0) as admitted:
        assert admitted


def test_a_reservation_is_given_back_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"), admit(tmp_path, need_bytes=90, available_bytes=100, deadline_s=0):
        raise RuntimeError("broken")
    with admit(tmp_path, need_bytes=90, available_bytes=100, deadline_s=0) as admitted:
        assert admitted


def test_eight_at_once_never_hold_more_than_there_is(tmp_path: Path) -> None:
    code = """
import os, sys, time
from pathlib import Path
from sage_doctor.probe.memory_ledger import admit
run, log = Path(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
with admit(run, need_bytes=40, available_bytes=100, deadline_s=60) as admitted:
    assert admitted
    os.write(log, b"+")
    time.sleep(0.2)
    os.write(log, b"-")
"""
    log = tmp_path / "log"
    command = [sys.executable, "-c", code, str(tmp_path / "run"), str(log)]
    workers = [subprocess.Popen(command, cwd=ROOT) for _ in range(8)]
    assert [w.wait(60) for w in workers] == [0] * 8
    at_once, most = 0, 0
    for mark in log.read_text():
        at_once += 1 if mark == "+" else -1
        most = max(most, at_once)
    assert log.read_text().count("+") == 8
    assert 1 <= most <= 2


def test_a_directory_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match="file"),
        admit(tmp_path / "file" / "run", need_bytes=1, available_bytes=1, deadline_s=0),
    ):
        pass
