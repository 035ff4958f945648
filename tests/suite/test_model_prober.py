"""The accelerator is examined once in a run: real probes of a torch that stands in, on a machine of composed files."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sage_doctor.facts.machine import read_machine
from sage_doctor.report import MACHINE, Report
from sage_doctor.subjects.selection import Request, select
from sage_doctor.suite.examine import examine
from sage_doctor.suite.model_prober import DeviceProbe, ModelProber
from tests.model_directories import write_full, write_tensors
from tests.probe.stand_in_torch import write_metadata, write_torch

TWO = """
[models.one]
kind = "full"
path = "one"
[models.two]
kind = "full"
path = "two"
"""
NONE = '[roles.gpu]\naccelerator = "cuda"\n'
COUNTED = "open(__file__ + '.count', 'a').write('x')\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this host one with an NVIDIA card, as far as its files tell."""
    root = tmp_path / "root"
    for name, text in {"dev/nvidia0": "", "proc/meminfo": "MemTotal: 65841236 kB\nMemAvailable: 60114688 kB\n"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr("sage_doctor.subjects.host.read_machine", lambda: read_machine(root))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def run(place: Path, manifest: str, *, init: str, jobs: int = 0) -> Report:
    site = write_torch(place / "site", init=COUNTED + init)
    for name in ("transformers", "peft"):
        write_metadata(site, name, "5.23.0")
    python = place / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{site}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for name in ("one", "two"):
        write_full(place / name)
    (place / "sage-doctor.toml").write_text(f'schema = 1\npython = "{python}"\n{manifest}')
    return examine(Request(manifest=str(place / "sage-doctor.toml"), level="load", cwd=str(place)), jobs=jobs)


def probes(place: Path) -> int:
    return len((place / "site/torch/__init__.py.count").read_text())


def errors(report: Report) -> list[tuple[str, str]]:
    return [(f.code, f.subject) for f in report.findings if f.severity == "error"]


def test_one_broken_device_is_one_finding_and_blocks_every_model(machine: Path) -> None:
    report = run(machine, f'accelerator = "cuda"\n{TWO}', init="raise RuntimeError('No CUDA GPUs are available')")
    assert errors(report) == [("accelerator-missing", MACHINE)]
    loads = {(c.subject, c.status, c.reason) for c in report.checks if c.id == "load.loads"}
    assert loads == {(name, "skip", "blocked by accelerator-missing") for name in ("one", "two")}
    assert (report.exit_code, probes(machine)) == (1, 1)


def test_a_role_with_an_accelerator_and_no_models_is_examined(machine: Path) -> None:
    broken = run(machine, NONE, init="os.kill(os.getpid(), signal.SIGSEGV)")
    assert errors(broken) == [("accelerator-crashed", MACHINE)]
    assert broken.exit_code == 1


def test_a_role_with_an_accelerator_that_works_is_healthy(machine: Path) -> None:
    report = run(machine, NONE, init="pass")
    assert (report.verdict, report.exit_code, probes(machine)) == ("healthy", 0, 1)
    assert [c.status for c in report.checks if c.id == "environment.accelerator_works"] == ["pass"]


def test_a_model_for_the_processor_is_not_blocked_by_the_accelerator(machine: Path) -> None:
    manifest = f'accelerator = "cuda"\n{TWO}device = "cpu"\n'
    report = run(machine, manifest, init="raise RuntimeError('No CUDA GPUs are available')")
    reasons = {c.subject: c.reason for c in report.checks if c.id == "load.loads"}
    assert reasons["one"] == "blocked by accelerator-missing"
    assert reasons["two"] is None
    assert ("accelerator-missing", MACHINE) in errors(report)


def test_nothing_declared_and_a_device_nobody_sees_is_a_warning_once(machine: Path) -> None:
    site = machine / "site"
    report = run(machine, NONE.replace("cuda", "cpu"), init="pass")
    assert errors(report) == []
    (site / "torch/version.py").write_text("cuda = None\nhip = None\n")
    manifest = (machine / "sage-doctor.toml").read_text()
    (machine / "sage-doctor.toml").write_text(manifest.replace(NONE.replace("cuda", "cpu"), TWO))
    request = Request(manifest=str(machine / "sage-doctor.toml"), level="static", cwd=str(machine))
    found = [(f.code, f.severity, f.subject) for f in examine(request).findings if f.code == "torch-cpu-build"]
    assert found == [("torch-cpu-build", "warning", MACHINE)]


def test_worker_processes_share_one_examination(machine: Path) -> None:
    init = "raise RuntimeError('CUDA unknown error - this may be due to an incorrectly set up environment')"
    run(machine, f'accelerator = "cuda"\n{TWO}', init=init)
    before = probes(machine)
    shared = Request(manifest=str(machine / "sage-doctor.toml"), level="load", run_directory=str(machine))
    selection = select(shared)
    one, other = (ModelProber(selection, shared).examined(selection.host, "cuda") for _ in range(2))
    assert probes(machine) == before + 1
    assert one.finding is not None
    assert one.finding.code == "accelerator-missing"
    assert other == one
    works = run_again(machine, shared)
    assert (works.finding, works.memory_total) == (None, 8_000_000_000)


def run_again(place: Path, shared: Request) -> DeviceProbe:
    """Mend the device, and return what two more workers of another run are told of it."""
    text = (place / "site/torch/__init__.py").read_text().splitlines()
    (place / "site/torch/__init__.py").write_text("\n".join(s for s in text if not s.strip().startswith("raise Runt")))
    request = replace(shared, run_directory=str(place / "root"))
    selection = select(request)
    one, other = (ModelProber(selection, request).examined(selection.host, "cuda") for _ in range(2))
    assert one == other
    return one


def test_a_deadline_too_short_for_a_load_says_what_loads_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sage_doctor.suite import load_time

    write_full(tmp_path / "one")
    manifest = tmp_path / "sage-doctor.toml"
    manifest.write_text('schema = 1\n[models.one]\nkind = "full"\npath = "one"\n')
    (model,) = select(Request(manifest=str(manifest), cwd=str(tmp_path)), {"HOME": str(tmp_path)}).models
    assert "no load of it has been timed here yet" in load_time.too_short(model, 5.0)
    assert load_time.too_short(model, 60.0) == ""
    monkeypatch.setattr(load_time, "_measured", lambda _model: 50.0)
    assert "earlier loads took 50 s" in load_time.too_short(model, 60.0)
    assert load_time.too_short(model, 131.0) == ""


def test_a_table_of_vectors_is_not_loaded(machine: Path) -> None:
    (machine / "one/0_StaticEmbedding").mkdir(parents=True)
    write_tensors(machine / "one/0_StaticEmbedding/model.safetensors", {"embedding.weight": (4, 2)})
    (machine / "one/0_StaticEmbedding/tokenizer.json").write_text("{}")
    kind = "sentence_transformers.models.StaticEmbedding"
    (machine / "one/modules.json").write_text(json.dumps([{"path": "0_StaticEmbedding", "type": kind}]))
    report = examine(Request(targets=("one",), level="load", cwd=str(machine)))
    loading = next(c for c in report.checks if c.id == "load.loads")
    assert (loading.status, loading.reason) == (
        "skip",
        "none of its modules is a transformer; sentence-transformers loads it by itself",
    )
