"""Sources that nobody wrote for this: no crash, nothing taken for another machine's path, in bounded time."""

from __future__ import annotations

import importlib.util
import os
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from sage_doctor.paths.find import read_script
from sage_doctor.paths.find.path_map import build_path_map
from sage_doctor.paths.scan import ScannedFile

# `make soak` reads all of them.
MOST = int(os.environ.get("SAGE_DOCTOR_TEST_SOURCES", "250"))


def sources(name: str) -> list[Path]:
    if name == "stdlib":
        top = Path(sysconfig.get_path("stdlib"))
    else:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        top = Path(spec.origin).parent
    # In the order of a hash of their names: a sample is spread over the whole tree and always the same.
    found = [p for p in top.rglob("*.py") if "site-packages" not in p.relative_to(top).parts]
    return sorted(found, key=lambda p: hash_of(p.relative_to(top).as_posix()))[:MOST]


def hash_of(text: str) -> int:
    value = 0
    for letter in text.encode():
        value = (value * 31 + letter) % 1_000_003
    return value


@pytest.mark.parametrize("name", ["stdlib", "transformers", "peft", "torch"])
def test_nothing_is_found_in_sources_of_libraries(name: str, tmp_path: Path) -> None:
    known = build_path_map(
        home=tmp_path, own_roots=[tmp_path / "hrm"], other_roots=["/home/sprout"], machine_names=["sprout", "thor"]
    )
    files = sources(name)
    assert len(files) >= min(MOST, 100)
    problems: Counter[str] = Counter()
    for path in files:
        script = read_script(path, known, directory=path.parent)
        problems[script.problem.partition(" (line")[0]] += 1
        classified = tuple((o, known.classify(o.text)) for o in script.references)
        seen = ScannedFile(script=script, subject=path.name, classified=classified, other_roots=known.other_roots)
        assert seen.broken_paths == [], path
    assert problems[""] >= 0.97 * len(files), problems
