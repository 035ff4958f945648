"""Which unit files are written, kept and removed, and what the manager is told: one that writes down what it hears."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.install.order import Order
from sage_doctor.install.schedule import parse_schedule
from sage_doctor.install.systemd import UnitLocation, location_of, plan_install, plan_uninstall, session_unit
from sage_doctor.install.unit_files import unit_name

from .conftest import write_program

Orders = Callable[..., Order]
SERVICE, TIMER = "sage-doctor-gate@raising.service", "sage-doctor-gate@raising.timer"
DROP_IN = "session.service.d/50-sage-doctor.conf"


@pytest.fixture
def place(tmp_path: Path) -> UnitLocation:
    return UnitLocation(directory=tmp_path / "units", system=False)


@pytest.fixture
def heard(programs: Path, place: UnitLocation) -> Path:
    """A `systemctl` that can be reached; it enables as systemd does. Returns the file with what it was told."""
    write_program(
        programs,
        "systemctl",
        f"""
echo "$@" >> "$0.heard"
case "$*" in
    *"show --property=Version") echo Version=252 ;;
    *show*) cat "$0.unit" 2>/dev/null || printf 'LoadState=loaded\\nType=simple\\nRestart=no\\nUser=root\\n' ;;
    *"enable --now -- "*) [ -e "$0.broken" ] && {{ echo "no bus" >&2; exit 1; }}
        mkdir -p '{place.directory}/timers.target.wants'
        ln -sf '{place.directory}/{TIMER}' '{place.directory}/timers.target.wants/{TIMER}' ;;
    *) : ;;
