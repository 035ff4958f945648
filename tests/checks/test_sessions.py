"""What sessions leave behind, as the checks judge it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from .cases import Bench, Case, Cases

CASES = Cases()
HOUR = 3600.0
HEARTBEAT = '[heartbeats.raising]\npath = "sessions/session_*.json"\nmax_age = "26h"\n'
STATE = '[state.identity]\npath = "state.json"\ncounter = "identity.session_count"\n'
AT_LEAST = 'min_from_glob = "sessions/session_*.json"\n'
RECORD = "home/.local/state/sage-doctor/highest.json"


def session(bench: Bench, number: int, age_h: float = 1.0) -> Path:
    path = bench.root / f"sessions/session_{number:03}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    then = time.time() - age_h * HOUR
    os.utime(path, (then, then))
    return path


def state(bench: Bench, count: object, text: str | None = None) -> Path:
    path = bench.root / "state.json"
    path.write_text(json.dumps({"identity": {"session_count": count}}) if text is None else text)
    os.utime(path, (0, 0))  # so that nobody takes it for one that is being written
    return path


def recorded(bench: Bench, value: int, name: str = "identity") -> None:
    path = bench.root / RECORD
    path.parent.mkdir(parents=True)
    entry = {
        "manifest": str(bench.root / "sage-doctor.toml"),
        "state": name,
        "counter": "identity.session_count",
        "value": value,
        "at": "2026-01-02T03:04:05+00:00",
    }
    path.write_text(json.dumps({"version": 1, "highest": [entry]}))


@CASES.passes("check_heartbeats", measures=("heartbeat_raising_age_h",))
def lately(bench: Bench) -> None:
    session(bench, 1, 300)
    session(bench, 2, 25)
    bench.manifest(HEARTBEAT, "")


@CASES.passes("check_heartbeats", measures=("heartbeat_raising_age_h",))
def lately_although_one_is_from_the_future(bench: Bench) -> None:
    session(bench, 1, 25)
    session(bench, 2, -9000)
    bench.manifest(HEARTBEAT, "")


@CASES.skips("check_heartbeats", "no heartbeats are declared")
def no_heartbeats(bench: Bench) -> None:
    bench.manifest(STATE, "")


@CASES.skips("check_heartbeats", "no heartbeats are declared")
def heartbeats_of_other_machines(bench: Bench) -> None:
    other = "[machines.m]\nmatch.hostname = '*'\nroles = []\n[roles.r]\n[heartbeats.h]\npath = 'x'\nmax_age = '1h'\n"
    bench.manifest(f"{other}roles = ['r']\n{STATE}", "")


@CASES.finds(
    "check_heartbeats",
    "heartbeat-stale",
    "the newest trace, sessions/session_002.json, is 2 d 2 h old: 1 d more than the 1 d 2 h allowed",
    severity="warning",
    subject="heartbeat:raising",
)
def too_long_ago(bench: Bench) -> None:
    session(bench, 1, 300)
    session(bench, 2, 50.01)
    bench.manifest(HEARTBEAT, "")


@CASES.finds(
    "check_heartbeats",
    "heartbeat-stale",
    "no file matches sessions/session_*.json (sessions does not exist)",
    severity="warning",
    subject="heartbeat:raising",
)
def never(bench: Bench) -> None:
    bench.manifest(HEARTBEAT, "")


@CASES.finds(
    "check_heartbeats",
    "heartbeat-stale",
    "sessions/session_001.json is dated 2 h",
    severity="warning",
    subject="heartbeat:raising",
)
def only_in_the_future(bench: Bench) -> None:
    session(bench, 1, -2.01)
    bench.manifest(HEARTBEAT, "")


@CASES.finds(
    "check_heartbeats",
    "heartbeat-stale",
    "allowed; sessions/session_001.json is dated 3 d",
    severity="warning",
    subject="heartbeat:raising",
)
def long_ago_and_in_the_future(bench: Bench) -> None:
    session(bench, 1, -72.01)
    session(bench, 2, 40)
    bench.manifest(HEARTBEAT, "")


@CASES.finds(
    "check_heartbeats",
    "heartbeat-stale",
    "sessions could not be listed (too many levels of symbolic links)",
    severity="warning",
    subject="heartbeat:raising",
)
def nobody_can_look(bench: Bench) -> None:
    (bench.root / "sessions").symlink_to("sessions")
    bench.manifest(HEARTBEAT, "")


@CASES.passes("check_states", measures=("state_identity",))
def first_time(bench: Bench) -> None:
    state(bench, 3)
    bench.manifest(STATE + AT_LEAST, "")


@CASES.passes("check_states", measures=("state_identity",))
def grown(bench: Bench) -> None:
    state(bench, 44)
    session(bench, 44)
    recorded(bench, 43)
    bench.manifest(STATE + AT_LEAST, "")


@CASES.passes("check_states")
def beyond_what_a_measurement_holds(bench: Bench) -> None:
    state(bench, 10**400)
    bench.manifest(STATE, "")


@CASES.passes("check_states")
def whole_and_without_a_counter(bench: Bench) -> None:
    state(bench, None, "{}")
    bench.manifest('[state.s]\npath = "state.json"\n', "")


@CASES.skips("check_states", "no state files are declared")
def no_states(bench: Bench) -> None:
    bench.manifest(HEARTBEAT, "")


@CASES.finds("check_states", "state-invalid", "state.json: not there", subject="state:identity")
def gone(bench: Bench) -> None:
    bench.manifest(STATE, "")


@CASES.finds("check_states", "state-invalid", "state.json:1: not valid JSON", subject="state:identity")
def torn(bench: Bench) -> None:
    state(bench, None, '{"identity": {"session_count": 4')
    recorded(bench, 43)
    bench.manifest(STATE, "")


@CASES.finds("check_states", "state-invalid", "holds a JSON array", subject="state:identity")
def another_type(bench: Bench) -> None:
    state(bench, None, "[]")
    bench.manifest(STATE, "")


@CASES.finds("check_states", "state-invalid", "no identity.session_count in it", subject="state:identity")
def without_its_counter(bench: Bench) -> None:
    state(bench, None, '{"identity": {}}')
    bench.manifest(STATE, "")


@CASES.finds("check_states", "state-invalid", 'is no number but "43"', subject="state:identity")
def a_text_for_a_number(bench: Bench) -> None:
    state(bench, "43")
    bench.manifest(STATE, "")


@CASES.finds(
    "check_states", "state-invalid", "none of the names has a number", severity="warning", subject="state:identity"
)
def files_without_numbers(bench: Bench) -> None:
    state(bench, 3)
    session(bench, 3).rename(bench.root / "sessions/session_last.json")
    bench.manifest(STATE + AT_LEAST, "")


@CASES.finds(
    "check_states", "state-invalid", "sessions could not be listed", severity="warning", subject="state:identity"
)
def files_out_of_reach(bench: Bench) -> None:
    state(bench, 3)
    (bench.root / "sessions").symlink_to("sessions")
    bench.manifest(STATE + AT_LEAST, "")


@CASES.finds(
    "check_states",
    "state-regressed",
    "identity.session_count is 41 in state.json, but was 43 before (2026-01-02T03:04:05+00:00)",
    subject="state:identity",
)
def below_what_it_was(bench: Bench) -> None:
    state(bench, 41)
    recorded(bench, 43)
    bench.manifest(STATE, "")


@CASES.finds(
    "check_states",
    "state-regressed",
    "identity.session_count is 41 in state.json, but sessions/session_043.json exists",
    subject="state:identity",
)
def below_its_files(bench: Bench) -> None:
    state(bench, 41)
    session(bench, 43, 900)
    session(bench, 42)
    bench.manifest(STATE + AT_LEAST, "")


@CASES.finds(
    "check_states",
    "state-regressed",
    "but was 43 before (2026-01-02T03:04:05+00:00) and sessions/session_042.json exists",
    subject="state:identity",
)
def below_both(bench: Bench) -> None:
    state(bench, 41)
    session(bench, 42)
    recorded(bench, 43)
    bench.manifest(STATE + AT_LEAST, "")


@CASES.finds("check_states", "state-unrecorded", "cannot be made: not a directory", severity="info")
def nowhere_to_write_it_down(bench: Bench) -> None:
    state(bench, 41)
    (bench.root / "home").mkdir()
    (bench.root / "home/.local").write_text("")
    bench.manifest(STATE, "")


@CASES.finds("check_states", "state-unrecorded", "highest.json.damaged-1, and a new one was started", severity="info")
def damaged_record(bench: Bench) -> None:
    state(bench, 41)
    recorded(bench, 43)
    (bench.root / RECORD).write_text("{")
    bench.manifest(STATE, "")


@CASES.finds("check_states", "state-unrecorded", "written by a newer sage-doctor", severity="info")
def record_of_a_newer_doctor(bench: Bench) -> None:
    state(bench, 41)
    recorded(bench, 43)
    (bench.root / RECORD).write_text('{"version": 9}')
    bench.manifest(STATE, "")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def codes(bench: Bench, check: str = "check_states") -> list[tuple[str, str]]:
    return [(f.code, f.subject) for f in bench.run(check).findings]


def marks(bench: Bench) -> dict[str, int]:
    return {e["state"]: e["value"] for e in json.loads((bench.root / RECORD).read_text())["highest"]}


def test_what_was_seen_once_is_remembered(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    bench.manifest(STATE, "")
    for count in (43, 44):
        state(bench, count)
        assert codes(bench) == []
        assert marks(bench) == {"identity": count}
    state(bench, 43)
    for _ in range(2):  # a finding does not accept itself
        assert codes(bench) == [("state-regressed", "state:identity")]
    assert marks(bench) == {"identity": 44}
    state(bench, 44)
    assert codes(bench) == []


def test_only_what_the_check_was_content_with_is_remembered(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    bench.manifest(f'{STATE}{AT_LEAST}[state.other]\npath = "other.json"\ncounter = "n"\n', "")
    state(bench, 3)
    session(bench, 9)
    (tmp_path / "other.json").write_text('{"n": 5}')
    assert codes(bench) == [("state-regressed", "state:identity")]
    assert marks(bench) == {"other": 5}


def test_each_state_and_heartbeat_is_told_by_itself(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    bench.manifest(f'{STATE}{HEARTBEAT}[state.b]\npath = "b"\n[heartbeats.a]\npath = "a/*"\nmax_age = "1h"\n', "")
    assert codes(bench) == [("state-invalid", "state:identity"), ("state-invalid", "state:b")]
    stale = [("heartbeat-stale", "heartbeat:raising"), ("heartbeat-stale", "heartbeat:a")]
    assert codes(bench, "check_heartbeats") == stale


def test_the_command_that_accepts_is_named_only_where_it_would_help(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    bench.manifest(STATE + AT_LEAST, "")
    state(bench, 43)
    assert codes(bench) == []
    state(bench, 41)
    found = bench.run("check_states").findings[0]
    assert found.fix.commands[1] == f"sage-doctor history accept identity --manifest {tmp_path}/sage-doctor.toml"
    (tmp_path / RECORD).unlink()
    session(bench, 43)
    found = bench.run("check_states").findings[0]
    assert not any("sage-doctor history accept" in command for command in found.fix.commands)
