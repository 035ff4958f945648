"""The host and the interpreter that sessions run in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.facts.accelerator import AcceleratorSign, NvidiaDriver
from sage_doctor.facts.kernel_log import KernelLog, Xid
from sage_doctor.facts.machine import MachineFacts
from sage_doctor.facts.packages import InterpreterFacts
from sage_doctor.probe.outcome import Failure, ProbeOutcome
from tests.model_directories import write_adapter, write_full

from .cases import SESSION, Bench, Build, Case, Cases

CASES = Cases()
ONE_MODEL = '[models.m]\nkind = "full"\npath = "here"\n'
OTHER_MACHINE = f'[machines.other]\nmatch.hostname = "no-such-host-*"\n[roles.r]\nmodels = ["m"]\n{ONE_MODEL}'
MPS = AcceleratorSign(kind="mps", source="Apple silicon", is_device=True)
CUDA = AcceleratorSign(kind="cuda", source="/dev/nvidia0", is_device=True)


def with_devices(*signs: AcceleratorSign, **driver: Any) -> "object":
    def change(facts: MachineFacts) -> MachineFacts:
        return replace(facts, accelerator_signs=signs, nvidia=NvidiaDriver(**driver))

    return change


def on_cuda(bench: Bench, *signs: AcceleratorSign, torch: str = "cuda", **driver: Any) -> None:
    write_full(bench.here)
    bench.manifest(f'accelerator = "cuda"\n{ONE_MODEL}', "m")
    bench.session = replace(SESSION, torch_accelerator=torch)  # type: ignore[arg-type]
    bench.machine = with_devices(*signs, **driver)  # type: ignore[assignment]


@CASES.passes("check_interpreter")
@CASES.passes("check_packages")
@CASES.skips("check_machine", "no machines are declared")
@CASES.skips("check_accelerator", "no accelerator is declared")
def whole(bench: Bench) -> None:
    write_full(bench.here)


@CASES.passes("check_machine")
def this_machine(bench: Bench) -> None:
    write_full(bench.here)
    bench.manifest(OTHER_MACHINE.replace("no-such-host-*", "*"), "m")


@CASES.finds("check_machine", "machine-unmatched", "no [machines.X]", severity="warning")
def no_machine_of_the_manifest(bench: Bench) -> None:
    write_full(bench.here)
    bench.manifest(OTHER_MACHINE, "m")


def without(bench: Bench, problem: str, detail: str = "") -> None:
    write_full(bench.here)
    bench.session = InterpreterFacts(executable="/gone/python", problem=problem, detail=detail)  # type: ignore[arg-type]


@CASES.finds("check_interpreter", "interpreter-missing", "/gone/python does not exist")
@CASES.skips("check_packages", "blocked by interpreter-missing")
def interpreter_gone(bench: Bench) -> None:
    without(bench, "missing")


@CASES.finds("check_interpreter", "interpreter-missing", "cannot be executed: no x bit")
def interpreter_not_executable(bench: Bench) -> None:
    without(bench, "not-executable", "no x bit")


@CASES.finds("check_interpreter", "interpreter-missing", "is not a Python interpreter")
def interpreter_is_something_else(bench: Bench) -> None:
    without(bench, "not-python")


@CASES.finds("check_interpreter", "package-unknown", "(timeout): gave no answer", severity="warning")
def interpreter_says_nothing(bench: Bench) -> None:
    without(bench, "timeout", "gave no answer in time")


@CASES.finds("check_packages", "package-missing", "/opt/sessions/bin/python: torch, transformers")
def empty_environment(bench: Bench) -> None:
    write_full(bench.here)
    bench.session = replace(SESSION, packages={})


@CASES.finds("check_packages", "package-missing", "/opt/sessions/bin/python: peft")
def adapter_without_peft(bench: Bench) -> None:
    write_adapter(bench.here, write_full(bench.root / "base"))
    bench.session = replace(SESSION, packages={**SESSION.packages, "peft": None})


@CASES.passes("check_packages")
def full_model_without_peft(bench: Bench) -> None:
    write_full(bench.here)
    bench.session = replace(SESSION, packages={**SESSION.packages, "peft": None})


@CASES.passes("check_accelerator")
def cuda_there(bench: Bench) -> None:
    on_cuda(bench, CUDA)


@CASES.finds("check_accelerator", "torch-cpu-build", "2.13.0+cpu is built for the CPU only")
def cpu_build(bench: Bench) -> None:
    on_cuda(bench, CUDA, torch="cpu")


@CASES.finds("check_accelerator", "accelerator-missing", "this machine has no CUDA device (signs seen: none)")
def no_device(bench: Bench) -> None:
    on_cuda(bench)


@CASES.finds("check_accelerator", "accelerator-missing", "driver 550.54.15 is loaded, but its device node is missing")
def driver_without_device(bench: Bench) -> None:
    on_cuda(bench, replace(CUDA, source="/proc/driver/nvidia/version", is_device=False), module="550.54.15")


@CASES.finds("check_accelerator", "driver-not-loaded", "0000:01:00.0 (nouveau)")
def card_without_its_driver(bench: Bench) -> None:
    on_cuda(bench, cards=("0000:01:00.0 (nouveau)",))


@CASES.finds("check_accelerator", "driver-mismatch", "NVIDIA's 550.54.15, and the driver library is 550.90.07")
def driver_upgraded_without_a_reboot(bench: Bench) -> None:
    on_cuda(bench, CUDA, module="550.54.15", library="550.90.07")


@CASES.passes("check_accelerator")
def driver_of_one_release(bench: Bench) -> None:
    on_cuda(bench, CUDA, module="550.54.15", library="550.54.15")


@CASES.finds("check_accelerator", "accelerator-no-access", "cannot open the accelerator's device files (/dev/nvidia0)")
def device_of_another_group(bench: Bench) -> None:
    on_cuda(bench, replace(CUDA, accessible=False))


@CASES.finds("check_accelerator", "accelerator-hidden", "CUDA_VISIBLE_DEVICES='' hides every device")
def devices_hidden(bench: Bench) -> None:
    on_cuda(bench, CUDA)
    bench.environ = {"CUDA_VISIBLE_DEVICES": ""}


@CASES.passes("check_accelerator")
def one_device_chosen(bench: Bench) -> None:
    on_cuda(bench, CUDA)
    bench.environ = {"CUDA_VISIBLE_DEVICES": "0"}


@CASES.passes("check_accelerator")
def card_of_amd(bench: Bench) -> None:
    on_cuda(bench, AcceleratorSign(kind="rocm", source="/dev/kfd", is_device=True), torch="rocm")


@CASES.finds("check_accelerator", "accelerator-missing", "WSL shows no NVIDIA device")
def windows_without_its_driver(bench: Bench) -> None:
    on_cuda(bench)
    bench.machine = lambda facts: replace(facts, is_wsl=True, accelerator_signs=())


@CASES.finds("check_accelerator", "accelerator-missing", "not a Mac with Apple silicon")
def metal_on_another_machine(bench: Bench) -> None:
    on_cuda(bench)
    bench.manifest(f'accelerator = "mps"\n{ONE_MODEL}', "m")


@CASES.finds("check_accelerator", "accelerator-fallback", "PYTORCH_ENABLE_MPS_FALLBACK=1", severity="warning")
def metal_that_falls_back(bench: Bench) -> None:
    on_cuda(bench, MPS)
    bench.manifest(f'accelerator = "mps"\n{ONE_MODEL}', "m")
    bench.environ = {"PYTORCH_ENABLE_MPS_FALLBACK": "1"}


@CASES.finds("check_accelerator", "torch-cpu-build", "the manifest does not say which", severity="warning")
def cpu_build_beside_a_device(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_devices(CUDA)  # type: ignore[assignment]


@CASES.skips("check_accelerator", "no accelerator is declared")
def cpu_build_that_is_meant(bench: Bench) -> None:
    on_cuda(bench, CUDA, torch="cpu")
    bench.manifest(f'accelerator = "cpu"\n{ONE_MODEL}', "m")


@CASES.passes("check_accelerator_works")
def cuda_works(bench: Bench) -> None:
    on_cuda(bench, CUDA)


@CASES.finds("check_accelerator_works", "accelerator-crashed", "in the first computation")
def cuda_crashes(bench: Bench) -> None:
    on_cuda(bench, CUDA)
    bench.device_outcome = ProbeOutcome(ending="signal", message="crashed", duration_s=1.0, stage="compute")


def broken(stage: str, text: str = "", ending: str = "failed") -> Build:
    """Return a builder of a machine whose device a probe found broken; tests/probe/test_device.py breaks real ones."""

    def build(bench: Bench) -> None:
        on_cuda(bench, CUDA)
        failure = Failure(kind="failed", type="RuntimeError", message=text, module="", where=())
        bench.device_outcome = ProbeOutcome(
            ending=ending,  # type: ignore[arg-type]
            message=f"RuntimeError in stage {stage}: {text}",
            duration_s=1.0,
            stage=stage,
            failure=failure if ending == "failed" else None,
        )

    build.__name__ = f"{stage}_{ending.replace('-', '_')}_{len(text)}"
    return build


for found, built in (
    ("torch-cpu-build", broken("device", "Torch not compiled with CUDA enabled")),
    ("driver-mismatch", broken("device", "The NVIDIA driver on your system is too old (found version 11040).")),
    ("accelerator-missing", broken("device", "No CUDA GPUs are available")),
    ("accelerator-fallback", broken("device", "cuda: torch sees no CUDA device")),
    ("torch-arch-unsupported", broken("compute", "no kernel image is available for execution on the device")),
    ("accelerator-failed", broken("compute", "CUDA error: unspecified launch failure")),
    ("accelerator-wrong-numbers", broken("compute", "cuda: wrong numbers: 1 + 1 came out as 3")),
    ("accelerator-timeout", broken("device", ending="deadline")),
    ("accelerator-out-of-memory", broken("allocate", ending="out-of-memory")),
    ("package-missing", broken("import", ending="import-error")),
    ("interpreter-missing", broken("", ending="spawn-failed")),
    ("probe-protocol", broken("device", ending="protocol")),
):
    CASES.finds("check_accelerator_works", found)(built)


@CASES.skips("check_accelerator_works", "blocked by torch-cpu-build")
def nothing_to_examine_with(bench: Bench) -> None:
    on_cuda(bench, CUDA, torch="cpu")


@CASES.skips("check_accelerator_works", "nothing runs on an accelerator here")
def nothing_on_it(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_devices()  # type: ignore[assignment]


def upgraded(bench: Bench, version: str) -> None:
    """Give the sessions' environment packages that were installed for Python 3.10."""
    write_full(bench.here)
    venv = bench.root / "venv"
    for name in ("torch-2.9.0", "transformers-5.0.0", "pip-24.0"):
        (venv / f"lib/python3.10/site-packages/{name}.dist-info").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.10.12\n")
    python = str(venv / "bin/python")
    bench.session = InterpreterFacts(executable=python, version=version, prefix=str(venv))


