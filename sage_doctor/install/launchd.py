"""Installing for launchd: one job a role, as an agent of the user or a daemon of the machine."""

from __future__ import annotations

import os
import plistlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.install.installation import (
    Command,
    Installation,
    PlannedChange,
    kept,
    refuse_unwritable,
    removed,
    written,
)
from sage_doctor.install.order import Order
from sage_doctor.install.ownership import look_at
from sage_doctor.system import child
from sage_doctor.system.file_steps import Applied, wrap_os_errors
from sage_doctor.system.frozen import frozen
from sage_doctor.system.globbing import Glob
from sage_doctor.text import shell_quote

PREFIX: Final = "org.sage-doctor.gate."
BARE_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_HEADER_LINES: Final = 2  # the XML declaration and the document type come before our comment


@frozen
class JobLocation:
    """Where jobs are written, and the domain they are loaded into: `gui/501`, or `system`."""

    directory: Path
    domain: str

    @property
    def system(self) -> bool:
        """Whether these are daemons of the machine."""
        return self.domain == "system"

    def reachable(self) -> bool:
        """Return whether launchd answers for that domain now."""
        done = child.run(["launchctl", "print", self.domain], timeout_s=20)
        return done is not None and done.code == 0


def location_of(*, system: bool, home: Path) -> JobLocation:
    """Return where jobs belong."""
    if system:
        return JobLocation(directory=Path("/Library/LaunchDaemons"), domain="system")
    return JobLocation(directory=home / "Library" / "LaunchAgents", domain=f"gui/{os.getuid()}")


def label(role: str) -> str:
    """Return a role's label, which is its file's name as well; what is unusual in one is written `_NN`."""
    allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-"
    return PREFIX + "".join(c if c in allowed else "".join(f"_{b:02x}" for b in c.encode()) for c in role)


def job(order: Order, role: str, *, system: bool) -> dict[str, Any]:
    """Return the job of a role, with the keys of launchd.plist(5).

    `ProcessType` is not Background, whose throttling would count against the budgets that the gate measures.
    """
    log = str(order.state / f"gate-{label(role).removeprefix(PREFIX)}.log")
    keys: dict[str, Any] = {
        "Label": label(role),
        "ProgramArguments": list(order.gate(role, order.run_timeout_s, "--on-change")),
        "EnvironmentVariables": {"HOME": str(order.home), "PATH": BARE_PATH, **order.environment},
        "RunAtLoad": order.on_boot,
        "ProcessType": "Standard",
        "Nice": 5,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    if system:
        keys["UserName"] = order.user
    return keys | (order.schedule.launchd_keys() if order.schedule is not None else {})


def plist(keys: dict[str, Any]) -> str:
    """Return a job as the XML that launchd reads."""
    return plistlib.dumps(keys, sort_keys=False).decode("utf-8")


def require_launchd() -> None:
    """Raise `DoctorError` on a machine without launchd."""
    if shutil.which("launchctl") is None:
        raise DoctorError(
            "`launchctl` not found: launchd is macOS only. On Linux use `sage-doctor install systemd` or "
            "`sage-doctor install cron`; --dry-run shows the job anyway"
        )


def plan_install(order: Order, location: JobLocation) -> Installation:
    """Return what writes the jobs of an order. Raises `DoctorError`."""
    if order.session_units:
        raise UsageError(
            "--session-unit is for systemd only; for launchd, put the gate into the job's ProgramArguments"
        )
    found: list[PlannedChange | str | None] = []
    then: list[Command] = []
    for role in order.roles:
        path = location.directory / f"{label(role)}.plist"
        change = written(path, plist(job(order, role, system=location.system)), [role], after=_HEADER_LINES, xml=True)
        found.append(change)
        if isinstance(change, PlannedChange):
            then += [
                Command(words=("launchctl", "bootout", f"{location.domain}/{label(role)}"), may_fail=True),
                Command(words=("launchctl", "bootstrap", location.domain, str(path))),
            ]
    changes = [c for c in found if isinstance(c, PlannedChange)]
    refuse_unwritable(Path(c.title) for c in changes)
    if changes and not os.path.isdir(order.state):
        refuse_unwritable([order.state])
        changes.append(PlannedChange(title=str(order.state), before=None, after="", apply=lambda: _make_state(order)))
    notes = (
        () if location.system or not order.on_boot else ("an agent runs at login, not at boot; --system runs at boot",)
    )
    gate = " ".join(shell_quote(w) for w in order.gate(order.roles[0], order.session_timeout_s, "--", "COMMAND"))
    return Installation(
        changes=tuple(changes),
        then=tuple(then),
        reachable=location.reachable(),
        kept=tuple(c for c in found if isinstance(c, str)),
        notes=notes if changes else (),
        advice=("to start a session only if its role is healthy, put the gate before its command:", f"  {gate}"),
    )


def _make_state(order: Order) -> Applied:
    """Create the log directory: launchd does not, and does not start a job whose log it cannot open."""
    with wrap_os_errors(order.state):
        order.state.mkdir(parents=True, mode=0o700)
        if os.getuid() == 0:
            shutil.chown(order.state, order.user)
    return Applied(rollback=order.state.rmdir)


def plan_uninstall(roles: Sequence[str], location: JobLocation) -> Installation:
    """Return what removes our jobs: all, or those of `roles`. Raises `DoctorError`."""
    changes: list[PlannedChange] = []
    kept_: list[str] = []
    first: list[Command] = []
    for path in sorted(Path(p) for p in Glob(pattern=f"{PREFIX}*.plist", directory=location.directory).paths()):
        found = look_at(path)
        if found.state in ("absent", "foreign") or (roles and not found.roles <= set(roles)):
            continue
        if found.state == "edited":
            kept_.append(kept(path, found))
            continue
        changes.append(removed(path, found))
        first.append(Command(words=("launchctl", "bootout", f"{location.domain}/{path.stem}"), may_fail=True))
    refuse_unwritable(Path(c.title) for c in changes)
    return Installation(changes=tuple(changes), first=tuple(first), reachable=location.reachable(), kept=tuple(kept_))
