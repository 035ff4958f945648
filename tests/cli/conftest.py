"""The command line as a user meets it: a process of its own, with nothing of the real home in reach."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gate.stand_in import write_interpreter, write_site
from tests.warm_python import run_warm

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """A run that ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The report on standard output; only where nothing else is there."""
        assert self.out, (self.code, self.err)
        value: dict[str, Any] = json.loads(self.out)
        return value


Doctor = Callable[..., Done]
DOCTOR = (sys.executable, "-m", "sage_doctor")


def answered(answer: bytes, *command: str | Path, cwd: Path, env: Mapping[str, str]) -> Done:
    """Run a command whose standard input is a terminal, at which somebody types this."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        os.write(ours, answer)
        out, err = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    return Done(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a user without settings."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter in which every model loads and answers."""
    return write_interpreter(tmp_path / "env")


@pytest.fixture
def site(tmp_path: Path, python: Path) -> Path:
    """A manifest whose role `talk` is in good health."""
    return write_site(tmp_path / "site", python)


def _starter(
    program: Sequence[str | Path], place: Path, environment: Mapping[str, str]
) -> Callable[..., subprocess.Popen[bytes]]:
    def run(*words: str | bytes, cwd: Path = place, **changes: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*program, *words],
            cwd=cwd,
            env={**environment, **changes},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return run


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Callable[..., subprocess.Popen[bytes]]:
    """Start `sage-doctor` with these words."""
    return _starter(DOCTOR, tmp_path, environment)


@pytest.fixture
def begin(warm_doctor: Path, tmp_path: Path, environment: dict[str, str]) -> Callable[..., subprocess.Popen[bytes]]:
    """Start `sage-doctor` as `start` does, where it is left to end by itself: in a fork of a Python that has it."""
    return _starter([warm_doctor, "-m", "sage_doctor"], tmp_path, environment)


@pytest.fixture
def doctor(
    start: Callable[..., subprocess.Popen[bytes]], warm_doctor: Path, tmp_path: Path, environment: dict[str, str]
) -> Doctor:
    """Run `sage-doctor` with these words to its end. Keywords are variables of its environment.

    In a fork of a Python that has imported it, but where a variable is one that Python reads when it starts.
    """

    def run(*words: str | bytes, cwd: Path = tmp_path, **changes: str) -> Done:
        if any(name.startswith("PYTHON") for name in changes):
            process = start(*words, cwd=cwd, **changes)
            out, err = process.communicate(timeout=60)
            return _done(process.returncode, out, err)
        return warm_run(warm_doctor, *words, cwd=cwd, env={**environment, **changes})

    return run


def warm_run(program: Path, *words: str | bytes, cwd: Path, env: Mapping[str, str]) -> Done:
    """Run `sage-doctor` with these words to its end in a fork of a warm Python."""
    ended = run_warm(program, ("-m", "sage_doctor", *words), cwd=cwd, env=env)
    return _done(ended.returncode, ended.stdout, ended.stderr)


def _done(code: int, out: bytes, err: bytes) -> Done:
    done = Done(code, out.decode(errors="replace"), err.decode(errors="replace"))
    assert "Traceback" not in done.out + done.err
    return done


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return an empty directory to work in."""
    place = tmp_path / "repo"
    place.mkdir()
    return place
