"""What is given as a target: directories, missing ones, files, nothing at all; and what a program reads from stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .examination import Corpus


def ask(corpus: Corpus, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `sage-doctor` with `words`."""
    return subprocess.run(
        [sys.executable, "-m", "sage_doctor", *words],
        cwd=cwd,
        env=corpus.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    "words, code",
    [
        ([], 3),  # the working directory holds nothing to examine
        (["check"], 3),
        (["check", "."], 3),
        (["check", "missing/model"], 1),  # a path, so the user means a directory: it is ill, not misspelt
        (["check", "/home/sprout/model-zoo/introspective-qwen-merged"], 1),
        (["check", "notes.txt"], 1),
        (["check", "introspective-qwen"], 2),  # a name, and no manifest that could know it
        (["check", "--level", "deepest", "."], 2),
        (["check", "--format", "yaml", "."], 2),
        (["check", "-m", "missing.toml"], 2),
        (["check", "--no-such-option"], 2),
        (["chekc"], 2),
    ],
)
def test_exit_code(corpus: Corpus, tmp_path: Path, words: list[str], code: int) -> None:
    """Wrong usage is 2, nothing to examine is 3, and a path without a model is an ill model."""
    (tmp_path / "notes.txt").write_text("none", encoding="utf-8")
    done = ask(corpus, tmp_path, *words)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    assert (done.stdout + done.stderr).strip()


def test_nothing_there_says_what_to_do(corpus: Corpus, tmp_path: Path) -> None:
    """Who starts it in an empty directory learns what to write, and where to see it work."""
    done = ask(corpus, tmp_path)
    assert "sage-doctor.toml" in done.stderr
    assert "sage-doctor init" in done.stderr
    assert "demo" in done.stderr


@pytest.mark.parametrize("name", ["special/name-of-two-lines", "special/name-not-utf8", "weights/half"])
def test_json_alone_on_stdout(corpus: Corpus, tmp_path: Path, name: str) -> None:
    """`-f json` prints one JSON value and nothing else, whatever the directory is called."""
    done = ask(corpus, tmp_path, "check", "-f", "json", str(corpus.tree / name))
    report = json.loads(done.stdout)
    assert report["exit_code"] == done.returncode
    assert {c["subject"] for c in report["checks"]} > {"machine"}


def test_fail_on(corpus: Corpus, tmp_path: Path) -> None:
    """A warning fails whoever asks for that; `never` fails nobody."""
    warned, ill = str(corpus.tree / "shards" / "stale-single-file"), str(corpus.tree / "weights" / "half")
    codes = [
        ask(corpus, tmp_path, "check", "--fail-on", when, target).returncode
        for when, target in (("error", warned), ("warning", warned), ("never", ill))
    ]
    assert codes == [0, 1, 0]


def test_finds_a_model_from_within(corpus: Corpus) -> None:
    """Without a manifest and a target, the working directory is the target."""
    done = ask(corpus, corpus.tree / "stock" / "llama", "check", "-f", "json")
    assert done.returncode == 0, done.stderr
    assert "." in {c["subject"] for c in json.loads(done.stdout)["checks"]}