@CASES.finds("check_interpreter", "environment-outdated", "torch, transformers are installed for Python 3.10")
@CASES.skips("check_packages", "blocked by environment-outdated")
def python_of_another_minor_version(bench: Bench) -> None:
    upgraded(bench, "3.12.3")


@CASES.passes("check_interpreter")
def python_of_another_patch_version(bench: Bench) -> None:
    upgraded(bench, "3.10.17")


@CASES.passes("check_interpreter")
def leftovers_of_an_older_python(bench: Bench) -> None:
    upgraded(bench, "3.12.3")
    bench.session = replace(bench.session, packages=SESSION.packages)


@CASES.finds("check_interpreter", "interpreter-missing", "the environment was made with Python 3.10.12")
def python_that_was_removed(bench: Bench) -> None:
    upgraded(bench, "3.12.3")
    bench.session = InterpreterFacts(executable=bench.session.executable, problem="missing", detail="a link to nothing")


def reported(bench: Bench, *numbers: int, text: str = "") -> None:
    on_cuda(bench, CUDA, module="580.00", library="580.00")
    xids = tuple(Xid(number=n, device="0000:01:00", text=text) for n in numbers)
    bench.kernel_log = KernelLog(xids=xids)


@CASES.passes("check_kernel_log")
def no_xid(bench: Bench) -> None:
    reported(bench)


