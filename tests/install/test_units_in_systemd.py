"""The units as systemd itself reads them: `systemd-analyze verify`, and what its manager makes of each word.

The manager is asked in its test mode, which starts nothing; it refuses to run for root, so root asks as `nobody`.
That units are skipped at exit code 1 to 254 is systemd's own doing (ExecCondition=, systemd.service(5)): no test runs
a manager.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_doctor.errors import UsageError
from sage_doctor.install.order import Order
from sage_doctor.install.schedule import parse_schedule
from sage_doctor.install.unit_files import drop_in, service, timer, unit_name

from .conftest import AWKWARD, SYSTEMD, make_order, write_stand_in

SHELL = ["/bin/sh", "-c", 'exec "$0" "$@"']


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that `nobody` may read, unlike those of pytest."""
    path = Path(tempfile.mkdtemp(prefix="units", dir="/tmp"))
    path.chmod(0o755)
    (path / "runtime").mkdir()
    if os.getuid() == 0:
        shutil.chown(path / "runtime", 65534)
    (path / "runtime").chmod(0o700)
    yield path
    shutil.rmtree(path)


def write_units(order: Order, place: Path, *, system: bool) -> list[Path]:
    units = place / "units"
    (units / "session.service.d").mkdir(parents=True, exist_ok=True)
    (units / "session.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    (units / "default.target").write_text(
        "[Unit]\nWants=session.service "
        + " ".join(unit_name(r, s).replace("%", "%%") for r in order.roles for s in ("service", "timer"))
        + "\n"
    )
    (units / "session.service.d" / "50-sage-doctor.conf").write_text(drop_in(order, system=system, start_timeout=True))
    for role in order.roles:
        (units / unit_name(role, "service")).write_text(service(order, role, system=system))
        (units / unit_name(role, "timer")).write_text(timer(order, role))
    return [units / "session.service", *(units / unit_name(r, "timer") for r in order.roles)]


def environment(place: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/",
        "LANG": "C.UTF-8",
        "XDG_RUNTIME_DIR": str(place / "runtime"),
        "SYSTEMD_UNIT_PATH": f"{place}/units:",
    }


def dump(place: Path) -> str:
    """What a user's manager has understood of the units."""
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*drop, SYSTEMD, "--test", "--user", "--no-pager", "--unit=default.target"],
        env={**environment(place), "SYSTEMD_LOG_TARGET": "console"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout


def section(text: str, unit: str) -> str:
    """What the dump says about one unit."""
    _, found, rest = text.partition(f"-> Unit {unit}:\n")
    assert found, f"systemd did not load {unit}"
    return rest.partition("-> Unit ")[0]


def words(line: str) -> list[str]:
    """A command line of the dump, which is quoted for a shell."""
    done = subprocess.run(["/bin/sh", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize("system", [True, False])
@pytest.mark.parametrize("every", ["6h", "03:30,15:45", "Mon..Fri 04:00"])
def test_systemd_finds_no_fault(open_place: Path, every: str, system: bool) -> None:
    write_stand_in(open_place)
    order = make_order(
        open_place,
        roles=("raising", "night run"),
        environment={"SAGE_MACHINE": "a b"},
        schedule=parse_schedule(every, "systemd"),
    )
    paths = write_units(order, open_place, system=system)
    done = subprocess.run(
        ["systemd-analyze", "--system" if system else "--user", "verify", *paths],
        env=environment(open_place),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    about_ours = [line for line in done.stderr.splitlines() if "sage-doctor" in line or "session" in line]
    assert (done.returncode, about_ours) == (0, [])


def test_a_fault_would_be_found(open_place: Path) -> None:
    """The same question with a unit that is wrong: without its program."""
    paths = write_units(make_order(open_place), open_place, system=False)
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", *paths],
        env=environment(open_place),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "sage-doctor is not executable" in done.stderr


@pytest.mark.parametrize("name", AWKWARD)
def test_every_word_arrives_as_it_was(open_place: Path, name: str) -> None:
    root = open_place / name
    write_stand_in(root)
    role = name.strip()
    order = make_order(
        root,
        roles=(role,),
        environment={"SAGE_MACHINE": name},
        mounts={role: (root / "model", root / "sage-doctor.toml")},
    )
    write_units(order, open_place, system=False)
    text = dump(open_place)
    found = section(text, unit_name(role, "service"))
    commands = re.findall(r"Command Line: (.*)", found)
    assert [words(line) for line in commands] == [
        [*(SHELL if set(name) & set("\"'\\") else []), *order.gate(role, 900)]
    ]
    assert re.findall(r"Environment: (.*)", found) == [f"HOME={root}", f"SAGE_MACHINE={name}"]
    mounts = {m.removesuffix(" (origin-file)") for m in re.findall(r"RequiresMountsFor: (.*)", found)}
    assert mounts >= {str(root / "model"), str(root / "sage-doctor.toml")}
    assert f"Description: sage-doctor gate of role {role}" in found
    assert "Type: oneshot" in found
    assert "OOMPolicy: continue" in found
    assert "TimeoutStartSec: 15min 30s" in found

    session = section(text, "session.service")
    assert f"After: {unit_name(role, 'service')} (origin-file)" in session
    given = [words(line) for line in re.findall(r"Command Line: (.*)", session)]
    assert given[0][:2] == ["/usr/bin/env", f"SAGE_MACHINE={name}"]
    assert given[0][2:] == [*(SHELL if set(name) & set("\"'\\=") else []), *order.gate(role, 75)]
    assert given[1] == ["/bin/true"]
    assert "-> ExecCondition:" in session


@pytest.mark.parametrize("name", AWKWARD)
def test_the_condition_runs_as_written(open_place: Path, name: str) -> None:
    """The words that systemd read, executed: `env` and the shell in between change nothing."""
    doctor = write_stand_in(open_place / name)
    order = make_order(open_place / name, environment={"SAGE_MACHINE": name})
    write_units(order, open_place, system=False)
    line = re.findall(r"Command Line: (.*)", section(dump(open_place), "session.service"))[0]
    done = subprocess.run(words(line), env={}, check=False, timeout=60)
    assert done.returncode == 0
    assert doctor.arguments == list(order.gate("raising", 75))[1:]
    assert doctor.environment["SAGE_MACHINE"] == name


@pytest.mark.parametrize("every", ["soon", "1 hour", "25:00", "-1h"])
def test_schedules_that_systemd_does_not_know(every: str) -> None:
    with pytest.raises(UsageError, match="is not a valid schedule for systemd: "):
        parse_schedule(every, "systemd")


def test_timers(open_place: Path) -> None:
    for every, expected in (("6h", "OnUnitActiveSec: 6h"), ("03:30", "OnCalendar: *-*-* 03:30:00")):
        write_units(make_order(open_place, schedule=parse_schedule(every, "systemd")), open_place, system=False)
        found = section(dump(open_place), unit_name("raising", "timer"))
        assert f"Unit: {unit_name('raising', 'service')}" in found
        assert "OnBootSec: 2min" in found or "OnBootSec: 120" in found, found
        assert expected.split(": ")[0] in found, found
