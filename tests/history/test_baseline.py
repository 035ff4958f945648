"""What is usual, and the budgets that follow from it."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from sage_doctor.history.baseline import LEAST_RUNS, MEASURED, Baseline, accept, is_beyond, limit, usual
from sage_doctor.history.calibration import propose

from .runs import SNAPSHOT, finding, report, series, write

BOOT = SNAPSHOT.boot_id


def loads(where: object, boot: str | None = BOOT) -> list[float]:
    assert isinstance(where, Baseline)
    return where.values("m", boot, "generate")["load_s"]


@pytest.mark.parametrize("name", MEASURED)
def test_noise_of_a_busy_machine_is_usual_and_a_multiple_is_not(name: str) -> None:
    dice = random.Random(3)
    values = [1000 * dice.uniform(0.85, 1.15) for _ in range(20)]
    known = usual(values)
    assert not any(is_beyond(name, v, known) for v in values)
    bad = 250 if name == "tokens_per_s" else 4000
    assert is_beyond(name, bad, known)
    assert not is_beyond(name, 1000 * 1000 / bad, known)  # better than usual is well


def test_values_that_never_vary_leave_room_all_the_same() -> None:
    known = usual([2.0] * 9)
    assert (known.median, known.deviation, known.runs) == (2.0, 0.0, 9)
    assert limit("load_s", known) == 3.0
    assert limit("tokens_per_s", known) == pytest.approx(4 / 3)
    assert limit("peak_memory_gb", known) == pytest.approx(2.4)
    assert limit("load_s", usual([0.02] * 9)) == pytest.approx(1.02)  # nobody minds a second


def test_one_freak_run_moves_nothing() -> None:
    assert usual([2.0, 2.1, 1.9, 2.0, 300.0]).median == 2.0


def test_what_comes_into_the_comparison(tmp_path: Path) -> None:
    where = series(tmp_path)
    past = Baseline(series=where)
    assert past.values("m", BOOT, "generate") == {}
    write(where, report(measured={"load_s": 30}))  # the first of this boot: from disk
    write(where, report(measured={"load_s": 1}), report(measured={"load_s": 2}, subject="other"))
    write(where, report(finding("runner-hardcoded-path", "warning", "r.py"), measured={"load_s": 3}))
    write(where, report(finding("latency-regressed", "warning"), measured={"load_s": 4}))
    write(where, report(finding("load-over-budget"), measured={"load_s": 5}))
    write(where, report(measured={"load_s": 6}), jobs=2)
    write(series(tmp_path, hostname="thor-2"), report(measured={"load_s": 7}))
    write(series(tmp_path, targets=("raising",)), report(measured={"load_s": 8}))
    assert loads(past) == [8, 3, 1]
    assert loads(past, "next boot") == [30]
    assert loads(past, None) == [8, 3, 1]


def test_memory_is_compared_with_runs_of_the_same_level_and_loading_with_all(tmp_path: Path) -> None:
    where = series(tmp_path)
    past = Baseline(series=where)
    write(where, report(measured={"load_s": 9, "peak_memory_gb": 9}))  # the first of this boot
    for level, memory in (("load", 1), ("generate", 2), ("load", 1.1)):
        write(where, report(level=level, measured={"load_s": memory, "peak_memory_gb": memory}))  # type: ignore[arg-type]
    assert past.values("m", BOOT, "load")["peak_memory_gb"] == [1.1, 1]
    assert past.values("m", BOOT, "generate")["peak_memory_gb"] == [2]
    assert past.values("m", BOOT, "load")["load_s"] == [1.1, 2, 1]


def test_a_regression_does_not_become_the_measure_of_itself_until_it_is_accepted(tmp_path: Path) -> None:
    where = series(tmp_path)
    past = Baseline(series=where)
    write(where, *(report(measured={"load_s": 1.0}) for _ in range(8)))
    for _ in range(40):
        known = usual(loads(past))
        assert is_beyond("load_s", 4.0, known)
        write(where, report(finding("latency-regressed", "warning"), measured={"load_s": 4.0}))
    assert accept(where, ["m", "unknown"]) == (["m"], [])
    assert loads(past) == [4.0]
    write(where, *(report(measured={"load_s": 4.1}) for _ in range(LEAST_RUNS - 1)))
    assert not is_beyond("load_s", 4.0, usual(loads(past)))
    assert is_beyond("load_s", 12.0, usual(loads(past)))
    assert loads(Baseline(series=series(tmp_path, machine="sprout"))) == []


def proposed(place: Path) -> dict[str, float | None]:
    return {p.name: p.value for p in propose(series(place), "m")}


def test_too_few_runs_propose_nothing(tmp_path: Path) -> None:
    assert set(proposed(tmp_path).values()) == {None}
    write(series(tmp_path), *(report(measured={"load_s": 1.0}) for _ in range(LEAST_RUNS - 1)))
    assert {p.name: p.runs for p in propose(series(tmp_path), "m")} == dict.fromkeys(MEASURED, 0) | {"load_s": 4}
    assert proposed(tmp_path)["load_s"] is None


def test_a_budget_is_kept_by_the_runs_it_comes_from(tmp_path: Path) -> None:
    dice = random.Random(5)
    runs = [
        {
            "load_s": dice.uniform(1.8, 2.4),
            "first_token_ms": dice.uniform(200, 300),
            "tokens_per_s": dice.uniform(9, 11),
            "peak_memory_gb": dice.uniform(1.2, 1.25),
        }
        for _ in range(40)
    ]
    write(series(tmp_path), *(report(measured=run) for run in runs))
    budget = proposed(tmp_path)
    for name, value in budget.items():
        assert value is not None
        measured = [run[name] for run in runs]
        if name == "tokens_per_s":
            assert min(measured) / 2 < value < min(measured)
        else:
            assert max(measured) < value < max(measured) * 2
        assert f"{value:g}".replace(".", "").strip("0").isdecimal()
        assert len(f"{value:g}".replace(".", "").strip("0")) <= 2


def test_the_slow_first_load_of_a_boot_fits_and_a_freak_does_not_count(tmp_path: Path) -> None:
    where = series(tmp_path)
    for boot in range(6):
        warm = [report(measured={"load_s": 1.0 + n / 10}) for n in range(4)]
        write(where, report(measured={"load_s": 20.0 + boot}), *warm, snapshot=replace(SNAPSHOT, boot_id=str(boot)))
    budget = proposed(tmp_path)["load_s"]
    assert budget is not None
    assert 25 < budget < 50
    write(where, report(measured={"load_s": 900.0}), snapshot=replace(SNAPSHOT, boot_id="0"))
    assert proposed(tmp_path)["load_s"] == budget
    assert math.isfinite(budget)
