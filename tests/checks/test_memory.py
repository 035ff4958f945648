"""Whether the machine has the memory that loading a model takes."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sage_doctor.facts.accelerator import AcceleratorSign
from sage_doctor.facts.machine import MachineFacts, disk_free
from sage_doctor.probe.outcome import ProbeOutcome
from sage_doctor.system.memory import HostMemory
from tests.model_directories import MODEL, WEIGHTS, edit_json, write_adapter, write_full, write_tensors
from tests.services.running import base

from .cases import SESSION, Bench, Case, Cases
from .probe_outcomes import COMPLETED, CPU

CASES = Cases()


def with_memory(memory: HostMemory) -> Callable[[MachineFacts], MachineFacts]:
    return lambda facts: replace(facts, memory=memory)


def memory(total: int | None, available: int | None, swap: int = 0) -> HostMemory:
    return HostMemory(total=total, available=available, swap_total=swap, swap_free=swap)


@CASES.passes("check_memory")
@CASES.passes("check_memory_free")
def enough(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(memory(8_000_000_000, 4_000_000_000))


@CASES.passes("check_memory_free")
def enough_with_swap(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(memory(8_000_000_000, 200_000_000, swap=1_000_000_000))


@CASES.skips("check_memory", "does not report")
@CASES.skips("check_memory_free", "does not report")
def unknown(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(memory(None, None))


@CASES.finds("check_memory", "memory-insufficient", "this machine has 250.0 MB")
def too_small(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(memory(250_000_000, 200_000_000))


@CASES.finds("check_memory_free", "memory-insufficient", "200.0 MB are free now")
def taken(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(memory(8_000_000_000, 200_000_000))


@CASES.finds("check_memory", "memory-insufficient", "it will be very slow", severity="warning")
def with_swap_only(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(memory(250_000_000, 200_000_000, swap=4_000_000_000))


@CASES.finds("check_memory_free", "memory-insufficient", "400.0 MB are free now")
def swap_is_no_help_to_a_device_that_shares_memory(bench: Bench) -> None:
    on_device(bench, jetson=True, host=memory(8_000_000_000, 400_000_000, swap=4_000_000_000))


@CASES.passes("check_memory")
def within_shared_memory(bench: Bench) -> None:
    on_device(bench, jetson=True, host=memory(8_000_000_000, 400_000_000))


@CASES.skips("check_memory", "has its own memory")
@CASES.passes("check_memory_free")
def within_the_devices_own_memory(bench: Bench) -> None:
    on_device(bench, free=900_000_000, total=1_000_000_000)


@CASES.finds("check_memory_free", "memory-insufficient", "and the accelerator has 500 bytes")
def larger_than_the_device(bench: Bench) -> None:
    on_device(bench, free=400, total=500)


@CASES.finds("check_memory_free", "gpu-memory-held", "of the accelerator's 1.0 GB, 100 bytes are free now")
def held_by_others(bench: Bench) -> None:
    on_device(bench, free=100, total=1_000_000_000)


@CASES.finds(
    "check_memory_free", "memory-insufficient", "which a load without device_map passes through", severity="warning"
)
def host_smaller_than_its_device(bench: Bench) -> None:
    on_device(bench, free=900_000_000, total=1_000_000_000, host=memory(8_000_000_000, 400_000_000))


@CASES.skips("check_memory_free", "blocked by accelerator-timeout")
def device_that_hangs(bench: Bench) -> None:
    on_device(bench)
    bench.device_outcome = ProbeOutcome(ending="deadline", message="hung", duration_s=1.0, stage="device")


def on_device(
    bench: Bench,
    *,
    jetson: bool = False,
    free: int = 0,
    total: int = 0,
    host: HostMemory | None = None,
) -> None:
    """Run a model on cuda, on a board whose memory is shared or a card with `free` of `total` bytes of its own."""
    write_full(bench.here)
    bench.manifest('accelerator = "cuda"\n[models.m]\nkind = "full"\npath = "here"\n', "m")
    bench.session = replace(SESSION, torch_accelerator="cuda")
    sign = AcceleratorSign(kind="cuda", source="/dev/nvidia0", is_device=True)
    bench.machine = lambda facts: replace(
        facts,
        accelerator_signs=(sign,),
        l4t="38.2.0" if jetson else None,
        memory=host or memory(8_000_000_000, 4_000_000_000),
    )
    device = replace(CPU, used="cuda", memory_free=free, memory_total=total)
    bench.device_outcome = replace(COMPLETED, device=device)


def to_be_merged(bench: Bench) -> None:
    write_adapter(bench.root / "adapter", write_full(bench.root / "base"))
    models = "".join(
        f'[models.{name}]\nkind = "{kind}"\npath = "{path}"\n{more}\n'
        for name, kind, path, more in (
            ("base", "full", "base", ""),
            ("adapter", "adapter", "adapter", 'base = "base"'),
            ("m", "merged", "here", 'merge = { base = "base", adapter = "adapter" }'),
        )
    )
    bench.manifest(models, "m")


@CASES.passes("check_disk")
def room_for_a_merge(bench: Bench) -> None:
    to_be_merged(bench)


@CASES.skips("check_disk", "does not have to be built")
def merged_already(bench: Bench) -> None:
    to_be_merged(bench)
    write_full(bench.here)


@CASES.finds("check_disk", "disk-insufficient", "merging it needs about", severity="warning")
def no_room_for_a_merge(bench: Bench) -> None:
    to_be_merged(bench)
    os.truncate(bench.root / "base" / "model.safetensors", 2 * disk_free(bench.root))  # sparse: it takes no room


def of_size(
    bench: Bench, gigabytes: float, *, stored: str = "BF16", dtype: str = "bfloat16", name: str = "model"
) -> None:
    """Write a model whose header speaks of that much, on a machine that has 8 GB; the file is a hole."""
    write_full(bench.here)
    edit_json(bench.here / "config.json", dtype=dtype)
    length = int(gigabytes * 1e9)
    header = {f"{name}.weight": {"dtype": stored, "shape": [length // 2], "data_offsets": [0, length]}}
    raw = json.dumps(header).encode()
    with open(bench.here / MODEL, "wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + length)
    bench.machine = with_memory(memory(8_000_000_000, 1_000_000_000))


@CASES.passes("check_memory")
@CASES.passes("check_memory_free")
def mapped_and_more_than_is_free_now(bench: Bench) -> None:
    of_size(bench, 2.0)


@CASES.finds("check_memory", "memory-insufficient", "read from the disk again for every token", severity="warning")
@CASES.passes("check_memory_free")
def mapped_and_more_than_there_is(bench: Bench) -> None:
    of_size(bench, 9.0)


@CASES.finds("check_memory_free", "memory-insufficient", "needs about 4.3 GB, and 1.0 GB are free now")
def turned_into_another_type(bench: Bench) -> None:
    of_size(bench, 2.0, dtype="float32")


@CASES.finds("check_memory_free", "memory-insufficient", "needs about 2.3 GB, and 1.0 GB are free now")
def experts_that_are_put_together(bench: Bench) -> None:
    of_size(bench, 2.0, name="model.layers.0.mlp.experts.3.up_proj")


@CASES.finds("check_memory_free", "memory-insufficient", "needs about 2.7 GB, and 1.0 GB are free now")
def copied_to_an_accelerator_that_shares_the_memory(bench: Bench) -> None:
    of_size(bench, 2.0)
    bench.manifest('accelerator = "mps"\n[models.m]\nkind = "full"\npath = "here"\n', "m")
    mps = AcceleratorSign(kind="mps", source="Apple silicon", is_device=True)
    shared = memory(8_000_000_000, 1_000_000_000)
    bench.machine = lambda facts: replace(facts, memory=shared, accelerator_signs=(mps,))


@CASES.finds("check_memory", "memory-insufficient", "the control group it runs in allows 250.0 MB")
def too_small_a_control_group(bench: Bench) -> None:
    write_full(bench.here)
    bench.machine = with_memory(replace(memory(8_000_000_000, 4_000_000_000), limit=250_000_000))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_a_declared_dtype_counts_not_the_stored_one(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    write_tensors(write_full(bench.here) / "model.safetensors", {**WEIGHTS, "lm_head.weight": (25_000, 1_000)})
    bench.machine = with_memory(memory(345_000_000, 340_000_000))
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\n', "m")
    assert bench.run("check_memory").result.status == "pass"  # mapped as it is stored
    for dtype, codes in (("bfloat16", 1), ("float32", 0)):  # 50 MB of copies, and none
        bench.manifest(f'[models.m]\nkind = "full"\npath = "here"\ndtype = "{dtype}"\n', "m")
        assert [f.code for f in bench.run("check_memory").findings] == ["memory-insufficient"] * codes
    bench.machine = with_memory(memory(355_000_000, 340_000_000))
    bench.manifest('[models.m]\nkind = "full"\npath = "here"\ndtype = "bfloat16"\n', "m")
    assert bench.run("check_memory").result.status == "pass"


SERVED = '[models.m]\nkind = "full"\npath = "here"\nserved_by = "s"\n[models.s]\nkind = "service"\nmodel = "tiny"\n'


def served(bench: Bench, url: str, available: int) -> None:
    write_full(bench.here)
    bench.manifest(f'{SERVED}url = "{url}"\n{ROLES}', "m")
    bench.machine = with_memory(memory(8_000_000_000, available))


# The role names the model alone: whether the service is needed depends on the memory.
ROLES = '[roles.talk]\nmodels = ["m"]\n[machines.here]\nmatch.hostname = "*"\n'


def test_where_memory_is_short_the_service_is_asked_instead(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    served(bench, f"{base()}/well", 400_000_000)
    outcome = bench.run("check_memory_free")
    reason = "memory is short (needs 700.0 MB, 400.0 MB free): asked s instead"
    assert (outcome.result.status, outcome.result.reason) == ("skip", reason)
    loads = bench.run("check_loads")
    assert (loads.result.status, loads.result.reason) == ("skip", reason)
    assert bench.run("check_packages").result.reason == "no model is loaded here: services answer"


@pytest.mark.parametrize(
    "how, says",
    [
        ("list-unavailable", "fails: answers HTTP 503"),
        ("other", "fails: does not have tiny"),
        ("error-500", "fails: answers the prompt with HTTP 500: kv cache full"),
    ],
)
def test_a_service_that_is_no_help_leaves_the_memory_short(tmp_path: Path, how: str, says: str) -> None:
    bench = Bench(root=tmp_path)
    served(bench, f"{base()}/{how}", 400_000_000)
    (found,) = bench.run("check_memory_free").findings
    assert (found.code, found.severity) == ("memory-insufficient", "error")
    assert "400.0 MB are free now; the service s, which stands in for it, " + says in found.message


def test_where_there_is_memory_nobody_is_asked_and_a_service_that_is_down_is_information(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    served(bench, f"{base()}/list-unavailable", 4_000_000_000)
    assert bench.run("check_memory_free").result.status == "pass"
    bench.subject = "s"
    (found,) = bench.run("check_service_reachable").findings
    assert (found.code, found.severity) == ("service-down", "info")
    assert "not needed now" in (bench.run("check_service_generates").result.reason or "")


def test_a_service_that_stands_in_is_needed(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    served(bench, f"{base()}/list-unavailable", 400_000_000)
    bench.subject = "s"
    (found,) = bench.run("check_service_reachable").findings
    assert (found.code, found.severity) == ("service-down", "error")


def test_a_model_that_never_fits_here_may_be_served(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    served(bench, f"{base()}/well", 400_000_000)
    bench.machine = with_memory(memory(500_000_000, 450_000_000, swap=8_000_000_000))
    assert bench.run("check_memory").result.reason == "it never fits here: s is asked instead"
    assert bench.run("check_memory_free").result.status == "skip"
