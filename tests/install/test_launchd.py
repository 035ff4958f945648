"""Jobs of launchd, read back as property lists. No macOS is here: neither plutil nor launchd has seen them."""

from __future__ import annotations

import plistlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.install.launchd import (
    JobLocation,
    job,
    label,
    location_of,
    plan_install,
    plan_uninstall,
    require_launchd,
)
from sage_doctor.install.order import Order
from sage_doctor.install.schedule import parse_schedule

from .conftest import AWKWARD, make_order, write_program, write_stand_in

Orders = Callable[..., Order]

# The keys of launchd.plist(5) that a job may have, with the types stated there.
DOCUMENTED = {
    "Label": str,
    "UserName": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "RunAtLoad": bool,
    "StartInterval": int,
    "StartCalendarInterval": list,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "ProcessType": str,
    "Nice": int,
}
CALENDAR = {"Minute", "Hour", "Day", "Weekday", "Month"}


@pytest.fixture
def place(tmp_path: Path) -> JobLocation:
    return JobLocation(directory=tmp_path / "LaunchAgents", domain="gui/501")


@pytest.fixture
def heard(programs: Path) -> Path:
    """A `launchctl` that can be reached; nothing is loaded. Returns the file with what it was told."""
    write_program(programs, "launchctl", 'echo "$@" >> "$0.heard"; [ "$1" != bootout ]')
    return programs / "launchctl.heard"


@pytest.mark.parametrize("system", [True, False])
@pytest.mark.parametrize("every", [None, "6h", "03:30,15:45"])
def test_only_documented_keys(order: Orders, every: str | None, system: bool) -> None:
    schedule = parse_schedule(every, "launchd") if every else None
    keys = job(order(schedule=schedule, on_boot=schedule is None), "raising", system=system)
    assert {name: type(value) for name, value in keys.items()} == {name: DOCUMENTED[name] for name in keys}
    assert keys["ProcessType"] in ("Background", "Standard", "Adaptive", "Interactive")
    assert keys["RunAtLoad"] == (every is None)
    assert ("UserName" in keys) == system
    for entry in keys.get("StartCalendarInterval", []):
        assert entry.keys() <= CALENDAR


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("name", AWKWARD)
def test_every_word_survives_the_file_and_runs(tmp_path: Path, place: JobLocation, name: str) -> None:
    doctor = write_stand_in(tmp_path / name)
    role = name.strip()
    order = make_order(tmp_path / name, roles=(role,), environment={"SAGE_MACHINE": name})
    plan_install(order, place).apply()
    (path,) = place.directory.iterdir()
    keys = plistlib.loads(path.read_bytes())
    assert keys == job(order, role, system=False)
    assert path.name == f"{keys['Label']}.plist"
    done = subprocess.run(keys["ProgramArguments"], env=keys["EnvironmentVariables"], check=False, timeout=60)
    assert done.returncode == 0
    assert doctor.arguments == list(order.gate(role, 900, "--on-change"))[1:]
    assert doctor.environment["SAGE_MACHINE"] == name
    assert plan_install(order, place).idle
    assert Path(keys["StandardErrorPath"]).parent == order.state
    assert order.state.is_dir()


def test_loaded_updated_and_removed(order: Orders, place: JobLocation, heard: Path) -> None:
    plan_install(order(), place).apply()
    path = place.directory / "org.sage-doctor.gate.raising.plist"
    told = ["bootout gui/501/org.sage-doctor.gate.raising", f"bootstrap gui/501 {path}"]
    assert [x for x in heard.read_text().splitlines() if not x.startswith("print")] == told
    changed = plan_install(order(schedule=parse_schedule("6h", "launchd")), place)
    assert any("StartInterval" in line for line in changed.lines())
    changed.apply()
    (place.directory / "com.example.mine.plist").write_text("theirs")
    (place.directory / "org.sage-doctor.gate.mine.plist").write_text("theirs")
    plan_uninstall([], place).apply()
    assert not path.exists()
    assert len(list(place.directory.iterdir())) == 2


@pytest.mark.usefixtures("heard")
def test_an_edited_job_is_kept_and_named(order: Orders, place: JobLocation) -> None:
    plan_install(order(), place).apply()
    (path,) = place.directory.iterdir()
    path.write_text(path.read_text().replace("<integer>5</integer>", "<integer>19</integer>"))
    for plan in (plan_install(order(), place), plan_uninstall([], place)):
        assert plan.idle
        assert "was edited after sage-doctor wrote it" in plan.kept[0]


def test_a_domain_out_of_reach_leaves_commands_to_paste(order: Orders, place: JobLocation, programs: Path) -> None:
    write_program(programs, "launchctl", "exit 113")
    plan = plan_install(order(), place)
    plan.apply()
    assert not plan.reachable
    assert str(plan.commands[-1]).startswith("launchctl bootstrap gui/501 ")


def test_labels_differ_where_roles_do() -> None:
    assert label("a b") != label("a_20b")
    assert label("night.run-2") == "org.sage-doctor.gate.night.run-2"


def test_where_jobs_belong(tmp_path: Path) -> None:
    assert location_of(system=True, home=tmp_path) == JobLocation(
        directory=Path("/Library/LaunchDaemons"), domain="system"
    )
    assert location_of(system=False, home=tmp_path).directory == tmp_path / "Library" / "LaunchAgents"


def test_a_machine_without_launchd(programs: Path, order: Orders, place: JobLocation) -> None:
    assert list(programs.iterdir()) == []
    with pytest.raises(DoctorError, match="launchd is macOS only"):
        require_launchd()
    with pytest.raises(UsageError, match="ProgramArguments"):
        plan_install(order(session_units=("session",)), place)
