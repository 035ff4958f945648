"""The real crontab program, with the table of the user `nobody`; only where there is one, and as root."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_doctor.install.crontab import plan_install, plan_uninstall, read_crontab
from sage_doctor.install.schedule import parse_schedule

from .conftest import AWKWARD, make_order, write_program

OWNER = "nobody"


@pytest.fixture
def real(programs: Path) -> Iterator[None]:
    """Let `crontab` mean nobody's, and put back afterwards what that was."""
    program = shutil.which("crontab", path="/usr/bin:/bin:/usr/local/bin")
    before = subprocess.run([str(program), "-u", OWNER, "-l"], capture_output=True, check=False)
    write_program(programs, "crontab", f'exec {program} -u {OWNER} "$@"')
    subprocess.run([str(program), "-u", OWNER, "-r"], capture_output=True, check=False)
    yield
    if before.returncode == 0:
        subprocess.run([str(program), "-u", OWNER, "-"], input=before.stdout, check=True)
    else:
        subprocess.run([str(program), "-u", OWNER, "-r"], capture_output=True, check=False)


@pytest.mark.usefixtures("real")
def test_it_takes_every_line_and_gives_it_back(tmp_path: Path) -> None:
    """One test, because there is one table: debian's crontab checks what it is given, line by line."""
    assert read_crontab() == ""
    for name in AWKWARD:
        for schedule in ("6h", "03:30,15:45", "*/5 3-7 1,15 * mon"):
            order = make_order(tmp_path / name, schedule=parse_schedule(schedule, "cron"), state=tmp_path / "state")
            plan_install(order).apply()
            assert str(order.manifest).replace("%", "\\%").split("'")[0] in read_crontab()
            assert plan_install(order).idle
    plan_install(make_order(tmp_path, roles=AWKWARD[:3])).apply()
    plan_uninstall([], tmp_path / "state").apply()
    assert read_crontab() == ""
