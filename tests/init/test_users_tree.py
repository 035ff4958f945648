"""`init --yes`, and the first check on two machines: few entries, the right ones, and no edit in between."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import tomllib

from sage_doctor.cli import init
from sage_doctor.subjects.selection import Request
from sage_doctor.suite.examine import examine

from .users_tree import USERS, ZOO, lay_out

RUNNERS = [f"sage/raising/scripts/run_session_{n}.py" for n in ("experimental", "primary", "sensing")]
# What is true about what each machine is meant to run, and nothing else, is to be told.
TRUE = {
    "thor": {
        ("adapter-base-missing", "Introspective-v2.1"),
        ("weights-missing", "introspective-merged"),
        ("hub-not-cached", "big-instruct"),
        ("runner-roots-disagree", "machine"),
        *(("runner-hardcoded-path", name) for name in RUNNERS),
    },
    "sprout": set(),
}


def test_the_first_check_after_init_needs_no_edit_and_says_only_what_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    thor, sprout = lay_out(tmp_path, "thor"), lay_out(tmp_path, "sprout")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "SAGE_DOCTOR_MANIFEST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(thor.checkout)
    monkeypatch.setenv("HOME", str(thor.home))
    monkeypatch.setenv("SAGE_MACHINE", "thor")
    options = argparse.Namespace(targets=[], manifest=None, dry_run=False, yes=True, all=False)
    assert init.run(options) == 0
    notes = capsys.readouterr().err
    text = (thor.checkout / "sage-doctor.toml").read_text()
    assert_right(tomllib.loads(text), thor.home)
    assert "left out 95 models that no launcher names" in notes
    assert "archive" not in text
    for machine in (thor, sprout):
        # A machine's home is below the test's directory where it is played, and elsewhere as it is called.
        played = text.replace(str(thor.home), "/home/dp").replace(f"/home/{USERS[machine.name]}", str(machine.home))
        (machine.checkout / "sage-doctor.toml").write_text(played)
        monkeypatch.chdir(machine.checkout)
        monkeypatch.setenv("HOME", str(machine.home))
        monkeypatch.setenv("SAGE_MACHINE", machine.name)
        request = Request(cwd=os.fspath(machine.checkout), level="integrity", history=False)
        report = examine(request, fail_on="error")
        assert {(f.code, f.subject) for f in report.findings if f.severity != "info"} == TRUE[machine.name]
        assert report.verdict == ("unhealthy" if TRUE[machine.name] else "healthy")


def assert_right(manifest: dict[str, Any], home: Path) -> None:
    """Each family is a role with the model that its code names; each machine has what its units and paths speak of."""
    roles = manifest["roles"]
    assert {name: role.get("models") for name, role in roles.items()} == {
        "raising": ["introspective-merged"],
        "raising-thor": ["Introspective-v2.1"],
        "raising-14b": ["big-instruct"],
        "daemon": ["small", "base"],  # the shell script gives one, the units leave the default
        "voice": None,  # the user chooses one: the candidates are a comment
    }
    assert roles["raising"]["runners"] == ["sage/raising/scripts/run_session_*.py"]
    machines = manifest["machines"]
    assert {name: machine["roles"] for name, machine in machines.items()} == {
        "thor": ["raising-14b", "raising", "daemon", "raising-thor", "voice"],
        "sprout": ["raising", "daemon"],
        "legion": [],
        "cbp": [],
    }
    homes = {name: machine["home"] for name, machine in machines.items()}
    assert homes == {**{n: f"/home/{u}" for n, u in USERS.items()}, "thor": str(home)}
    models = {name: model["path"] for name, model in manifest["models"].items()}
    assert len(models) == 7
    assert models["introspective-merged"] == f"{ZOO}/introspective-merged"
    assert manifest["lint"]["paths"] == ["sage/daemon/start_sage.sh", "sage/scripts/*.sh", "sage/units/*.service"]
