"""What is given as a target: directories, missing ones, files, nothing at all; and what a program reads from stdout."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.warm_python import run_warm

from .examination import TARGETS, Corpus

Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ask(corpus: Corpus, warm_doctor: Path) -> Ask:
    """Run `sage-doctor` with words in a directory: what `Corpus.ask` does, in a fork of a Python that has it."""

    def run(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
        done = run_warm(warm_doctor, ("-m", "sage_doctor", *words), cwd=cwd, env=corpus.environment())
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.mark.parametrize("words, code", TARGETS)
def test_exit_code(ask: Ask, tmp_path: Path, words: list[str], code: int) -> None:
    """Wrong usage is 2, nothing to examine is 3, and a path without a model is an ill model."""
    (tmp_path / "notes.txt").write_text("none", encoding="utf-8")
    done = ask(tmp_path, *words)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    assert (done.stdout + done.stderr).strip()


def test_nothing_there_says_what_to_do(ask: Ask, tmp_path: Path) -> None:
    """Who starts it in an empty directory learns what to write, and where to see it work."""
    done = ask(tmp_path)
    assert "sage-doctor.toml" in done.stderr
    assert "sage-doctor init" in done.stderr
    assert "demo" in done.stderr


@pytest.mark.parametrize("name", ["special/name-of-two-lines", "special/name-not-utf8", "weights/half"])
def test_json_alone_on_stdout(ask: Ask, corpus: Corpus, tmp_path: Path, name: str) -> None:
    """`-f json` prints one JSON value and nothing else, whatever the directory is called."""
    done = ask(tmp_path, "check", "-f", "json", str(corpus.tree / name))
    report = json.loads(done.stdout)
    assert report["exit_code"] == done.returncode
    assert {c["subject"] for c in report["checks"]} > {"machine"}


def test_fail_on(ask: Ask, corpus: Corpus, tmp_path: Path) -> None:
    """A warning fails whoever asks for that; `never` fails nobody."""
    warned, ill = str(corpus.tree / "shards" / "stale-single-file"), str(corpus.tree / "weights" / "half")
    codes = [
        ask(tmp_path, "check", "--fail-on", when, target).returncode
        for when, target in (("error", warned), ("warning", warned), ("never", ill))
    ]
    assert codes == [0, 1, 0]


def test_finds_a_model_from_within(ask: Ask, corpus: Corpus) -> None:
    """Without a manifest and a target, the working directory is the target."""
    done = ask(corpus.tree / "stock" / "llama", "check", "-f", "json")
    assert done.returncode == 0, done.stderr
    assert "." in {c["subject"] for c in json.loads(done.stdout)["checks"]}
