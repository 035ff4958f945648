"""What the system refuses (output, disk, processes): the decision stands, or is said to be unknown."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gate.stand_in import write_interpreter, write_site
from tests.model_directories import MODEL, write_adapter, write_full

from .conftest import Doctor

GATE = ("gate", "talk", "--level", "static")
Shell = Callable[..., subprocess.CompletedProcess[str]]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A manifest whose role `talk` is in good health."""
    return write_site(tmp_path / "site", None)


@pytest.fixture
def shell(site: Path, environment: dict[str, str]) -> Shell:
    """Run a line of bash; `$SD` in it is the doctor. `before` is Python code that the doctor's process runs first."""

    def run(
        line: str, *, before: str = "", words: tuple[str, ...] = ("bash", "-c")
    ) -> subprocess.CompletedProcess[str]:
        code = f"{before}\nfrom sage_doctor.cli import main\nmain()"
        doctor = shlex.join([sys.executable, "-c", code])
        done = subprocess.run(
            [*words, line.replace("$SD", doctor)],
            cwd=site,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for said in ("Traceback", "internal error", "Errno"):
            assert said not in done.stdout + done.stderr
        return done

    return run


# -- output that cannot be written ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where", ["> /dev/full", ">&-", "2> /dev/full", "2>&-", ">&- 2>&-", "> /dev/full 2>&1", "| true"]
)
def test_the_decision_stands_whatever_becomes_of_the_output(shell: Shell, site: Path, where: str) -> None:
    line = f"set -o pipefail; $SD {' '.join(GATE)} -f json {where}"
    assert shell(line).returncode == 0
    (site / "zoo" / "m0" / MODEL).unlink()
    assert shell(line).returncode == 1


@pytest.mark.parametrize("where", ["> /dev/full 2>&1", ">&- 2>&-", "<&- >&- 2>&-", "2> /dev/full"])
def test_the_command_runs_if_the_gate_is_open_and_only_then(shell: Shell, site: Path, where: str) -> None:
    line = f"$SD {' '.join(GATE)} -- sh -c 'touch ran; exit 7' {where}"
    assert shell(line).returncode == 7
    (site / "ran").unlink()
    (site / "zoo" / "m0" / MODEL).unlink()
    assert shell(line).returncode == 1
    assert not (site / "ran").exists()


def test_a_report_that_is_lost_is_said(shell: Shell) -> None:
    done = shell(f"$SD {' '.join(GATE)} -f json > /dev/full")
    assert done.stderr.splitlines()[-1] == "standard output cannot be written: no space left on device"
    done = shell(f"$SD {' '.join(GATE)} -o json:/dev/full -- echo started")
    assert (done.returncode, done.stdout) == (0, "started\n")
    assert "the report cannot be written: /dev/full could not be written: no space left on device" in done.stderr


def test_a_check_says_that_its_report_is_lost_and_keeps_its_code(shell: Shell, site: Path) -> None:
    lost = "sage-doctor: standard output cannot be written: no space left on device\n"
    done = shell("$SD check -l static > /dev/full")
    assert (done.returncode, done.stderr) == (3, lost)  # a report that nobody has is no report of health
    done = shell("set -o pipefail; $SD check -l static -f json | true")
    assert (done.returncode, done.stderr) == (0, "")
    (site / "zoo" / "m0" / MODEL).unlink()
    done = shell("$SD check -l static -f json > /dev/full")
    assert (done.returncode, done.stderr) == (1, lost)
    assert shell("set -o pipefail; $SD check -l static | true").returncode == 1


def test_a_reader_that_shares_a_descriptor_without_waiting_gets_everything(
    site: Path, environment: dict[str, str]
) -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    words = [sys.executable, "-m", "sage_doctor", *GATE, "-f", "json"]
    with subprocess.Popen(words, cwd=site, env=environment, stdout=theirs, stderr=subprocess.DEVNULL) as gate:
        os.close(theirs)
        with open(ours, "rb") as reader:
            assert reader.read().rstrip().endswith(b"}")
    assert gate.returncode == 0


# -- what the system does not give ------------------------------------------------------------------------------------

NO_FORK = """
import errno, os
def refuse(*_): raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
"""


def test_a_refused_process_is_unknown_and_said(shell: Shell) -> None:
    done = shell(f"$SD {' '.join(GATE)} -- echo started", before=f"{NO_FORK}os.fork = refuse")
    assert (done.returncode, done.stdout) == (3, "")
    assert "unknown: talk: no further process or thread can be started: a limit is reached" in done.stderr


def test_a_refused_load_does_not_speak_ill_of_the_interpreter(tmp_path: Path, shell: Shell) -> None:
    write_site(tmp_path / "site", write_interpreter(tmp_path / "env"))
    refused = f"{NO_FORK}import subprocess\nsubprocess.Popen._execute_child = refuse"
    done = shell("$SD gate talk -- echo started", before=refused)
    assert (done.returncode, done.stdout) == (3, "")
    assert "interpreter-missing" not in done.stderr
    assert "no further process or thread can be started" in done.stderr


@root_only
@pytest.mark.parametrize("command", ["gate talk -l static -- echo started", "check -l static"])
def test_a_read_only_machine_is_examined_all_the_same(shell: Shell, site: Path, command: str) -> None:
    line = f"mount --bind / / && mount -o remount,ro,bind / && cd {shlex.quote(str(site))} && $SD {command}"
    done = shell(line, words=("unshare", "-m", "sh", "-c"))
    assert done.returncode == 0, done.stderr
    assert "read-only file system" in done.stderr  # the history, and the gate's record


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["echo 'x", "\\", " ", "''"])
def test_a_notification_that_is_no_command_is_wrong_usage_before_anything_else(
    doctor: Doctor, site: Path, tmp_path: Path, text: str
) -> None:
    done = doctor(*GATE, "--on-blocked", text, cwd=site)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("sage-doctor: --on-blocked")
    assert not (tmp_path / "home" / ".local").exists()  # nothing was examined


def test_init_leaves_out_a_base_that_no_manifest_can_name(doctor: Doctor, tmp_path: Path) -> None:
    place = tmp_path / "zoo"
    write_full(place / "good")
    write_full(place / "caf\udce9")
    write_adapter(place / "ad", base="./caf\udce9")
    (place / "scripts\udce9").mkdir()
    (place / "scripts\udce9" / "run_session.py").write_text("from transformers import AutoModel\n")
    done = doctor("init", "--yes", ".", cwd=place)
    assert done.code == 0
    assert "the base of ad is left out" in done.err
    assert "caf\\xe9" in done.err
    assert doctor("check", "-l", "static", "good", cwd=place).code == 0
