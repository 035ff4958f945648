"""What people see, kept as text: look at each file, and read it aloud, before `UPDATE_GOLDEN=1` takes it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sage_doctor.render import render
from sage_doctor.report import MachineInfo, Report
from sage_doctor.subjects.selection import Request
from sage_doctor.suite.examine import examine
from tests.model_directories import ADAPTER, MODEL, POINTER, write_adapter, write_full, write_sharded

from .conftest import Doctor

GOLDEN = Path(__file__).parent / "golden"
WIDTHS = (60, 80, 120)
SHOWN_AS = "/srv/models/thor1"  # as long as the directory: lines break where they would


def healthy(top: Path) -> None:
    base = write_full(top / "qwen2.5-0.5b")
    for name in ("introspective-v1", "introspective-v2"):
        write_adapter(top / name, base)


def one_broken(top: Path) -> None:
    healthy(top)
    (top / "introspective-v1" / ADAPTER).unlink()


def ten_broken(top: Path) -> None:
    base = write_full(top / "qwen-base")
    for name in ("archive-a", "archive-b"):
        (write_full(top / name) / MODEL).unlink()
    cut = write_full(top / "cut") / MODEL
    cut.write_bytes(cut.read_bytes()[:-100])
    next(write_sharded(top / "sharded").glob("*00002*")).unlink()
    (write_full(top / "lfs") / MODEL).write_text(POINTER)
    (write_full(top / "no-tokenizer") / "tokenizer.json").unlink()
    (write_full(top / "bad-config") / "config.json").write_text("{\n broken")
    write_adapter(top / "introspective", "dp/epistemic-base")
    write_adapter(top / "rank", base, r=4)
    (write_adapter(top / "no-weights", base) / ADAPTER).unlink()


def many_adapters(top: Path) -> None:
    base = write_full(top / "base")
    for n in range(80):
        made = write_adapter(top / f"run-{n:02}", base if n % 8 else "/home/dp/zoo/epistemic")
        if n % 20 == 3:
            (made / ADAPTER).unlink()
    for n in range(16):
        (write_full(top / "archive" / f"checkpoint-{n}") / MODEL).unlink()


@pytest.fixture
def top(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory whose path is always as long."""
    path = Path(tempfile.mkdtemp(prefix="zoo-", dir="/tmp"))
    monkeypatch.setenv("HOME", str(path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(path / "home" / "hub"))
    yield path
    shutil.rmtree(path)


def compare(name: str, screens: list[str], top: Path) -> None:
    for screen in screens:
        assert len(screen.splitlines()) <= 40, screen
    text = ("\n" + "=" * 120 + "\n").join(screens).replace(str(top), SHOWN_AS).replace("\x1b[", "␛[")
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{name} differs; look at it, then UPDATE_GOLDEN=1"


@pytest.mark.parametrize("build", [healthy, one_broken, ten_broken, many_adapters])
def test_check(build: Callable[[Path], None], top: Path) -> None:
    build(top / "zoo")
    report = examine(Request(targets=("zoo",), cwd=str(top), level="static"))
    machine = MachineInfo(name="thor", hostname="thor", accelerator="cuda", memory_bytes=131_000_000_000)
    data = {**report.to_json(), "doctor": {"version": "0.1.0"}, "duration_s": 1.2, "machine": machine.__dict__}
    same = Report.from_json(json.loads(json.dumps(data, default=list)))
    screens = [render(same, "terminal", width=width) for width in WIDTHS]
    compare(f"check-{build.__name__}", [*screens, render(same, "terminal", width=80, color=True)], top)


def test_fix(doctor: Doctor, top: Path) -> None:
    one_broken(top / "zoo")
    (write_sharded(top / "zoo" / "no-index") / "model.safetensors.index.json").unlink()
    write_sharded(write_full(top / "zoo" / "two-sets"))
    places = {"HOME": str(top / "home"), "XDG_STATE_HOME": str(top / "state"), "HF_HUB_CACHE": str(top / "hub")}
    runs = [doctor("fix", str(top / "zoo"), "--dry-run", COLUMNS=str(width), **places) for width in WIDTHS]
    compare("fix-dry-run", [run.out for run in runs], top)


def test_gate(doctor: Doctor, top: Path) -> None:
    one_broken(top / "zoo")
    models = "".join(
        f'[models."{name}"]\nkind = "{kind}"\npath = "zoo/{name}"\n'
        for name, kind in (("qwen2.5-0.5b", "full"), ("introspective-v1", "adapter"), ("introspective-v2", "adapter"))
    )
    roles = '[roles.raising]\nmodels = ["introspective-v1"]\n[roles.talking]\nmodels = ["introspective-v2"]\n'
    (top / "sage-doctor.toml").write_text(f"schema = 1\n{roles}{models}")
    screens = []
    for role in ("raising", "talking", "talkin"):
        run = doctor("gate", role, "-l", "static", "-m", str(top / "sage-doctor.toml"), HOME=str(top / "home"))
        screens.append(f"$ sage-doctor gate {role}  (exit code {run.code})\n{run.out}{run.err}")
    compare("gate", screens, top)
