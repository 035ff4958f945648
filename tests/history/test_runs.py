"""Which run is the last good one, and what is kept of many runs."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.history import runs
from sage_doctor.history.runs import MOST_AGE_S, Series, last_good_run, prune
from sage_doctor.history.snapshot import Snapshot
from sage_doctor.report import Report

from .runs import FILE, SNAPSHOT, START, finding, report, series, write

ILL = report(finding("weights-missing"), number=50)
WARNED = report(finding("weights-ambiguous", "warning"), number=50)


def rows(where: Series, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(where.path)) as connection:
        return connection.execute(query).fetchall()


def test_the_newest_good_run_comes_back_as_it_was(tmp_path: Path) -> None:
    where = series(tmp_path)
    older = replace(SNAPSHOT, boot_id="older")
    write(where, report(number=1), snapshot=older)
    write(where, report(number=2))
    write(where, report(finding("weights-missing"), number=3), snapshot=older)
    good = last_good_run(where, ILL)
    assert good is not None
    assert (good.snapshot, good.verdict, good.started_at) == (SNAPSHOT, "healthy", "2026-01-15T14:00:00+00:00")


@pytest.mark.parametrize(
    "changes",
    [{"machine": "sprout"}, {"hostname": "thor-2"}, {"manifest": "/other.toml"}, {"targets": ("raising",)}],
)
def test_runs_of_another_machine_manifest_or_target_do_not_count(tmp_path: Path, changes: dict[str, Any]) -> None:
    write(series(tmp_path, **changes), report())
    assert last_good_run(series(tmp_path), ILL) is None
    assert last_good_run(series(tmp_path, **changes), ILL) is not None


def test_the_order_of_targets_does_not_matter(tmp_path: Path) -> None:
    write(series(tmp_path, targets=("a", "b", "a")), report())
    assert last_good_run(series(tmp_path, targets=("b", "a")), ILL) is not None


@pytest.mark.parametrize(
    "now,earlier,counts",
    [
        (ILL, report(finding("weights-ambiguous", "warning")), True),  # it worked
        (WARNED, report(finding("weights-ambiguous", "warning")), False),
        (WARNED, report(), True),
        (ILL, report(finding("weights-missing")), False),
        # What broke deep down is not explained by a run that never looked there.
        (report(finding("load-failed"), found_at="load"), report(level="static"), False),
        (report(finding("load-failed"), found_at="load"), report(level="load"), True),
        (report(finding("weights-missing"), found_at="static"), report(level="static"), True),
        (report(status="error", found_at="generate"), report(level="load"), False),
        (report(status="error", found_at="generate"), report(level="generate"), True),
    ],
)
def test_which_run_was_good_enough(tmp_path: Path, now: Report, earlier: Report, counts: bool) -> None:
    write(series(tmp_path), earlier)
    assert (last_good_run(series(tmp_path), now) is not None) is counts


def test_a_run_without_a_snapshot_is_kept_and_not_compared_with(tmp_path: Path) -> None:
    write(series(tmp_path), report(), snapshot=None)
    assert last_good_run(series(tmp_path), ILL) is None
    assert rows(series(tmp_path), "SELECT verdict FROM runs") == [("healthy",)]


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    odd = os.fsdecode(b"/srv/\xff\n.toml")
    model = replace(SNAPSHOT.models["m"], files={os.fsdecode(b"w\xff"): FILE})
    where = series(tmp_path, manifest=odd, targets=(os.fsdecode(b"\xfe"),))
    snapshot = replace(SNAPSHOT, models={os.fsdecode(b"m\xff"): model})
    write(where, report(finding("weights-missing", subject=os.fsdecode(b"\xfd"))), snapshot=snapshot)
    write(where, report(), snapshot=snapshot)
    good = last_good_run(where, ILL)
    assert good is not None
    assert good.snapshot == snapshot


def test_what_does_not_change_is_stored_once(tmp_path: Path) -> None:
    where = series(tmp_path)
    write(where, *(report(number=n) for n in range(4)))
    write(where, report(number=5), snapshot=replace(SNAPSHOT, boot_id="second", disk_free=7))
    assert rows(where, "SELECT count(*), count(DISTINCT snapshot) FROM runs") == [(5, 2)]
    assert rows(where, "SELECT count(*) FROM snapshots") == [(2,)]
    assert rows(where, "SELECT count(*) FROM models") == [(1,)]


def test_the_history_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MOST_RUNS", 10)
    where, gate = series(tmp_path), series(tmp_path, targets=("raising",))
    elsewhere = series(tmp_path, machine="sprout")
    once = replace(SNAPSHOT, boot_id="once", models={"gone": SNAPSHOT.models["m"]})
    write(elsewhere, report())
    write(where, report(number=0))  # the last good run of its series
    write(gate, report(finding("weights-missing"), number=1), snapshot=once)
    write(where, *(report(number=n, measured={"load_s": 1.0}) for n in range(2, 8)))
    write(where, *(report(finding("weights-missing"), number=n) for n in range(8, 200)))

    assert rows(where, "SELECT count(*) FROM runs")[0][0] < 80
    assert rows(where, "SELECT count(*) FROM runs WHERE measured") == [(6,)]
    assert last_good_run(where, ILL) is not None
    assert last_good_run(elsewhere, ILL) is not None
    assert rows(where, "SELECT count(*) FROM findings WHERE run NOT IN (SELECT id FROM runs)") == [(0,)]
    assert rows(where, "SELECT count(*) FROM snapshots") == [(1,)]
    assert rows(where, "SELECT count(*) FROM models") == [(1,)]


def test_old_runs_go_but_a_clock_that_is_wrong_takes_not_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LEAST_RUNS", 3)
    where = series(tmp_path)
    write(where, *(report(finding("weights-missing"), number=n) for n in range(10)))
    with contextlib.closing(sqlite3.connect(where.path)) as connection:
        prune(connection, (START + dt.timedelta(days=30)).timestamp())
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (10,)
        prune(connection, START.timestamp() + MOST_AGE_S + 86400)
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (3,)


def test_a_measurement_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    write(series(tmp_path), report(measured={"load_s": float("nan"), "tokens_per_s": 3.0}))
    assert rows(series(tmp_path), "SELECT name, value FROM measurements") == [("tokens_per_s", 3.0)]


def test_the_first_run_of_a_boot_is_cold(tmp_path: Path) -> None:
    where = series(tmp_path)
    second = replace(SNAPSHOT, boot_id="second")
    for snapshot in (SNAPSHOT, SNAPSHOT, second, second, Snapshot()):
        write(where, report(measured={"load_s": 1.0}), snapshot=snapshot)
    assert [cold for (cold,) in rows(where, "SELECT cold FROM measurements ORDER BY run")] == [1, 0, 1, 0, 0]
