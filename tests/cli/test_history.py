"""`check` and its history, `history` and `calibrate`, as a user meets them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sage_doctor.history.runs import Series
from tests.history.runs import finding, report, write
from tests.model_directories import MODEL, write_full

from .conftest import ROOT, Doctor

SCHEMA = json.loads((ROOT / "sage_doctor" / "schemas" / "report.schema.json").read_text())
CHECK = ("check", "-l", "static", "-f", "json")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    write_full(tmp_path / "here")
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[roles.talk]\nmodels = ["m"]\n[models.m]\nkind = "full"\npath = "here"\n'
    )
    return tmp_path


def history_of(place: Path) -> Path:
    return place / "home/.local/state/sage-doctor/history.sqlite3"


def runs(place: Path) -> list[Any]:
    with contextlib.closing(sqlite3.connect(history_of(place))) as connection:
        return connection.execute("SELECT verb, targets, verdict, exit_code FROM runs ORDER BY id").fetchall()


def test_a_red_run_says_what_changed_and_a_green_one_does_not(doctor: Doctor, manifest: Path) -> None:
    first = doctor(*CHECK)
    assert (first.code, first.err, first.report["changes"]) == (0, "", [])
    assert "changes_since" not in first.report

    (manifest / "here" / MODEL).unlink()
    done = doctor(*CHECK, "-o", f"junit:{manifest}/report.xml")
    jsonschema.validate(done.report, SCHEMA)
    assert done.code == 1
    assert done.report["changes_since"] == first.report["started_at"]
    (change,) = done.report["changes"]
    assert (change["subject"], change["what"]) == ("m", f"file {MODEL}")
    assert "after" not in change
    assert f"changed/m/file {MODEL}" in (manifest / "report.xml").read_text()

    screen = doctor("check", "-l", "static").out
    assert f"model m: {MODEL} gone (was " in screen
    assert "Since the last good run (" in screen.partition("machine")[0]
    assert runs(manifest) == [("check", "[]", "healthy", 0), *[("check", "[]", "unhealthy", 1)] * 2]


def test_a_change_with_its_dates_put_back_is_seen(doctor: Doctor, manifest: Path) -> None:
    doctor("check", "-l", "static")
    with open(manifest / "here" / "config.json", "r+b") as file:
        before = os.fstat(file.fileno())
        file.write(b"[")
    os.utime(manifest / "here" / "config.json", ns=(before.st_atime_ns, before.st_mtime_ns))
    screen = " ".join(doctor("check", "-l", "static").out.split())
    assert "model m: config.json" in screen.partition("machine")[0]
    assert "rewritten or renamed" in screen


OWN = """from sage_doctor.check import Fix, check, finding

@check("static")
def check_door(host):
    '''The door is shut.'''
    if (host.cwd / "open").exists():
        yield finding("acme-door", "the door is open", severity="error", fix=Fix(summary="Shut it."))
