"""What the fuzzer begins with, and what once broke a reader: each is read, and every reader is fuzzed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.readers import READERS, run
from tests.fuzz.seeds import SEEDS

FINDS = sorted((Path(__file__).parent / "finds").glob("*/*"))


def test_every_reader_has_seeds() -> None:
    assert list(SEEDS) == list(READERS)


@pytest.mark.parametrize("name", READERS)
def test_seed(name: str) -> None:
    for raw in SEEDS[name]:
        run(name, raw)


def test_finds() -> None:
    broken = []
    for path in FINDS:
        try:
            run(path.parent.name, path.read_bytes())
        except Exception as error:  # noqa: BLE001 - all of them are told
            broken.append(f"{path.parent.name}/{path.name}: {type(error).__name__}: {error}")
    assert not broken
