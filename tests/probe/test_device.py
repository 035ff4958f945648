"""Devices that break in the ways real ones do, examined by the real probe process with a torch that stands in."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.findings.device import device_finding
from sage_doctor.probe.handle import run_probe
from sage_doctor.probe.outcome import ProbeOutcome
from sage_doctor.probe.protocol import ProbeRequest
from sage_doctor.report import Finding
from sage_doctor.subjects.device import BEST
from sage_doctor.subjects.host import Host

from .stand_in_torch import write_torch

JETSON_ASSERT = (
    'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "/opt/pytorch/c10/cuda/CUDACachingAllocator.cpp":838, '
    "please report a bug to PyTorch. "
)
NO_IMAGE = "CUDA error: no kernel image is available for execution on the device"
TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading "
    "and installing a new version"
)


def examine(
    site: Path, *, device: str = "cuda", deadline_s: float = 60, environ: dict[str, str] | None = None, **torch: Any
) -> ProbeOutcome:
    write_torch(site, **torch)
    return run_probe(
        ProbeRequest(level="device", device=None if device == BEST else device),
        python=Path(sys.executable),
        deadline_s=deadline_s,
        environ={**os.environ, "PYTHONPATH": str(site), **(environ or {})},
    )


def judged(site: Path, *, device: str = "cuda", environ: dict[str, str] | None = None, **torch: Any) -> Finding:
    outcome = examine(site, device=device, environ=environ, **torch)
    host = Host(cwd=site, home=site, environ=environ or {}, root=site)
    found = device_finding(host, device, outcome)
    assert found is not None, outcome
    assert found.message.isprintable()
    return found


def test_a_sound_device_is_proved_without_a_model(tmp_path: Path) -> None:
    outcome = examine(tmp_path)
    assert outcome.completed, outcome.output_tail
    assert [s.name for s in outcome.stages] == ["start", "import", "device", "allocate", "compute", "done"]
    device = outcome.device
    assert device is not None
    assert (device.used, device.name, device.problem, device.cuda_build) == ("cuda", "Stand-In GPU", "", "12.8")
    assert (device.memory_free, device.memory_total) == (7_000_000_000, 8_000_000_000)
    assert device_finding(Host(cwd=tmp_path, home=tmp_path, environ={}), "cuda", outcome) is None


def test_metal_and_rocm_are_proved_alike(tmp_path: Path) -> None:
    metal = examine(tmp_path / "mps", device="mps", cuda=None)
    rocm = examine(tmp_path / "rocm", cuda=None, hip="6.2.1", version="2.9.0+rocm6.2")
    assert metal.completed
    assert rocm.completed
    assert metal.device is not None
    assert rocm.device is not None
    assert (metal.device.used, metal.device.memory_total, rocm.device.cuda_build) == ("mps", 0, "6.2.1")


@pytest.mark.parametrize(
    "torch, code, says",
    [
        ({"init": "raise AssertionError('Torch not compiled with CUDA enabled')"}, "torch-cpu-build", "CPU only"),
        ({"init": f"raise RuntimeError({TOO_OLD!r})"}, "driver-mismatch", "in the first call to the device"),
        ({"init": "raise RuntimeError('No CUDA GPUs are available')"}, "accelerator-missing", "No CUDA GPUs"),
        ({"init": "raise RuntimeError('CUDA unknown error - this may be due to')"}, "accelerator-missing", "unknown"),
        ({"available": False}, "accelerator-fallback", "torch sees no CUDA device"),
        ({"allocate": "device = 'cpu'"}, "accelerator-fallback", "asked for cuda, got cpu"),
        ({"allocate": "raise OutOfMemoryError('CUDA out of memory. Tried')"}, "accelerator-out-of-memory", "no memory"),
        ({"allocate": f"raise RuntimeError({JETSON_ASSERT!r})"}, "accelerator-out-of-memory", "NVML_SUCCESS"),
        ({"compute": f"raise RuntimeError({NO_IMAGE!r})"}, "torch-arch-unsupported", "in the first computation"),
        ({"compute": "raise RuntimeError('CUDA error: unspecified launch failure')"}, "accelerator-failed", "launch"),
        ({"compute": "wrong = 1.0"}, "accelerator-wrong-numbers", "sums to 262145, not 262144"),
        ({"compute": "wrong = float('nan')"}, "accelerator-wrong-numbers", "sums to nan"),
        ({"compute": "wrong = len(self.rows) == 1"}, "accelerator-wrong-numbers", "1 + 3 + 5"),
        ({"init": "os.kill(os.getpid(), signal.SIGSEGV)"}, "accelerator-crashed", "SIGSEGV in stage device"),
        ({"compute": "os.kill(os.getpid(), signal.SIGILL)"}, "accelerator-crashed", "first computation"),
        ({"init": "os._exit(0)"}, "probe-protocol", "without a message"),
    ],
)
def test_each_way_to_break_is_its_own_finding(tmp_path: Path, torch: dict[str, Any], code: str, says: str) -> None:
    found = judged(tmp_path, **torch)
    assert (found.code, found.severity) == (code, "error")
    assert says in found.message
    assert found.fix.summary
    assert not any("install" in c for c in found.fix.commands)


@pytest.mark.parametrize(
    "torch, code",
    [
        ({"built": False}, "torch-cpu-build"),
        ({"available": False}, "accelerator-fallback"),
        (
            {"allocate": "raise RuntimeError('MPS backend out of memory')"},
            "accelerator-out-of-memory",
        ),
        ({"compute": "wrong = 2.0"}, "accelerator-wrong-numbers"),
    ],
)
def test_metal_breaks_in_its_own_ways(tmp_path: Path, torch: dict[str, Any], code: str) -> None:
    assert judged(tmp_path, device="mps", cuda=None, **torch).code == code


POINTS = ("init", "allocate", "compute")


@pytest.fixture(scope="module")
def hung(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ProbeOutcome]:
    """What becomes of a device that hangs at each point; all are waited for at once."""

    def hang(point: str) -> ProbeOutcome:
        return examine(tmp_path_factory.mktemp(point), deadline_s=5, **{point: "time.sleep(600)"})  # type: ignore[arg-type]

    with ThreadPoolExecutor(len(POINTS)) as pool:
        return dict(zip(POINTS, pool.map(hang, POINTS), strict=True))


@pytest.mark.parametrize("point", POINTS)
def test_a_hang_is_bounded_and_its_stage_named(hung: dict[str, ProbeOutcome], tmp_path: Path, point: str) -> None:
    found = device_finding(Host(cwd=tmp_path, home=tmp_path, environ={}), "cuda", hung[point])
    assert found is not None
    assert found.code == "accelerator-timeout"
    where = {"init": "first call", "allocate": "first allocation", "compute": "first computation"}[point]
    assert f"hung in the {where}" in found.message
    assert any("torch/__init__.py" in frame for frame in found.evidence["where"])


def test_a_torch_that_does_not_import_is_not_a_sound_device(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')\n")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    request = ProbeRequest(level="device", device="cuda")
    outcome = run_probe(request, python=Path(sys.executable), deadline_s=60, environ=environ)
    found = device_finding(Host(cwd=tmp_path, home=tmp_path, environ={}), "cuda", outcome)
    assert found is not None
    assert (found.code, "libcudart.so.12" in found.message) == ("library-unloadable", True)


def test_an_interpreter_that_is_gone_is_not_a_sound_device(tmp_path: Path) -> None:
    outcome = run_probe(ProbeRequest(level="device"), python=tmp_path / "gone", deadline_s=60)
    found = device_finding(Host(cwd=tmp_path, home=tmp_path, environ={}), "cuda", outcome)
    assert found is not None
    assert found.code == "interpreter-missing"


def test_devices_that_the_environment_hides(tmp_path: Path) -> None:
    init = "raise RuntimeError('No CUDA GPUs are available')"
    found = judged(tmp_path, init=init, environ={"CUDA_VISIBLE_DEVICES": "-1"})
    assert found.code == "accelerator-hidden"
    assert "CUDA_VISIBLE_DEVICES=-1" in found.message


def test_settings_of_the_allocator_are_named(tmp_path: Path) -> None:
    environ = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    found = judged(tmp_path, allocate=f"raise RuntimeError({JETSON_ASSERT!r})", environ=environ)
    assert "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True is set" in found.fix.summary


def test_out_of_memory_says_who_could_not_be_looked_into(tmp_path: Path) -> None:
    found = judged(tmp_path, allocate="raise OutOfMemoryError('CUDA out of memory.')")
    assert isinstance(found.evidence["held_by"], list)
    assert found.evidence["processes_not_visible"] >= 0


def test_nothing_declared_and_nothing_seen_is_a_fallback_without_a_word(tmp_path: Path) -> None:
    found = judged(tmp_path, device=BEST, available=False)
    assert (found.code, found.severity) == ("accelerator-fallback", "warning")


def test_the_processor_with_a_real_torch() -> None:
    request = ProbeRequest(level="device", accelerator="cpu")
    outcome = run_probe(request, python=Path(sys.executable), deadline_s=300)
    assert outcome.completed, outcome.output_tail
    assert outcome.device is not None
    assert (outcome.device.used, outcome.device.problem) == ("cpu", "")


def test_a_real_torch_for_the_processor_says_what_it_lacks() -> None:
    request = ProbeRequest(level="device", accelerator="cuda")
    outcome = run_probe(request, python=Path(sys.executable), deadline_s=300)
    here = Path.cwd()
    found = device_finding(Host(cwd=here, home=here, environ={}), "cuda", outcome)
    if outcome.device is not None and not outcome.device.problem:  # a machine with a GPU
        assert found is None
    elif outcome.device is not None and not outcome.device.cuda_build:
        assert found is not None
        assert found.code == "torch-cpu-build"
    else:
        assert found is not None
