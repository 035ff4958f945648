"""Installation for systemd: which unit files are written where, and which systemctl commands are run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sage_doctor.errors import UsageError
from sage_doctor.install.installation import (
    Command,
    Installation,
    PlannedChange,
    kept,
    refuse_unwritable,
    removed,
    written,
)
from sage_doctor.install.order import SESSION_TIMEOUT_S, Order
from sage_doctor.install.ownership import look_at
from sage_doctor.install.unit_files import drop_in, service, timer, unit_name
from sage_doctor.system import child
from sage_doctor.system.frozen import frozen
from sage_doctor.system.globbing import Glob
from sage_doctor.text import printable, shell_quote

DROP_IN: Final = "50-sage-doctor.conf"
_UNIT = re.compile(r"[A-Za-z0-9:_.\\-][A-Za-z0-9:_.\\@-]{0,240}\.service", re.ASCII)
_WANTS: Final = "timers.target.wants"


@frozen
class UnitLocation:
    """The directory of the units, of the machine (`system`) or of the user."""

    directory: Path
    system: bool

    def systemctl(self, *words: str) -> tuple[str, ...]:
        """Return a command for the manager of these units."""
        return ("systemctl", *(() if self.system else ("--user",)), *words)

    def reachable(self) -> bool:
        """Return whether that manager answers now."""
        done = child.run(self.systemctl("show", "--property=Version"), timeout_s=20)
        return done is not None and done.code == 0

    def properties(self, unit: str) -> Mapping[str, str]:
        """Return a unit's properties as the manager reports them; empty if it does not."""
        names = "LoadState,Type,Restart,User"
        done = child.run(self.systemctl("show", f"--property={names}", "--", unit), timeout_s=20)
        if done is None or done.code != 0:
            return {}
        lines = done.out.decode("utf-8", "replace").splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}


def location_of(*, system: bool, environ: Mapping[str, str], home: Path) -> UnitLocation:
    """Return where units belong: /etc/systemd/system, or the user's configuration."""
    if system:
        return UnitLocation(directory=Path("/etc/systemd/system"), system=True)
    config = environ.get("XDG_CONFIG_HOME", "")
    base = Path(config) if os.path.isabs(config) else home / ".config"
    return UnitLocation(directory=base / "systemd" / "user", system=False)


def session_unit(text: str) -> str:
    """Return the full name of a session's unit. Raises `UsageError` if it is not a service."""
    name = text if "." in text else f"{text}.service"
    if not _UNIT.fullmatch(name):
        raise UsageError(
            f"--session-unit {shell_quote(text)} is not a service: name the unit that runs the session, such as "
            "session.service (not its timer)"
        )
    return name


def plan_install(order: Order, location: UnitLocation) -> Installation:
    """Return what writes the units of an order. Raises `DoctorError`."""
    units = [session_unit(text) for text in order.session_units]
    reachable = location.reachable()
    found: list[PlannedChange | str | None] = []
    notes: list[str] = []
    if order.on_boot or order.schedule is not None:
        for role in order.roles:
            named = location.directory / unit_name(role, "service"), location.directory / unit_name(role, "timer")
            found.append(written(named[0], service(order, role, system=location.system), [role]))
            found.append(written(named[1], timer(order, role), [role]))
    for unit in units:
        known = location.properties(unit) if reachable else {}
        notes += _notes(unit, known, order, location)
        longer = order.session_timeout_s > SESSION_TIMEOUT_S or len(order.roles) > 1
        body = drop_in(
            order, system=location.system, start_timeout=longer and known.get("Type") not in (None, "", "oneshot")
        )
        found.append(written(location.directory / f"{unit}.d" / DROP_IN, body, order.roles))
    changes = tuple(c for c in found if isinstance(c, PlannedChange))
    refuse_unwritable(Path(c.title) for c in changes)
    reload = [Command(words=location.systemctl("daemon-reload"))] if changes else []
    return Installation(
        changes=changes,
        then=(*reload, *_enabling(order, location, changes)),
        reachable=reachable,
        kept=tuple(c for c in found if isinstance(c, str)),
        notes=tuple(notes),
        advice=_lingering(order, location),
    )