esac
""",
    )
    return programs / "systemctl.heard"


def orders_heard(heard: Path) -> list[str]:
    return [line for line in heard.read_text().splitlines() if " show " not in line]


def files(place: UnitLocation) -> list[str]:
    return sorted(str(p.relative_to(place.directory)) for p in place.directory.rglob("*") if not p.is_dir())


def test_installed_once_then_nothing_to_do(order: Orders, place: UnitLocation, heard: Path) -> None:
    wanted = order(session_units=("session",))
    plan_install(wanted, place).apply()
    assert files(place) == [SERVICE, TIMER, DROP_IN, f"timers.target.wants/{TIMER}"]
    assert orders_heard(heard) == ["--user daemon-reload", f"--user enable --now -- {TIMER}"]
    assert plan_install(wanted, place).idle
    assert plan_install(order(), place).idle
    assert plan_install(order(on_boot=False, session_units=("session.service",)), place).idle


def test_a_changed_timer_is_started_anew(order: Orders, place: UnitLocation, heard: Path) -> None:
    plan_install(order(), place).apply()
    heard.unlink()
    plan = plan_install(order(schedule=parse_schedule("6h", "systemd")), place)
    assert "  +OnUnitActiveSec=21600s" in plan.lines()
    assert [Path(c.title).name for c in plan.changes] == [TIMER]
    plan.apply()
    assert orders_heard(heard) == ["--user daemon-reload", f"--user restart -- {TIMER}"]


@pytest.mark.usefixtures("heard")
def test_what_an_older_version_wrote_is_updated(order: Orders, place: UnitLocation) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sage_doctor.install.ownership.__version__", "0.0.1")
        plan_install(order(manifest=Path("/old.toml")), place).apply()
    assert '"version": "0.0.1"' in (place.directory / SERVICE).read_text()
    plan_install(order(), place).apply()
    assert "/old.toml" not in (place.directory / SERVICE).read_text()
    assert '"version": "0.0.1"' in (place.directory / TIMER).read_text()  # says the same: left as it is


def test_uninstall_removes_what_was_written_and_nothing_else(order: Orders, place: UnitLocation, heard: Path) -> None:
    (place.directory / "session.service.d").mkdir(parents=True)
    theirs = {"session.service": "x", "session.service.d/10-mine.conf": "y", "sage-doctor-gate@mine.service": "z"}
    for name, text in theirs.items():
        (place.directory / name).write_text(text)
    plan_install(order(session_units=("session", "other")), place).apply()
    assert (place.directory / "other.service.d").is_dir()
    heard.unlink()
    plan_uninstall([], [], place).apply()
    assert files(place) == sorted(theirs)
    assert not (place.directory / "other.service.d").exists()
    assert orders_heard(heard) == [f"--user stop -- {TIMER}", "--user daemon-reload"]
    assert plan_uninstall([], [], place).idle


@pytest.mark.usefixtures("heard")
def test_uninstall_of_a_part(order: Orders, place: UnitLocation) -> None:
    plan_install(order(roles=("raising", "night"), session_units=("session", "other")), place).apply()
    plan_uninstall([], ["other"], place).apply()
    assert DROP_IN in files(place)
    assert "other.service.d/50-sage-doctor.conf" not in files(place)
    plan_uninstall(["raising"], [], place).apply()
    assert files(place) == [unit_name("night", "service"), unit_name("night", "timer"), DROP_IN]
    plan_uninstall(["night", "raising"], [], place).apply()
    assert files(place) == []


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("name", [SERVICE, TIMER, DROP_IN])
def test_edited_files_are_kept_and_named(order: Orders, place: UnitLocation, name: str) -> None:
    wanted = order(session_units=("session",))
    plan_install(wanted, place).apply()
    path = place.directory / name
    path.write_text(path.read_text() + "Nice=19\n")
    edited = path.read_text()
    for plan in (plan_install(wanted, place), plan_uninstall([], [], place)):
        assert [name in sentence and "edited" in sentence for sentence in plan.kept] == [True]
        plan.apply()
        assert path.read_text() == edited
    assert [n for n in files(place) if "wants" not in n] == [name]
    assert name != TIMER or f"systemctl --user disable --now -- {TIMER}" in plan.kept[0]


@pytest.mark.usefixtures("heard")
def test_files_of_others_under_our_names_are_kept(order: Orders, place: UnitLocation) -> None:
    place.directory.mkdir()
    (place.directory / SERVICE).symlink_to("/dev/null")  # masked
    (place.directory / TIMER).write_text("[Timer]\n")
    plan = plan_install(order(), place)
    assert (len(plan.kept), plan.changes) == (2, ())
    assert "was not written by sage-doctor" in plan.kept[0]
    assert plan_uninstall([], [], place).kept == ()


def test_nothing_is_written_where_a_part_cannot_be(order: Orders, place: UnitLocation, heard: Path) -> None:
    (place.directory / "session.service.d").mkdir(parents=True)
    (place.directory / "z.service.d").write_text("a file where a directory should be")
    with pytest.raises(DoctorError):
        plan_install(order(session_units=("session", "z")), place).apply()
    assert files(place) == ["z.service.d"]
    assert orders_heard(heard) == []


@pytest.mark.usefixtures("heard")
def test_a_file_that_changed_meanwhile_stops_all(order: Orders, place: UnitLocation) -> None:
    plan = plan_install(order(), place)
    place.directory.mkdir()
    (place.directory / TIMER).write_text("somebody was quicker")
    with pytest.raises(DoctorError, match="has changed since it was shown"):
        plan.apply()
    assert files(place) == [TIMER]


def test_a_manager_that_fails_is_told(order: Orders, place: UnitLocation, heard: Path) -> None:
    heard.with_name("systemctl.broken").touch()
    with pytest.raises(DoctorError, match=r"enable --now -- .*`: no bus; the files were written as shown"):
        plan_install(order(), place).apply()
    assert files(place) == [SERVICE, TIMER]
    plan = plan_install(order(), place)
    assert (plan.idle, [str(c).split()[2] for c in plan.commands]) == (False, ["enable"])


def test_a_manager_out_of_reach_leaves_commands_to_paste(order: Orders, place: UnitLocation, programs: Path) -> None:
    write_program(programs, "systemctl", 'echo "Failed to connect to bus" >&2; exit 1')
    plan = plan_install(order(), place)
    assert (plan.reachable, plan.idle) == (False, False)
    plan.apply()
    again = plan_install(order(), place)
    assert (again.idle, [str(c) for c in again.commands]) == (True, [f"systemctl --user enable --now -- {TIMER}"])


def known_unit(heard: Path, text: str) -> None:
    heard.with_name("systemctl.unit").write_text(text)


def test_a_unit_that_is_not_there(order: Orders, place: UnitLocation, heard: Path) -> None:
    known_unit(heard, "LoadState=not-found\n")
    with pytest.raises(UsageError, match=r"systemd has no unit sesion.service of root"):
        plan_install(order(session_units=("sesion",)), place)
    assert not place.directory.exists()


@pytest.mark.parametrize(
    "kind,timeout_s,longer", [("simple", None, False), ("simple", 300, True), ("oneshot", 300, False), ("", 300, False)]
)
def test_a_unit_gets_time_to_start_only_where_it_lacks_it(
    order: Orders, place: UnitLocation, heard: Path, kind: str, timeout_s: int | None, longer: bool
) -> None:
    known_unit(heard, f"LoadState=loaded\nType={kind}\n")
    plan_install(order(session_units=("session",), timeout_s=timeout_s), place).apply()
    assert ("TimeoutStartSec=330" in (place.directory / DROP_IN).read_text()) == longer


def test_what_a_person_should_know_of_a_unit(order: Orders, place: UnitLocation, heard: Path) -> None:
    known_unit(heard, "LoadState=loaded\nType=simple\nRestart=always\nUser=dp\n")
    system = UnitLocation(directory=place.directory, system=True)
    notes = "\n".join(plan_install(order(session_units=("session",)), system).notes)
    assert "Restart=always" in notes
    assert "session.service runs as dp, the gate's service as root" in notes


def test_where_units_belong(tmp_path: Path) -> None:
    assert location_of(system=True, environ={}, home=tmp_path).directory == Path("/etc/systemd/system")
    assert location_of(system=False, environ={}, home=tmp_path).directory == tmp_path / ".config/systemd/user"
    named = location_of(system=False, environ={"XDG_CONFIG_HOME": "/c"}, home=tmp_path)
    assert named.directory == Path("/c/systemd/user")


@pytest.mark.parametrize("name", ["a.timer", "../a.service", "a/b", "a b.service", "", "-a@\n.service", "@.service"])
def test_what_is_no_service(name: str) -> None:
    with pytest.raises(UsageError, match="is not a service"):
        session_unit(name)


def test_names_of_services() -> None:
    assert session_unit("session") == "session.service"
    assert session_unit("session@a\\x20b.service") == "session@a\\x20b.service"
    assert unit_name("a b/ü", "timer") == "sage-doctor-gate@a\\x20b\\x2f\\xc3\\xbc.timer"
