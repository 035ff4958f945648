"""Kills and interrupts of real merges, at any moment: the old model is there, or the new one."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_doctor.merge import MergeCancelled, Step, apply
from sage_doctor.merge.staging import create_staging_dir

from .older_model import is_old, planned, rest

KILLS = int(os.environ.get("SAGE_DOCTOR_TEST_KILLS", "25"))
LOOP = Path(__file__).with_name("kill_loop.py")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [t for t in threading.enumerate() if t.name.startswith("sage-merge")]


@pytest.mark.parametrize(
    "count, name, start",
    [
        (KILLS, "SIGKILL", "warm"),
        (KILLS // 6, "SIGKILL", "cold"),
        (KILLS // 3, "SIGINT", "warm"),
        (3, "SIGTERM", "warm"),
    ],
)
def test_a_kill_at_any_moment_leaves_the_old_state_or_the_new(
    place: Path, count: int, name: str, start: str, warm_python: Path
) -> None:
    interpreter = [sys.executable] if start == "cold" else []
    done = subprocess.run(
        [warm_python, LOOP, place, str(count), name, *interpreter],
        capture_output=True, text=True, timeout=60 + 10 * count, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["differ"]
    assert seen["torn"] == 0
    assert seen["old"] > 0
    assert seen["rest"] == [], "the run after a kill clears up"
    assert seen["left_over"] == 0 or name == "SIGKILL", "an interrupted merge clears up after itself"


def command(place: Path, *, before: Path | None = None) -> subprocess.Popen[str]:
    """Start the merge as a command, which has torch to import yet; `before` is where Python looks first."""
    paths = [str(before)] if before is not None else []
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, *sys.path]), "XDG_CACHE_HOME": str(place)}
    words = ["merge", place / "adapter", "--base", place / "base", "--out", place / "merged", "--yes"]
    return subprocess.Popen(
        [sys.executable, "-m", "sage_doctor", *map(str, words)],
        env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("after_s", [0.0, 0.2, 0.6])
def test_an_interrupt_while_torch_is_imported_leaves_nothing(place: Path, after_s: float) -> None:
    process = command(place)
    deadline = time.monotonic() + 60
    while not any(n.startswith(".merged.sage-merge-") for n in rest(place)) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode in (130, 0), said
    assert is_old(place) == (process.returncode == 130)
    assert rest(place) == []
    assert "Traceback" not in said


def test_interrupts_without_end_end_it(place: Path) -> None:
    process = command(place)
    deadline = time.monotonic() + 60
    while not any(n.startswith(".merged.sage-merge-") for n in rest(place)) and time.monotonic() < deadline:
        time.sleep(0.001)
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(signal.SIGINT)
        time.sleep(0.003)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130, said
    assert is_old(place)
    assert [n for n in rest(place) if not n.endswith(".lock")] == []
    assert "Traceback" not in said


def test_a_torch_that_cannot_be_imported_is_said_and_changes_nothing(place: Path, tmp_path: Path) -> None:
    (tmp_path / "broken" / "torch").mkdir(parents=True)
    (tmp_path / "broken" / "torch" / "__init__.py").write_text("raise ImportError('libfoo.so.1: no such file')")
    process = command(place, before=tmp_path / "broken")
    _, said = process.communicate(timeout=60)

    assert process.returncode == 3, said
    assert "torch is installed but cannot be imported (ImportError: libfoo.so.1: no such file)" in said
    assert is_old(place)
    assert rest(place) == []


def test_an_interrupt_as_soon_as_there_is_a_staging_directory(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path, target: Path, *, keep: bool) -> None:
        create_staging_dir(path, target, keep=keep)
        raise KeyboardInterrupt

    monkeypatch.setattr("sage_doctor.merge.run.create_staging_dir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        apply(planned(place))

    assert is_old(place)
    assert rest(place) == []


def test_an_interrupt_between_two_renames_takes_the_first_one_back(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def unknown(*_: object) -> None:
        raise OSError(errno.ENOSYS, "no exchange")

    def rename(one: Path, other: Path) -> None:
        real(one, other)
        if str(other).endswith("-replaced"):
            raise KeyboardInterrupt

    monkeypatch.setattr("sage_doctor.merge.staging._exchange", unknown)
    monkeypatch.setattr("os.rename", rename)
    with pytest.raises(KeyboardInterrupt):
        apply(planned(place))

    assert is_old(place)
    assert rest(place) == []


def test_a_cancelled_merge_leaves_no_trace(place: Path) -> None:
    steps: list[Step] = []

    with pytest.raises(MergeCancelled):
        apply(planned(place), progress=steps.append, cancel=lambda: len(steps) > 3)

    assert is_old(place)
    assert rest(place) == []
    assert 0 < steps[-1].done < steps[-1].total
