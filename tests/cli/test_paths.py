"""`sage-doctor paths`, as a person and a program see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.model_directories import write_full

ROOT = Path(__file__).parents[2]
MANIFEST = """schema = 1
[machines.here]
match.hostname = "*"
[machines.sprout]
match.hostname = "no-such-host"
home = "/home/sprout"
[roles.r]
models = ["m"]
runners = ["scripts/*.py"]
[models.m]
kind = "full"
path = "zoo/m"
"""
SCRIPT = '''"""Of /home/sprout."""
MODEL = "/home/sprout/hrm/zoo/m"
BIN = "/usr/bin/env"
LOG = f"/home/sprout/hrm/zoo/{BIN}"
'''


def paths(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (directory / "home").mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(directory / "home"), "SAGE_MACHINE": "here"}
    return subprocess.run(
        [sys.executable, "-m", "sage_doctor", "paths", *words],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    write_full(tmp_path / "zoo/m")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "sage-doctor.toml").write_text(MANIFEST, encoding="utf-8")
    (tmp_path / "scripts/run.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path


def test_what_a_run_would_take_is_listed_with_how_to_write_it(checkout: Path) -> None:
    done = paths(checkout)
    assert done.returncode == 1, done.stderr
    assert "scripts/run.py:2:9: mappable /home/sprout/hrm/zoo/m\n" in done.stdout
    assert f"    here   {checkout}/zoo/m\n" in done.stdout
    assert '    write  str(resolve("m"))\n' in done.stdout
    assert '    maybe  f"{Path(__file__).resolve().parents[1]}/zoo/{BIN}"\n' in done.stdout
    assert "/usr/bin" not in done.stdout
    assert done.stdout.endswith("1 files read; paths: 1 documentation, 2 mappable\n")


def test_a_program_reads_it_too(checkout: Path) -> None:
    done = paths(checkout, "-f", "json", "--all", "scripts/run.py")
    said = json.loads(done.stdout)
    assert [(p["line"], p["class"], p["certain"]) for p in said["paths"]] == [
        *((1, "documentation", None), (2, "mappable", True), (3, "external", None), (4, "mappable", False))
    ]


def test_nothing_wrong_is_0(checkout: Path) -> None:
    (checkout / "scripts/run.py").write_text("print()\n", encoding="utf-8")
    done = paths(checkout)
    assert (done.returncode, done.stdout) == (0, "1 files read; paths: none\n")


def test_a_file_that_is_not_there_is_wrong_usage(checkout: Path) -> None:
    assert paths(checkout, "nowhere.py").returncode == 2
