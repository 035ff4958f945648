"""Whether the machine has the memory that loading a model takes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sage_doctor.facts.machine import MachineFacts
from sage_doctor.readers.memory import Memory
from tests.model_directories import WEIGHTS, write_full, write_tensors

from .cases import Bench, Case, Cases

CASES = Cases()


def with_memory(memory: Memory) -> Callable[[MachineFacts], MachineFacts]:
    return lambda facts: replace(facts, memory=memory)


def memory(total: int | None, available: int | None, swap: int = 0) -> Memory:
    return Memory(total=total, available=available, swap_total=swap, swap_free=swap)


@CASES.passes("check_memory")
@CASES.passes("check_memory_free")
def enough(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(memory(8_000_000_000, 4_000_000_000))


@CASES.passes("check_memory_free")
def enough_with_swap(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(memory(8_000_000_000, 400_000_000, swap=1_000_000_000))


@CASES.skips("check_memory", "does not tell")
@CASES.skips("check_memory_free", "does not tell")
def unknown(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(memory(None, None))


@CASES.finds("check_memory", "memory-insufficient", "this machine has 500.0 MB")
def too_small(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(memory(500_000_000, 400_000_000))


@CASES.finds("check_memory_free", "memory-insufficient", "400.0 MB are free now")
def taken(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(memory(8_000_000_000, 400_000_000))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_a_declared_dtype_counts_not_the_stored_one(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    write_tensors(write_full(bench.here) / "model.safetensors", {**WEIGHTS, "lm_head.weight": (25_000, 1_000)})
    bench.machine = with_memory(memory(775_000_000, 700_000_000))
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\n', "m")
    assert [f.code for f in bench.run("check_memory").findings] == ["memory-insufficient"]
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\ndtype = "bfloat16"\n', "m")
    assert bench.run("check_memory").result.status == "pass"
