"""Heartbeats and states: which concern this machine, and every mistake by its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.manifest.durations import EXPECTED
from sage_doctor.manifest.narrowing import for_role
from sage_doctor.manifest.specs import Manifest
from sage_doctor.manifest.watched import HeartbeatSpec, StateSpec

Load = Callable[..., Manifest]
Problems = Callable[..., list[str]]

TEXT = """\
[machines.thor]
match.hostname = "thor"
roles = ["raising"]
vars.out = "/data/sessions"
[machines.desk]
match.hostname = "desk"
roles = ["writing"]
[roles.raising]
[roles.writing]
[heartbeats.raising]
path = ["{out}/session_*.json", "~/more/*.json"]
max_age = "26h"
roles = ["raising"]
[heartbeats.backup]
path = "backup/*"
max_age = 3600
description = "by cron"
[state.identity]
path = "state/identity.json"
counter = "identity.session_count"
min_from_glob = "{out}/session_*.txt"
roles = ["raising"]
"""


def test_what_concerns_this_machine_is_filled_in(load: Load, tmp_path: Path) -> None:
    manifest = load(TEXT, hostname="thor")
    assert manifest.heartbeats == {
        "raising": HeartbeatSpec(
            name="raising",
            paths=("/data/sessions/session_*.json", "/home/me/more/*.json"),
            max_age_s=93_600.0,
            roles=("raising",),
            line=11,
        ),
        "backup": HeartbeatSpec(name="backup", paths=("backup/*",), max_age_s=3600.0, description="by cron", line=15),
    }
    assert manifest.states == {
        "identity": StateSpec(
            name="identity",
            path=tmp_path / "state/identity.json",
            counter="identity.session_count",
            min_from_glob="/data/sessions/session_*.txt",
            roles=("raising",),
            line=19,
        )
    }
    assert manifest.watched


def test_what_concerns_other_machines_needs_no_value_here(load: Load) -> None:
    manifest = load(TEXT, hostname="desk")
    assert (list(manifest.heartbeats), manifest.states, manifest.watched) == (["backup"], {}, True)


def test_a_host_that_no_machine_matches_is_taken_for_one_with_every_role(problems: Problems) -> None:
    told = problems(TEXT, hostname="elsewhere")
    assert [line.partition(":")[0] for line in told] == ["12", "22"]
    assert all("variable 'out' is set for machine thor" in line for line in told)


@pytest.mark.parametrize("roles, seen", [("", True), ("roles = []", False), ("roles = ['r']", True)])
def test_without_machines_every_role_is_ours(load: Load, roles: str, seen: bool) -> None:
    manifest = load(f"roles.r = {{}}\n[state.s]\npath = 's.json'\n{roles}")
    assert (list(manifest.states) == ["s"], manifest.watched) == (seen, seen)


def test_one_role_is_concerned_with_its_own_and_with_what_concerns_all(load: Load) -> None:
    manifest = load(TEXT.replace('roles = ["raising"]\nvars', "vars"), hostname="thor")  # a machine with every role
    raising, writing = for_role(manifest, "raising"), for_role(manifest, "writing")
    assert (list(raising.heartbeats), list(raising.states)) == (["raising", "backup"], ["identity"])
    assert (list(writing.heartbeats), list(writing.states)) == (["backup"], [])


def test_mistakes_are_told_by_their_line(problems: Problems) -> None:
    text = """\
    [roles.raising]
    [heartbeats.a]
    path = "x"
    max_age = "often"
    roles = ["rasing"]
    [heartbeats.b]
    paht = "x"
    max_age = "1h"
    [heartbeats.c]
    path = "\\u0000"
    max_age = "1h"
    [heartbeats.d]
    path = ["{nowhere}/x", ""]
    max_age = "1h"
    [heartbeats.e]
    path = []
    max_age = "1h"
    [state.f]
    path = "x"
    counter = "a..b"
    [state.g]
    path = "x"
    min_from_glob = "y"
    [state.h]
    counter = "x"
    """
    assert problems(text) == [
        f"5: [heartbeats.a] max_age must be {EXPECTED}, not the string 'often'",
        "6: unknown role 'rasing' in [heartbeats.a]; did you mean 'raising'?",
        "7: [heartbeats.b] has no path: a glob of the files that sessions write",
        "8: unknown key 'paht' in [heartbeats.b]; did you mean 'path'?",
        "11: [heartbeats.c] path '\\x00' contains a NUL character",
        "14: [heartbeats.d] path must be a string or a list of strings; it holds the string ''",
        "14: [heartbeats.d] path: unknown variable 'nowhere'; known: home, machine, manifest_dir",
        "17: [heartbeats.e] path must be a glob or a list of globs that is not empty, not an empty list",
        "21: [state.f] counter must be the names that lead to a number, with dots between them, not the string 'a..b'",
        "24: [state.g] min_from_glob needs a counter to compare with",
        "25: [state.h] has no path: the JSON file that sessions hand on",
    ]
