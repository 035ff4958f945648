"""`sage-doctor install` as a user meets it: what is shown, asked, written, and exited with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from .conftest import Doctor, Done, answered

MANIFEST = """schema = 1
[machines.here]
match.hostname = "*"
roles = ["raising"]
[roles.raising]
models = ["m"]
[roles.training]
[models.m]
kind = "full"
path = "m"
"""
TAB = """#!/bin/sh
case "$1" in
    -l) [ -e "$HOME/tab" ] || { echo "no crontab for you" >&2; exit 1; }; cat "$HOME/tab" ;;
    -r) rm "$HOME/tab" ;;
    -) cat > "$HOME/tab" ;;
esac
"""


@pytest.fixture
def tab(tmp_path: Path, environment: dict[str, str]) -> Path:
    """A manifest, and a crontab program that keeps its table in the home."""
    (tmp_path / "sage-doctor.toml").write_text(MANIFEST)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "crontab").write_text(TAB)
    (programs / "crontab").chmod(0o755)
    environment["PATH"] = f"{programs}:/usr/bin:/bin"
    return Path(environment["HOME"]) / "tab"


@pytest.fixture(autouse=True)
def proven(environment: dict[str, str], tmp_path: Path) -> None:
    """Let the doctor be found without PYTHONPATH, as an installed one is: a script of its name calls this one."""
    script = tmp_path / "bin" / "sage-doctor"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {environment['PYTHONPATH']!r})\n"
        "from sage_doctor.cli import main\nmain()\n"
    )
    script.chmod(0o755)


@pytest.fixture
def install(tmp_path: Path, environment: dict[str, str]) -> Doctor:
    """Run `sage-doctor install` by the script."""

    def run(*words: str) -> Done:
        done = subprocess.run(
            [tmp_path / "bin" / "sage-doctor", "install", *words],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    return run


def test_cron_from_nothing_and_back(install: Doctor, tab: Path, tmp_path: Path) -> None:
    shown = install("cron", "--dry-run")
    assert (shown.code, tab.exists()) == (0, False)
    assert (
        f"+@reboot sleep 120; {tmp_path}/bin/sage-doctor gate raising --manifest {tmp_path}/sage-doctor.toml"
        in shown.out
    )
    declined = install("cron")
    assert (declined.code, tab.exists()) == (1, False)
    assert "no terminal to ask at; use --yes" in declined.out
    assert install("cron", "--yes").code == 0
    before = tab.read_text()
    again = install("cron", "--yes")
    assert (again.code, again.out) == (0, "already installed, nothing to do\n")
    assert tab.read_text() == before
    (tmp_path / "sage-doctor.toml").unlink()  # not needed to take it away again
    assert install("cron", "--uninstall", "--yes").code == 0
    assert not tab.exists()
    assert install("cron", "--uninstall").out == "nothing to remove\n"


def test_edited_lines_give_another_exit_code(install: Doctor, tab: Path) -> None:
    install("cron", "--yes")
    tab.write_text(tab.read_text().replace("sleep 120", "sleep 1"))
    for words in (["cron", "--every", "6h"], ["cron", "--uninstall"]):
        done = install(*words, "--yes")
        assert done.code == 3
        assert "kept: the crontab's lines for raising were edited" in done.out
    assert "sleep 1;" in tab.read_text()


def test_each_gate_writes_its_own_report(install: Doctor, tab: Path, tmp_path: Path) -> None:
    given = ["cron", "-o", "prometheus:sage_{role}.prom", "-o", f"json:{tmp_path}/{{role}} now.json", "--yes"]
    assert install(*given).code == 0
    assert f" -o prometheus:{tmp_path}/sage_raising.prom -o 'json:{tmp_path}/raising now.json' " in tab.read_text()
    (tmp_path / "sage-doctor.toml").write_text(
        MANIFEST.replace('roles = ["raising"]', 'roles = ["raising", "training"]')
    )
    refused = install("cron", "-o", "prometheus:sage.prom")
    assert (refused.code, refused.out) == (2, "")
    assert "would be written by the gates of 2 roles: put {role} into the path" in refused.err


@pytest.mark.usefixtures("tab")
def test_units_of_a_user(install: Doctor, environment: Mapping[str, str]) -> None:
    done = install("systemd", "--user", "--session-unit", "session", "--on-boot", "--every", "6h", "--yes")
    assert done.code == 0, done
    units = Path(environment["HOME"]) / ".config" / "systemd" / "user"
    assert sorted(p.name for p in units.iterdir()) == [
        "sage-doctor-gate@raising.service",
        "sage-doctor-gate@raising.timer",
        "session.service.d",
    ]
    assert "systemctl --user enable --now -- sage-doctor-gate@raising.timer" in done.out
    assert "loginctl enable-linger" in done.out
    assert install("systemd", "--user", "--uninstall", "--yes").code == 0
    assert list(units.iterdir()) == []


@pytest.mark.usefixtures("tab")
@pytest.mark.parametrize(
    "words,code,said",
    [
        (["cron", "--role", "rasing"], 2, "did you mean raising?"),
        (["cron", "--role", "training"], 2, "training is not a role of here, whose roles are: raising"),
        (["cron", "--manifest", "gone.toml"], 2, "gone.toml: no such file"),
        (["cron", "--every", "7h"], 2, "must divide an hour or a day"),
        (["cron", "--timeout", "0"], 2, "is not a length of time"),
        (["cron", "--timeout", "2d"], 2, "is not a whole number of seconds, from 1s to 1d"),
        (["cron", "--timeout", "1.5"], 2, "is not a whole number of seconds, from 1s to 1d"),
        (["cron", "-o", "prometheus:gone/x.prom"], 2, "gone is not a directory"),
        (["cron", "--system"], 2, "run it as the user of the sessions"),
        (["cron", "--session-unit", "x"], 2, "is for systemd only"),
        (["systemd", "--user", "--run-as", "root"], 2, "--run-as needs --system"),
        (["systemd", "--user", "--session-unit", "x.timer"], 2, "not its timer"),
        (["launchd", "--user"], 3, "launchd is macOS only"),
        (["anacron"], 2, "invalid choice"),
        ([], 2, "SCHEDULER"),
    ],
)
def test_what_makes_no_sense_here(install: Doctor, tab: Path, words: list[str], code: int, said: str) -> None:
    done = install(*words)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert not tab.exists()
    assert os.listdir(tab.parent) == []


def test_without_a_manifest(install: Doctor, tab: Path, tmp_path: Path) -> None:
    (tmp_path / "sage-doctor.toml").unlink()
    done = install("cron")
    assert (done.code, done.out) == (2, "")
    assert "no sage-doctor.toml in this directory or above; name one with --manifest" in done.err
    assert not tab.exists()


def test_without_a_crontab_program(install: Doctor, tab: Path, environment: dict[str, str]) -> None:
    environment["PATH"] = str(tab.parent)
    done = install("cron", "--yes")
    assert (done.code, done.out) == (3, "")
    assert "`crontab` not found" in done.err


def test_a_doctor_that_only_a_login_can_start_is_not_installed(
    install: Doctor, tab: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    script = tmp_path / "bin" / "sage-doctor"
    lines = script.read_text().splitlines(keepends=True)
    refusal = "import os\nif 'LOGIN' not in os.environ:\n    sys.exit('No module named sage_doctor')\n"
    script.write_text("".join([*lines[:2], refusal, *lines[2:]]))
    environment["LOGIN"] = "1"
    done = install("cron", "--yes")
    assert (done.code, done.out) == (3, "")
    assert "does not start in an empty environment" in done.err
    assert "No module named sage_doctor" in done.err
    assert not tab.exists()


def test_a_file_where_the_units_should_go(install: Doctor, tab: Path) -> None:
    (tab.parent / ".config").write_text("a file")
    done = install("systemd", "--user", "--yes")
    assert (done.code, done.out) == (3, "")
    assert ".config" in done.err
    assert os.listdir(tab.parent) == [".config"]


@pytest.mark.parametrize("answer,code", [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_a_person_at_a_terminal_is_asked(
    environment: Mapping[str, str], tab: Path, tmp_path: Path, answer: bytes, code: int
) -> None:
    done = answered(answer, tmp_path / "bin" / "sage-doctor", "install", "cron", cwd=tmp_path, env=environment)
    assert "Apply these changes? [y/N]" in done.err
    assert (done.code, tab.exists()) == (code, code == 0)