@CASES.finds("check_kernel_log", "accelerator-xid", "Xid 79 of the GPU at 0000:01:00: GPU has fallen off the bus; also")
def fallen_off_the_bus(bench: Bench) -> None:
    reported(bench, 31, 79)


@CASES.finds("check_kernel_log", "accelerator-xid", "Xid 119 2 times", severity="warning")
def timed_out(bench: Bench) -> None:
    reported(bench, 119, 13, 119)


@CASES.finds("check_kernel_log", "accelerator-xid", "GPU Reset Required")
def reset_required(bench: Bench) -> None:
    reported(bench, 154, text="GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)")


@CASES.finds("check_kernel_log", "accelerator-xid", "page fault", severity="info")
def a_fault_of_a_program(bench: Bench) -> None:
    reported(bench, 31)


@CASES.finds("check_kernel_log", "accelerator-xid", "not in this copy of NVIDIA's catalogue", severity="warning")
def an_xid_that_is_new(bench: Bench) -> None:
    reported(bench, 9999)


@CASES.passes("check_kernel_log")
def recovered(bench: Bench) -> None:
    reported(bench, 119)
    back = Xid(
        number=154, device="0000:01:00", text="GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"
    )
    bench.kernel_log = KernelLog(xids=(*bench.kernel_log.xids, back))


@CASES.skips("check_kernel_log", "the kernel's log cannot be read by this user (operation not permitted)")
def a_log_that_is_closed(bench: Bench) -> None:
    reported(bench)
    bench.kernel_log = KernelLog(problem="operation not permitted")


@CASES.skips("check_kernel_log", "no NVIDIA driver is in use here")
def no_nvidia(bench: Bench) -> None:
    reported(bench, 79)
    bench.machine = with_devices()  # type: ignore[assignment]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_torch_is_never_installed_by_a_pasted_command(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    empty_environment(bench)
    (found,) = bench.run("check_packages").findings
    assert found.fix.commands == ("/opt/sessions/bin/python -m pip install transformers",)
    assert "vendor" in found.fix.summary or "NVIDIA" in found.fix.summary