"""


def test_nothing_changed_is_said_as_well(doctor: Doctor, manifest: Path) -> None:
    (manifest / "own").mkdir()
    (manifest / "own" / "door.py").write_text(OWN)
    with open(manifest / "sage-doctor.toml", "a") as file:
        file.write('[checks]\npaths = ["own"]\n')
    assert doctor("check", "-l", "static").code == 0
    (manifest / "open").touch()
    done = doctor("check", "-l", "static")
    assert done.code == 1
    assert "No recorded change since" in " ".join(done.out.split())


def test_targets_are_a_series_of_their_own(doctor: Doctor, manifest: Path) -> None:
    doctor(*CHECK)
    (manifest / "here" / MODEL).unlink()
    assert "changes_since" not in doctor(*CHECK, "talk").report
    assert "changes_since" in doctor(*CHECK).report


@pytest.mark.parametrize("words,changes", [(["--no-history"], {}), ([], {"SAGE_DOCTOR_HISTORY": "0"})])
def test_it_can_be_switched_off(doctor: Doctor, manifest: Path, words: list[str], changes: Mapping[str, str]) -> None:
    assert doctor(*CHECK, *words, **changes).code == 0
    assert not history_of(manifest).exists()


def test_directories_leave_no_history(doctor: Doctor, manifest: Path) -> None:
    assert doctor(*CHECK, "./here").code == 0
    assert doctor(*CHECK, "here").code == 0
    assert not history_of(manifest).exists()


def test_a_history_that_cannot_be_written_costs_one_line_and_no_verdict(doctor: Doctor, manifest: Path) -> None:
    (manifest / "file").touch()
    done = doctor(*CHECK, XDG_STATE_HOME=str(manifest / "file"))
    assert (done.code, done.report["verdict"]) == (0, "healthy")
    (line,) = done.err.splitlines()
    assert "could not be written: not a directory; --no-history turns the history off" in line


def test_a_broken_history_is_set_aside_with_a_word(doctor: Doctor, manifest: Path) -> None:
    history_of(manifest).parent.mkdir(parents=True)
    history_of(manifest).write_bytes(os.urandom(9999))
    (manifest / "here" / MODEL).unlink()
    done = doctor(*CHECK)
    assert done.code == 1
    assert "was kept as history.sqlite3.corrupt-" in done.err
    assert len(runs(manifest)) == 1


def test_the_run_is_written_down_also_where_nobody_takes_the_report(doctor: Doctor, manifest: Path) -> None:
    done = doctor("check", "-l", "static", "-o", "json:/proc/nothing")
    assert done.code == 3
    assert len(runs(manifest)) == 1


LOADED = """
import sys
sys.argv = ["sage-doctor", *sys.argv[1:]]
from sage_doctor.cli import main
try:
    main()
finally:
    print("sqlite3" in sys.modules, file=sys.stderr)
