"""Whether the user that runs sessions may read the weight files."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.findings.access import unreadable, unreadable_file
from sage_doctor.subjects.selection import Request, select
from tests.model_directories import ADAPTER, MODEL, write_adapter, write_full

from .cases import Bench, Case, Cases

CASES = Cases()
NOBODY = 65534


@CASES.passes("check_weights_readable")
def open_to_all(bench: Bench) -> None:
    write_full(bench.here)


@CASES.passes("check_weights_readable")
def private_and_ours(bench: Bench) -> None:
    (write_full(bench.here) / MODEL).chmod(0o600)


@CASES.finds("check_weights_readable", "path-unreadable", MODEL)
def closed(bench: Bench) -> None:
    (write_full(bench.here) / MODEL).chmod(0o000)


@CASES.finds("check_weights_readable", "path-unreadable", ADAPTER)
def closed_adapter(bench: Bench) -> None:
    (write_adapter(bench.here, "org/name") / ADAPTER).chmod(0o000)


# Only root can give a file to somebody else; to anybody else such a file is simply closed, which is told above.
if os.getuid() == 0:

    @CASES.finds("check_weights_readable", "weights-private-mode", f"(user {NOBODY})", severity="warning")
    def private_and_somebody_elses(bench: Bench) -> None:
        file = write_full(bench.here) / MODEL
        os.chown(file, NOBODY, NOBODY)
        file.chmod(0o600)

    @CASES.passes("check_weights_readable")
    def somebody_elses_and_open(bench: Bench) -> None:
        os.chown(write_full(bench.here) / MODEL, NOBODY, NOBODY)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(
    "closed, command",
    [
        ("all", "sudo chmod -R o+rX {model}"),
        ("config.json", "sudo chmod -R o+rX {model}"),
        ("own config.json", "chmod -R u+rX {model}"),
        ("group config.json", "sudo chmod -R g+rX {model}"),
        ("foreign config.json", "sudo chown -R nobody: {model}/config.json"),
        ("parent", "sudo chmod o+x {parent}"),
    ],
)
def test_the_printed_command_lets_the_user_in(
    tmp_path: Path, closed: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)  # setfacl is not on every machine
    _let_pass(tmp_path)
    model = write_full(tmp_path / "share" / "m")
    who, _, name = closed.rpartition(" ")
    file = model / name
    if closed == "all":
        for path in model.iterdir():
            path.chmod(0o600)
    elif closed == "parent":
        model.parent.chmod(0o700)
    else:
        owner, group = {"own": (NOBODY, NOBODY), "group": (0, NOBODY)}.get(who, (0, 0))
        os.chown(file, owner, group)
        file.chmod(0o000 if who == "own" else 0o600)
        if who in ("own", "foreign"):
            os.chown(model, NOBODY, NOBODY)
    expected = command.format(model=model, parent=model.parent)
    found = _told_to_nobody(model)
    assert found is not None
    assert found["code"] == "path-unreadable"
    assert expected in found["commands"]
    for line in found["commands"]:
        if not line.startswith("sage-doctor "):
            subprocess.run(line.removeprefix("sudo "), shell=True, check=True)
    assert _told_to_nobody(model) is None


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setfacl"), reason="needs root and setfacl")
@pytest.mark.parametrize("rule", ["u:nobody:---", "u:nobody:r,m::---,o::---"])
def test_an_access_list_that_keeps_the_user_out_gets_an_entry_that_lets_it_in(tmp_path: Path, rule: str) -> None:
    _let_pass(tmp_path)
    file = write_full(tmp_path / "m") / "config.json"
    if subprocess.run(["setfacl", "-m", rule, str(file)], check=False).returncode:
        pytest.skip("no access lists here")
    found = _told_to_nobody(file.parent)
    assert found is not None
    assert found["commands"] == [f"sudo setfacl -R -m u:nobody:rX {file.parent}"]
    subprocess.run(found["commands"][0].removeprefix("sudo "), shell=True, check=True)
    assert _told_to_nobody(file.parent) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_a_group_that_counts_from_the_next_login_on_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _let_pass(tmp_path)
    model = write_full(tmp_path / "m")
    os.chown(model, 0, 1)  # daemon's
    model.chmod(0o750)
    monkeypatch.setattr(os, "getgrouplist", lambda _name, group: [group, 1])
    found = _told_to_nobody(model)
    assert found is not None
    assert found["commands"] == ["id", "newgrp daemon"]


def _let_pass(directory: Path) -> None:
    for part in (directory, *directory.parents):
        if part != Path("/"):
            part.chmod(part.stat().st_mode | 0o011)


def _told_to_nobody(model: Path) -> dict[str, Any] | None:
    """Return the code and the commands of the first finding that the user nobody gets for a directory, or None."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        selection = select(Request(targets=(str(model),), level="static", cwd="/"), {"HOME": "/nonexistent"})
        (subject,) = selection.models
        found = unreadable(subject.host, subject.path) or unreadable_file(subject)
        told = {"code": found.code, "commands": found.fix.commands} if found is not None else None
        os.write(write, json.dumps(told).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said: dict[str, Any] | None = json.loads(pipe.read())
    return said
