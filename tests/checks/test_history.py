"""What a model takes, against what it usually takes on this machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from sage_doctor.facts.machine import read_machine
from sage_doctor.history.runs import Series
from sage_doctor.probe.outcome import ProbeMemory
from tests.history.runs import SNAPSHOT, report, write
from tests.model_directories import write_full

from .cases import Bench, Case, Cases
from .probe_outcomes import COMPLETED, SPOKEN

CASES = Cases()
# What COMPLETED says, as it is measured.
USUAL = {"load_s": 2.0, "peak_memory_gb": 2.0, "first_token_ms": 100.0, "tokens_per_s": 10.0}


def lived(bench: Bench, *, runs: int = 6, budget: str = "", jobs: int = 1, boot: str | None = None) -> None:
    """Let the model have been examined that often, with what it takes today."""
    write_full(bench.here)
    bench.outcome = COMPLETED
    bench.manifest(f'[models.m]\nkind = "full"\npath = "here"\nbudget = {{ {budget} }}\n', "m")
    machine = read_machine()
    where = Series(
        path=bench.root / "home/.local/state/sage-doctor/history.sqlite3",
        machine=machine.hostname,
        hostname=machine.hostname,
        manifest=str(bench.root / "sage-doctor.toml"),
    )
    write(
        where,
        # The first run of a boot comes from disk; all but that one are warm, as the present one is.
        *(report(number=n, measured=USUAL) for n in range(runs)),
        snapshot=replace(SNAPSHOT, boot_id=boot or machine.boot_id),
        jobs=jobs,
    )


@CASES.passes("check_usual")
def as_ever(bench: Bench) -> None:
    lived(bench)


@CASES.passes("check_usual")
def somewhat_slower(bench: Bench) -> None:
    lived(bench)
    assert COMPLETED.loaded is not None
    bench.outcome = replace(
        COMPLETED, loaded=replace(COMPLETED.loaded, seconds=2.8), generation=replace(SPOKEN, tokens_per_s=7.5)
    )


@CASES.passes("check_usual")
def faster(bench: Bench) -> None:
    lived(bench)
    bench.outcome = replace(COMPLETED, generation=replace(SPOKEN, tokens_per_s=90.0, first_token_ms=1.0))


@CASES.finds("check_usual", "latency-regressed", "tokens_per_s is 2 tokens/s, usually 10 (of 5)", severity="warning")
def generates_slowly(bench: Bench) -> None:
    lived(bench)
    bench.outcome = replace(COMPLETED, generation=replace(SPOKEN, tokens_per_s=2.0))


@CASES.finds("check_usual", "latency-regressed", "load_s is 40 s, usually 2 (of 5); ", severity="warning")
def everything_at_once(bench: Bench) -> None:
    lived(bench, budget="load_s = 60, peak_memory_gb = 9")
    assert COMPLETED.loaded is not None
    bench.outcome = replace(
        COMPLETED,
        loaded=replace(COMPLETED.loaded, seconds=40.0),
        memory=ProbeMemory(peak_resident_bytes=4_000_000_000, peak_device_bytes=0),
        generation=replace(SPOKEN, tokens_per_s=2.0, first_token_ms=900.0),
    )


@CASES.passes("check_usual")
def over_its_budget_is_told_elsewhere(bench: Bench) -> None:
    lived(bench, budget="load_s = 30, tokens_per_s = 5")
    assert COMPLETED.loaded is not None
    bench.outcome = replace(
        COMPLETED, loaded=replace(COMPLETED.loaded, seconds=40.0), generation=replace(SPOKEN, tokens_per_s=2.0)
    )


@CASES.skips("check_usual", "4 of the 5 earlier runs")
def too_few_runs(bench: Bench) -> None:
    lived(bench, runs=5)


@CASES.skips("check_usual", "0 of the 5 earlier runs")
def measured_side_by_side(bench: Bench) -> None:
    lived(bench, jobs=2)


@CASES.skips("check_usual", "1 of the 5 earlier runs")
def first_run_after_a_restart_is_compared_with_such_runs_only(bench: Bench) -> None:
    lived(bench, runs=9, boot="yesterday")
    assert COMPLETED.loaded is not None
    bench.outcome = replace(COMPLETED, loaded=replace(COMPLETED.loaded, seconds=40.0))


@CASES.skips("check_usual", "0 of the 5 earlier runs")
def damaged_history(bench: Bench) -> None:
    lived(bench)
    (bench.root / "home/.local/state/sage-doctor/history.sqlite3").write_bytes(b"\x17" * 20_000)


@CASES.skips("check_usual", "no history is kept")
def switched_off(bench: Bench) -> None:
    write_full(bench.here)
    bench.outcome = COMPLETED


@CASES.skips("check_usual", "no history is kept")
def worker_of_several(bench: Bench) -> None:
    lived(bench)
    bench.environ["PYTEST_XDIST_WORKER"] = "gw0"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
