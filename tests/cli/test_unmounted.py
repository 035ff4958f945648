"""A disk that /etc/fstab names and that is not mounted, for real: what commands say and leave alone, and the cure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.model_directories import write_adapter, write_full

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
ROOT = Path(__file__).resolve().parents[2]
# The disk is a directory that fstab binds to the mount point: `mount POINT` then does what it does for a disk.
SETUP = """
mount --make-rprivate / && mount --bind fstab /etc/fstab || exit 77
doctor() { "$PYTHON" -m sage_doctor "$@" 2>&1; echo "exit $?"; }
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_full(tmp_path / "disk/models/m")
    write_full(tmp_path / "base")
    write_adapter(tmp_path / "adapter", tmp_path / "base")
    (tmp_path / "point").mkdir()
    (tmp_path / "fstab").write_text(f"{tmp_path}/disk {tmp_path}/point none bind 0 0\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "sage-doctor.toml").write_text(
        'schema = 1\n[models.m]\nkind = "full"\npath = "point/models/m"\n[models.h]\nkind = "full"\npath = "hf:org/n"\n'
    )
    return tmp_path


def run(place: Path, script: str) -> str:
    environ = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "HOME": str(place / "home"),
        "HF_HOME": str(place / "point/hf"),
        "COLUMNS": "300",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", SETUP + script],
        cwd=place,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("no mounts here")
    return done.stdout + done.stderr


def test_check_says_so_and_the_printed_command_cures(place: Path) -> None:
    said = run(place, f"doctor check m h -l static; mount {place}/point; doctor check m -l static")
    before, _, after = said.partition("exit 1")
    assert ("✘ h  the disk" in before, "✘ m  the disk" in before, "volume-not-mounted" in before) == (True, True, True)
    assert f"mount {place}/point" in before
    assert "hub-not-cached" not in before
    assert "exit 0" in after, said


def test_a_path_of_a_runner_is_on_it_too(place: Path) -> None:
    (place / "run.sh").write_text(f"#!/bin/sh\npython run.py --model {place}/point/models/m\n")
    (place / "run.sh").chmod(0o755)
    with (place / "sage-doctor.toml").open("a") as manifest:
        manifest.write('[roles.talk]\nmodels = []\nrunners = ["run.sh"]\n')
    said = run(place, f"doctor check talk -l static; mount {place}/point; doctor check talk -l static")
    before, _, after = said.partition("exit 1")
    assert "volume-not-mounted · run.sh" in before
    assert (f"mount {place}/point" in before, "runner-path-missing" in said, "exit 0" in after) == (True, False, True)


def test_a_merge_to_a_read_only_disk_says_so(place: Path) -> None:
    said = run(place, "mount -t tmpfs -o ro none point; doctor merge adapter --base base --out point/new")
    assert ("is on a read-only file system" in said, "permissions" in said) == (True, False), said


@pytest.mark.parametrize(
    "command",
    [
        "check point",
        "check point/models/m",
        "merge adapter --base base --out point/new",
        "init point --yes -m new.toml",
        "fix h --yes",
        "fix m --yes",
    ],
)
def test_nothing_is_sought_or_written_in_the_empty_mount_point(place: Path, command: str) -> None:
    said = run(place, f"doctor {command}; find point; ls")
    assert "not mounted" in said or "volume-not-mounted" in said
    assert f"mount {place}/point" in said or command.startswith("fix")
    assert "point/" not in said.partition("exit ")[2], said
    assert "new.toml" not in said.partition("exit ")[2]


def test_a_lock_keeps_what_it_knows(place: Path) -> None:
    said = run(
        place,
        f"mount {place}/point && doctor lock m && umount {place}/point && cp sage-doctor.lock before\n"
        "doctor lock m --prune; doctor lock m --check; cmp before sage-doctor.lock && echo same",
    )
    assert "its entry is kept" in said
    assert "exit 3" in said
    assert said.rstrip().endswith("same"), said


def test_a_mount_point_that_holds_something_may_be_written_to(place: Path) -> None:
    (place / "point/mine").touch()
    said = run(place, "doctor merge adapter --base base --out point/new; ls point/new")
    assert "model.safetensors" in said, said
