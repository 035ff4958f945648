"""The host and the interpreter that sessions run in."""

from dataclasses import replace
from pathlib import Path

import pytest

from sage_doctor.facts.machine import AcceleratorSign, MachineFacts
from sage_doctor.facts.packages import InterpreterFacts
from tests.model_directories import write_adapter, write_full

from .cases import SESSION, Bench, Case, Cases

CASES = Cases()
ONE_MODEL = '[models.m]\nkind = "full"\npath = "here"\n'
OTHER_MACHINE = f'[machines.other]\nmatch.hostname = "no-such-host-*"\n[roles.r]\nmodels = ["m"]\n{ONE_MODEL}'
CUDA = AcceleratorSign(kind="cuda", source="/dev/nvidia0", is_device=True)


def with_devices(*signs: AcceleratorSign) -> "object":
    def change(facts: MachineFacts) -> MachineFacts:
        return replace(facts, accelerator_signs=signs)

    return change


def on_cuda(bench: Bench, *signs: AcceleratorSign, torch: str = "cuda") -> None:
    write_full(bench.here)
    bench.manifest(f'accelerator = "cuda"\n{ONE_MODEL}', "m")
    bench.session = replace(SESSION, torch_accelerator=torch)  # type: ignore[arg-type]
    bench.machine = with_devices(*signs)  # type: ignore[assignment]


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


@CASES.finds("check_interpreter", "interpreter-missing", "/gone/python is not there")
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


@CASES.finds("check_packages", "package-missing", "lacks torch, transformers")
def empty_environment(bench: Bench) -> None:
    write_full(bench.here)
    bench.session = replace(SESSION, packages={})


@CASES.finds("check_packages", "package-missing", "lacks peft")
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


@CASES.finds("check_accelerator", "accelerator-missing", "shows no such device (signs seen: none)")
def no_device(bench: Bench) -> None:
    on_cuda(bench)


@CASES.finds("check_accelerator", "accelerator-missing", "/proc/driver/nvidia/version")
def driver_without_device(bench: Bench) -> None:
    on_cuda(bench, replace(CUDA, source="/proc/driver/nvidia/version", is_device=False))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_torch_is_never_installed_by_a_pasted_command(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    empty_environment(bench)
    (found,) = bench.run("check_packages").findings
    assert found.fix.commands == ("/opt/sessions/bin/python -m pip install transformers",)
    assert "vendor" in found.fix.summary or "NVIDIA" in found.fix.summary
