"""Lines of cron: executed as cron executes them, and put among the lines of others."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.install.crontab import block, blocks, plan_install, plan_uninstall
from sage_doctor.install.order import Order
from sage_doctor.install.schedule import parse_schedule

from .conftest import AWKWARD, make_order, write_program, write_stand_in

THEIRS = "MAILTO=me@example.org\n# my own\n0 3 * * * /home/me/session.sh \\% x\n\n"


def unescaped(command: str, *, also_backslashes: bool) -> str:
    r"""What cron hands to the shell: `\%` is a percent sign, a bare one would end the line.

    Debian's cron makes one backslash of two as well, cronie does not.
    """
    out, rest = [], command
    while rest:
        if rest[:2] == "\\%" or (also_backslashes and rest[:2] == "\\\\"):
            out.append(rest[1])
            rest = rest[2:]
        elif rest[0] == "\\":
            out.append(rest[:2])
            rest = rest[2:]
        else:
            assert rest[0] != "%", f"{command} has a bare percent sign"
            out.append(rest[0])
            rest = rest[1:]
    return "".join(out)


def run_as_cron(line: str, home: Path, programs: Path) -> int:
    command = line.split(" ", 1)[1] if line.startswith("@") else line.split(" ", 5)[5]
    text = unescaped(command, also_backslashes=False)
    assert unescaped(command, also_backslashes=True) == text
    env = {"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "me"}
    return subprocess.run(["/bin/sh", "-c", text], env=env, cwd=home, check=False, timeout=60).returncode


@pytest.mark.parametrize("name", AWKWARD)
def test_lines_run_in_crons_empty_environment(tmp_path: Path, programs: Path, name: str) -> None:
    write_program(programs, "sleep", 'echo "$@" > "$0.said"')
    doctor = write_stand_in(tmp_path / name)
    order = make_order(
        tmp_path / name,
        environment={"SAGE_MACHINE": name, "HF_HOME": f"/{name}"},
        schedule=parse_schedule("6h", "cron"),
    )
    lines = block(order, "raising").splitlines()[1:-1]
    assert [line.split(" ")[0] for line in lines] == ["@reboot", "0"]
    for line in lines:
        doctor.forget()
        assert run_as_cron(line, tmp_path, programs) == 0
        assert doctor.arguments == [
            "gate",
            "raising",
            "--manifest",
            str(order.manifest),
            "--timeout",
            "900",
            "--on-change",
        ]
        assert (doctor.environment["SAGE_MACHINE"], doctor.environment["HF_HOME"]) == (name, f"/{name}")
    assert (programs / "sleep.said").read_text() == "120\n"


@pytest.mark.parametrize("role", [*AWKWARD[:-1], "--help me"[2:]])
def test_roles_of_any_name(tmp_path: Path, programs: Path, role: str) -> None:
    write_program(programs, "sleep", ":")
    doctor = write_stand_in(tmp_path)
    order = make_order(tmp_path, roles=(role,))
    text = block(order, role)
    assert run_as_cron(text.splitlines()[1], tmp_path, programs) == 0
    assert doctor.arguments[:2] == ["gate", role]
    assert [b.owned.state for b in blocks(text)] == ["ours"]


def test_the_exit_code_is_the_gates(tmp_path: Path, programs: Path) -> None:
    write_program(programs, "sleep", ":")
    write_stand_in(tmp_path)
    (tmp_path / "sage-doctor.code").write_text("3")
    assert run_as_cron(block(make_order(tmp_path), "raising").splitlines()[1], tmp_path, programs) == 3


@pytest.mark.parametrize("name", ["two\\\\backslashes", "before\\%percent"])
def test_what_crons_read_differently_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="which not all crons read alike"):
        block(make_order(tmp_path / name), "raising")


def test_a_line_too_long_for_some_crons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"would be 1\d\d\d bytes long"):
        block(make_order(tmp_path, manifest=Path("/" + "x/" * 500)), "raising")


Orders = Callable[..., Order]


def test_installed_once_updated_and_removed(order: Orders, crontab: Path, tmp_path: Path) -> None:
    crontab.write_text(THEIRS)
    plan_install(order(roles=("raising", "night run"))).apply()
    first = crontab.read_text()
    assert first.startswith(THEIRS)
    assert first.count("@reboot") == 2
    assert plan_install(order(roles=("raising", "night run"))).idle
    assert plan_install(order(roles=("night run",))).idle

    changed = plan_install(order(schedule=parse_schedule("6h", "cron")))
    assert not changed.idle
    assert any(line.strip().startswith("+0 */6 * * * ") for line in changed.lines())
    changed.apply()
    assert crontab.read_text().count("@reboot") == 2
    crontab.write_text(crontab.read_text() + "# added later\n")

    plan_uninstall(["raising"], tmp_path).apply()
    assert [b.owned.roles for b in blocks(crontab.read_text())] == [{"night run"}]
    plan_uninstall([], tmp_path).apply()
    assert crontab.read_text() == THEIRS + "# added later\n"
    assert plan_uninstall([], tmp_path).idle


def test_what_was_there_before_is_kept_as_a_file(order: Orders, crontab: Path, tmp_path: Path) -> None:
    crontab.write_bytes(THEIRS.encode() + b"# \xff no UTF-8\n")
    before = crontab.read_bytes()
    plan_install(order()).apply()
    saved = [p for p in (tmp_path / "state").iterdir() if p.name.startswith("crontab-")]
    assert [p.read_bytes() for p in saved] == [before]
    plan_uninstall([], tmp_path / "state").apply()
    assert crontab.read_bytes() == before


@pytest.mark.usefixtures("crontab")
def test_the_line_for_a_session_of_cron_holds_it_back(tmp_path: Path, programs: Path) -> None:
    doctor = write_stand_in(tmp_path / "100% of it")
    order = make_order(tmp_path / "100% of it", environment={"SAGE_MACHINE": "a b"})
    assert run_as_cron(f"@daily {plan_install(order).advice[-1].strip()}", tmp_path, programs) == 0
    assert doctor.arguments == [*order.gate("raising", 75)[1:], "--", "COMMAND"]
    assert doctor.environment["SAGE_MACHINE"] == "a b"


def test_a_crontab_of_our_own_goes_as_it_came(order: Orders, crontab: Path, tmp_path: Path) -> None:
    plan_install(order()).apply()
    assert crontab.exists()
    plan_uninstall([], tmp_path).apply()
    assert not crontab.exists()


def test_edited_lines_are_kept_and_named(order: Orders, crontab: Path, tmp_path: Path) -> None:
    plan_install(order()).apply()
    edited = crontab.read_text().replace("sleep 120", "sleep 300")
    crontab.write_text(edited)
    for plan in (plan_install(order(schedule=parse_schedule("6h", "cron"))), plan_uninstall([], tmp_path)):
        assert plan.idle
        assert "lines for raising were edited" in plan.kept[0]
    assert crontab.read_text() == edited


@pytest.mark.parametrize("cut", ["# BEGIN", "# END"])
def test_torn_lines_are_left_alone(order: Orders, crontab: Path, tmp_path: Path, cut: str) -> None:
    plan_install(order()).apply()
    crontab.write_text("".join(x for x in crontab.read_text().splitlines(keepends=True) if not x.startswith(cut)))
    with pytest.raises(DoctorError, match="the other comment around sage-doctor's lines is missing"):
        plan_install(order())
    with pytest.raises(DoctorError, match="the other comment around sage-doctor's lines is missing"):
        plan_uninstall([], tmp_path)


def test_a_crontab_that_changed_meanwhile(order: Orders, crontab: Path) -> None:
    plan = plan_install(order())
    crontab.write_text(THEIRS)
    with pytest.raises(DoctorError, match="has changed since it was shown; nothing was changed"):
        plan.apply()
    assert crontab.read_text() == THEIRS


def test_a_crontab_that_is_refused(order: Orders, crontab: Path) -> None:
    crontab.write_text(THEIRS)
    plan = plan_install(order())
    Path(f"{crontab}.refuse").touch()
    with pytest.raises(DoctorError, match="crontab refused the new lines: bad minute; nothing was changed"):
        plan.apply()
    assert crontab.read_text() == THEIRS


def test_settings_above_our_lines_are_told(order: Orders, crontab: Path) -> None:
    crontab.write_text("SHELL=/usr/bin/fish\nCRON_TZ=Europe/Berlin\nMAILTO=x\n")
    notes = "\n".join(plan_install(order()).notes)
    assert "SHELL=/usr/bin/fish; these lines are written for /bin/sh" in notes
    assert "CRON_TZ=Europe/Berlin, which applies to these lines as well" in notes
    assert "MAILTO" not in notes


def test_no_crontab_program(order: Orders, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(DoctorError, match="`crontab` not found"):
        plan_install(order())


def test_a_crontab_one_may_not_use(order: Orders, programs: Path) -> None:
    write_program(programs, "crontab", 'echo "You (x) are not allowed to use this program" >&2; exit 1')
    with pytest.raises(DoctorError, match=r"`crontab -l` failed: You .* not allowed"):
        plan_install(order())


def test_a_state_directory_that_cannot_be_made(order: Orders, crontab: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(DoctorError, match="state"):
        plan_install(order()).apply()
    assert not os.path.exists(crontab)
