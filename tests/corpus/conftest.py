"""Builds the corpus once a test run, whatever the number of workers, and lets the doctor examine it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.sharing import once

from .builders.table import CASES
from .examination import Corpus, alone


@pytest.fixture(scope="session")
def corpus(shared_directory: Path) -> Corpus:
    """Return the corpus, built."""
    built = Corpus(shared_directory / "corpus")
    with once(shared_directory, "corpus-built") as mark:
        if mark:
            built.build(CASES)
            mark.touch()
    return built


@pytest.fixture(scope="session")
def examined(corpus: Corpus, shared_directory: Path) -> Corpus:
    """Return the corpus, with what the doctor said about every case."""
    with once(shared_directory, "corpus-examined") as mark:
        if mark:
            corpus.examine(alone(CASES))
            mark.touch()
    return corpus


@pytest.fixture(scope="session")
def truths(corpus: Corpus, shared_directory: Path) -> dict[str, str]:
    """Return what transformers and PEFT do with each directory of the tree, by the case's name."""
    with once(shared_directory, "corpus-truths.json") as file:
        if file:
            file.write_text(json.dumps(corpus.try_for_real(CASES)), encoding="utf-8")
    told: dict[str, str] = json.loads((shared_directory / "corpus-truths.json").read_text(encoding="utf-8"))
    return told