"""
# What `check` does in its child.
LOADED_BY_CHECK = """
import os, sys
from sage_doctor.cli.bounded_check import _examine
from sage_doctor.subjects.selection import Request
targets = tuple(w for w in sys.argv[1:] if not w.startswith("-"))
request = Request(targets=targets, cwd=os.getcwd(), level="static", history="--no-history" not in sys.argv)
kinds = []
_examine(request, 1, "error", None, lambda kind, value: kinds.append(kind), lines=False)
assert "report" in kinds, kinds
print("sqlite3" in sys.modules, file=sys.__stderr__)
"""


@pytest.mark.parametrize(
    "script,words,expected",
    [
        (LOADED, ["--help"], "False"),
        (LOADED, ["history", "--help"], "False"),
        (LOADED_BY_CHECK, ["./here"], "False"),
        (LOADED_BY_CHECK, ["--no-history"], "False"),
        (LOADED_BY_CHECK, [], "True"),
    ],
)
def test_sqlite_is_imported_only_where_a_history_is_kept(
    manifest: Path, environment: dict[str, str], script: str, words: list[str], expected: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=manifest,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == expected


# -- history and calibrate --------------------------------------------------------------------------------------------


def lived(place: Path, count: int = 6, *, machine: str | None = None) -> None:
    own = socket.gethostname()
    where = Series(
        path=history_of(place),
        machine=machine or own,
        hostname=machine or own,
        manifest=str(place / "sage-doctor.toml"),
    )
    measured = {"load_s": 2.0, "first_token_ms": 100.0, "tokens_per_s": 10.0}
    write(where, *(report(number=n, measured=measured) for n in range(count)))
    write(where, report(finding("weights-missing"), number=90))


def test_without_a_history_there_is_nothing_to_show(doctor: Doctor, manifest: Path) -> None:
    done = doctor("history")
    assert (done.code, done.err) == (0, "")
    assert "no runs recorded yet" in done.out
    assert doctor("history", "-f", "json").report["runs"] == []
    assert not history_of(manifest).exists()


def test_the_runs_newest_first_with_medians_by_machine(doctor: Doctor, manifest: Path) -> None:
    lived(manifest)
    lived(manifest, 3, machine="sprout")
    found = doctor("history", "-f", "json", "--limit", "2").report
    assert [(r["verdict"], r["machine"]) for r in found["runs"]] == [("unhealthy", "sprout"), ("healthy", "sprout")]
    assert found["runs"][0]["findings"] == [{"code": "weights-missing", "severity": "error", "subject": "m"}]
    loads = {m["machine"]: (m["runs"], m["median"]) for m in found["measurements"] if m["name"] == "load_s"}
    assert loads == {socket.gethostname(): (6, 2.0), "sprout": (3, 2.0)}
    out = [re.split(" {2,}", line) for line in doctor("history").out.splitlines()]
    assert out[0] == ["started", "machine", "command", "level", "verdict", "problems"]
    assert ["2026-01-19 06:00:00", "sprout", "check all", "generate", "unhealthy", "weights-missing (m)"] in out
    assert ["sprout", "m", "load_s", "3", "2 s", "2 s", "2 s", "2 s"] in out


@pytest.mark.parametrize("name,count", [("m", 7), ("talk", 0)])
def test_one_model_or_role(doctor: Doctor, manifest: Path, name: str, count: int) -> None:
    lived(manifest)
    assert len(doctor("history", name, "-f", "json").report["runs"]) == count


def test_runs_of_a_role_are_those_that_named_it(doctor: Doctor, manifest: Path) -> None:
    lived(manifest)
    doctor(*CHECK, "talk")
    (one,) = doctor("history", "talk", "-f", "json").report["runs"]
    assert one["targets"] == ["talk"]


@pytest.mark.usefixtures("manifest")
def test_a_name_of_nothing_is_refused(doctor: Doctor) -> None:
    for command in (["history"], ["history", "calibrate"]):
        done = doctor(*command, "mm")
        assert (done.code, done.out) == (2, "")
        assert "did you mean 'm'?" in done.err


def test_what_cannot_be_read_is_said(doctor: Doctor, manifest: Path) -> None:
    history_of(manifest).parent.mkdir(parents=True)
    history_of(manifest).write_bytes(os.urandom(9999))
    for command in (["history"], ["history", "calibrate"]):
        done = doctor(*command)
        assert (done.code, done.out) == (3, "")
        assert "file is not a database" in done.err


def test_accepting_needs_something_measured(doctor: Doctor, manifest: Path) -> None:
    assert "no measurements of m on this machine yet" in doctor("history", "m", "--accept").err
    lived(manifest)
    done = doctor("history", "m", "--accept")
    assert (done.code, done.out) == (0, "accepted the newest run as the new normal: m\n")
    assert doctor("history", "talk", "--accept").code == 2
    assert "m: 1 of 5 runs needed" in doctor("history", "calibrate").out


def test_budgets_are_proposed_as_toml_that_the_manifest_takes(doctor: Doctor, manifest: Path) -> None:
    done = doctor("history", "calibrate")
    assert done.code == 3
    assert "m: 0 of 5 runs needed" in done.out
    lived(manifest)
    for machine in ("", f'[machines."a b"]\nmatch.hostname = "{socket.gethostname()}"\n'):
        text = 'schema = 1\n[models.m]\npath = "here"\nkind = "full"\n' + machine
        (manifest / "sage-doctor.toml").write_text(text)
        if machine:
            with contextlib.closing(sqlite3.connect(history_of(manifest))) as connection:
                connection.execute("UPDATE runs SET machine = 'a b'")
                connection.commit()
        done = doctor("history", "calibrate", "m")
        assert done.code == 0, done.err
        assert "budget = { load_s = 3, first_token_ms = 150, tokens_per_s = 6.6 }" in done.out
        pasted = text + done.out if machine else text + done.out.partition("[models.m]")[2].lstrip()
        (manifest / "sage-doctor.toml").write_text(pasted)
        assert doctor("check", "-l", "static").code == 0


@pytest.mark.usefixtures("manifest")
@pytest.mark.parametrize("old,new", [("calibrate", "history calibrate"), ("accept", "history accept")])
def test_the_old_spelling_works_and_says_so(doctor: Doctor, old: str, new: str) -> None:
    before, after = doctor(old, "m"), doctor(*new.split(), "m")
    assert (before.code, before.out) == (after.code, after.out)
    notice = f"sage-doctor: `{old}` is now `{new}`; the old name works in 0.2 only\n"
    assert before.err == notice + after.err
