"""What is given as a target: directories, missing ones, files, nothing at all; and what a program reads from stdout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .examination import TARGETS, Corpus


@pytest.mark.parametrize("words, code", TARGETS)
def test_exit_code(corpus: Corpus, tmp_path: Path, words: list[str], code: int) -> None:
    """Wrong usage is 2, nothing to examine is 3, and a path without a model is an ill model."""
    (tmp_path / "notes.txt").write_text("none", encoding="utf-8")
    done = corpus.ask(tmp_path, *words)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    assert (done.stdout + done.stderr).strip()


def test_nothing_there_says_what_to_do(corpus: Corpus, tmp_path: Path) -> None:
    """Who starts it in an empty directory learns what to write, and where to see it work."""
    done = corpus.ask(tmp_path)
    assert "sage-doctor.toml" in done.stderr
    assert "sage-doctor init" in done.stderr
    assert "demo" in done.stderr


@pytest.mark.parametrize("name", ["special/name-of-two-lines", "special/name-not-utf8", "weights/half"])
def test_json_alone_on_stdout(corpus: Corpus, tmp_path: Path, name: str) -> None:
    """`-f json` prints one JSON value and nothing else, whatever the directory is called."""
    done = corpus.ask(tmp_path, "check", "-f", "json", str(corpus.tree / name))
    report = json.loads(done.stdout)
    assert report["exit_code"] == done.returncode
    assert {c["subject"] for c in report["checks"]} > {"machine"}


def test_fail_on(corpus: Corpus, tmp_path: Path) -> None:
    """A warning fails whoever asks for that; `never` fails nobody."""
    warned, ill = str(corpus.tree / "shards" / "stale-single-file"), str(corpus.tree / "weights" / "half")
    codes = [
        corpus.ask(tmp_path, "check", "--fail-on", when, target).returncode
        for when, target in (("error", warned), ("warning", warned), ("never", ill))
    ]
    assert codes == [0, 1, 0]


def test_finds_a_model_from_within(corpus: Corpus) -> None:
    """Without a manifest and a target, the working directory is the target."""
    done = corpus.ask(corpus.tree / "stock" / "llama", "check", "-f", "json")
    assert done.returncode == 0, done.stderr
    assert "." in {c["subject"] for c in json.loads(done.stdout)["checks"]}
