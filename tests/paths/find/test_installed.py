"""What schedulers start by themselves is found where they keep it, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_doctor.paths.find.installed import Installed, find_installed


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return variables with a `crontab` of our own."""
    command = tmp_path / "bin/crontab"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\n[ "$*" = -l ] && cat "$HOME/cron"\n', encoding="utf-8")
    command.chmod(0o755)
    return {"PATH": f"{command.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}


def test_units_of_the_user_and_of_the_administrator(tmp_path: Path, environ: dict[str, str]) -> None:
    user, system = tmp_path / ".config/systemd/user", tmp_path / "system"
    for directory in (user, system):
        directory.mkdir(parents=True)
    for path in (user / "b.service", user / "a.timer", user / "notes.txt", system / "c.service"):
        path.write_text("[Unit]\n", encoding="utf-8")
    (system / "packaged.service").symlink_to(user / "b.service")
    (system / "directory.service").mkdir()
    (tmp_path / "cron").write_text("@reboot x\n", encoding="utf-8")
    found = find_installed(tmp_path, environ, system=system)
    assert found == Installed(
        units=(user / "a.timer", user / "b.service", system / "c.service"), crontab=b"@reboot x\n"
    )


def test_the_users_units_where_the_configuration_lies_elsewhere(tmp_path: Path, environ: dict[str, str]) -> None:
    unit = tmp_path / "config/systemd/user/a.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Unit]\n", encoding="utf-8")
    found = find_installed(tmp_path, {**environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}, system=tmp_path / "no")
    assert found.units == (unit,)


def test_without_crontab_and_units_there_is_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    assert find_installed(tmp_path, environ, system=tmp_path / "no") == Installed()  # ours fails: there is no such file
    assert find_installed(tmp_path, {"PATH": str(tmp_path)}, system=tmp_path / "no") == Installed()