def _enabling(order: Order, location: UnitLocation, changes: Sequence[PlannedChange]) -> list[Command]:
    """Return what starts the timers that are not enabled yet, or that change."""
    if not order.on_boot and order.schedule is None:
        return []
    changed = {Path(c.title).name for c in changes}
    found = []
    for role in order.roles:
        name = unit_name(role, "timer")
        enabled = os.path.lexists(location.directory / _WANTS / name)
        if not enabled:
            found.append(Command(words=location.systemctl("enable", "--now", "--", name)))
        elif name in changed:
            found.append(Command(words=location.systemctl("restart", "--", name)))
    return found


def _notes(unit: str, known: Mapping[str, str], order: Order, location: UnitLocation) -> list[str]:
    """Return what a person should know about a session's unit. Raises `UsageError` if the unit does not exist."""
    if known.get("LoadState") == "not-found":
        whose = "the machine" if location.system else f"{order.user} (a unit of the machine needs --system)"
        raise UsageError(f"systemd has no unit {shell_quote(unit)} of {whose}; `systemctl list-unit-files` lists them")
    notes = []
    if known.get("Restart") == "always":
        notes.append(
            f"{unit} has Restart=always: systemd before 251 would run the gate in a loop; later versions leave "
            "a skipped unit alone until something starts it"
        )
    if location.system and known and (known.get("User") or "root") != order.user:
        user = printable(known.get("User") or "root", limit=60)
        notes.append(
            f"{unit} runs as {user}, the gate's service as {order.user}: they cannot write the same state directory"
        )
    if not known and (order.session_timeout_s > SESSION_TIMEOUT_S or len(order.roles) > 1):
        notes.append(
            f"the type of {unit} is unknown; unless it is oneshot, give it a TimeoutStartSec= above "
            f"{order.session_timeout_s * len(order.roles)} seconds"
        )
    return notes


def _lingering(order: Order, location: UnitLocation) -> tuple[str, ...]:
    """Return the advice for running a user's units without a login."""
    if location.system or os.path.exists(Path("/var/lib/systemd/linger") / order.user):
        return ()
    return (
        "units of a user run only while the user is logged in; to run them after a reboot without a login:",
        f"  sudo loginctl enable-linger {shell_quote(order.user)}",
    )


def plan_uninstall(roles: Sequence[str], session_units: Sequence[str], location: UnitLocation) -> Installation:
    """Return what removes our units: all, or those for `roles` alone and for `session_units`. Raises `DoctorError`."""
    wanted = {session_unit(text) for text in session_units}
    changes: list[PlannedChange] = []
    kept_: list[str] = []
    timers: list[str] = []
    for path in _candidates(location.directory):
        found = look_at(path)
        if found.state in ("absent", "foreign"):
            continue
        is_drop_in = path.name == DROP_IN
        if (wanted and not (is_drop_in and path.parent.name.removesuffix(".d") in wanted)) or (
            roles and not found.roles <= set(roles)
        ):
            continue
        if found.state == "edited":
            stops = Command(words=location.systemctl("disable", "--now", "--", path.name))
            kept_.append(kept(path, found) + (f"; `{stops}` stops it" if path.suffix == ".timer" else ""))
            continue
        changes.append(removed(path, found, None if is_drop_in else location.directory / _WANTS / path.name))
        timers += [path.name] if path.suffix == ".timer" else []
    refuse_unwritable(Path(c.title) for c in changes)
    reload = (Command(words=location.systemctl("daemon-reload")),) if changes else ()
    return Installation(
        changes=tuple(changes),
        # The link that enables a timer goes with its file; a timer without a file could not be disabled any more.
        first=tuple(Command(words=location.systemctl("stop", "--", name), may_fail=True) for name in timers),
        then=reload,
        reachable=location.reachable(),
        kept=tuple(kept_),
    )


def _candidates(directory: Path) -> list[Path]:
    """Return the files that could be ours, by their names."""

    def matching(*globs: str) -> list[Path]:
        found = (Path(p) for g in globs for p in Glob(pattern=g, directory=directory).paths())
        return sorted(p for p in found if os.path.lexists(p))

    return [*matching("sage-doctor-gate@*.timer", "sage-doctor-gate@*.service"), *matching(f"*.service.d/{DROP_IN}")]
