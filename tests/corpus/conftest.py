"""Builds the corpus once a test run, whatever the number of workers, and lets the doctor examine it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .builders.table import CASES
from .examination import Corpus, alone


@contextmanager
def _once(directory: Path, name: str) -> Iterator[Path | None]:
    """Give the file to be made, or None where it is there: one worker makes it, the others wait."""
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = directory / name
        yield None if made.exists() else made


@pytest.fixture(scope="session")
def corpus_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory that all workers of a run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def corpus(corpus_directory: Path) -> Corpus:
    """Return the corpus, built."""
    built = Corpus(corpus_directory / "corpus")
    with _once(corpus_directory, "corpus-built") as mark:
        if mark:
            built.build(CASES)
            mark.touch()
    return built


@pytest.fixture(scope="session")
def examined(corpus: Corpus, corpus_directory: Path) -> Corpus:
    """Return the corpus, with what the doctor said about every case."""
    with _once(corpus_directory, "corpus-examined") as mark:
        if mark:
            corpus.examine(alone(CASES))
            mark.touch()
    return corpus


@pytest.fixture(scope="session")
def truths(corpus: Corpus, corpus_directory: Path) -> dict[str, str]:
    """Return what transformers and PEFT do with each directory of the tree, by the case's name."""
    with _once(corpus_directory, "corpus-truths.json") as file:
        if file:
            file.write_text(json.dumps(corpus.try_for_real(CASES)), encoding="utf-8")
    told: dict[str, str] = json.loads((corpus_directory / "corpus-truths.json").read_text(encoding="utf-8"))
    return told
