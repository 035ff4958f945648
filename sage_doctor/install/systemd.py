"""Installing for systemd: which unit files are written where, and what the manager is told."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from sage_doctor.system.globbing import Glob
from sage_doctor.text import printable, shell_quote

DROP_IN: Final = "50-sage-doctor.conf"
_UNIT = re.compile(r"[A-Za-z0-9:_.\\-][A-Za-z0-9:_.\\@-]{0,240}\.service", re.ASCII)
_WANTS: Final = "timers.target.wants"


@dataclass(frozen=True, kw_only=True)
class UnitLocation:
    """Where units are written, and whose they are: the machine's (`system`) or the user's own."""

    directory: Path
    system: bool

    def systemctl(self, *words: str) -> tuple[str, ...]:
        """Return a command for the manager of these units."""
        return ("systemctl", *(() if self.system else ("--user",)), *words)

    def reachable(self) -> bool:
        """Return whether that manager can be told anything now."""
        done = child.run(self.systemctl("show", "--property=Version"), timeout_s=20)
        return done is not None and done.code == 0

    def properties(self, unit: str) -> Mapping[str, str]:
        """Return what the manager says about a unit; nothing where it says nothing."""
        names = "LoadState,Type,Restart,User"
        done = child.run(self.systemctl("show", f"--property={names}", "--", unit), timeout_s=20)
        if done is None or done.code != 0:
            return {}
        lines = done.out.decode("utf-8", "replace").splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}


def place_of(*, system: bool, environ: Mapping[str, str], home: Path) -> UnitLocation:
    """Return where units belong: /etc/systemd/system, or the user's configuration."""
    if system:
        return UnitLocation(directory=Path("/etc/systemd/system"), system=True)
    config = environ.get("XDG_CONFIG_HOME", "")
    base = Path(config) if os.path.isabs(config) else home / ".config"
    return UnitLocation(directory=base / "systemd" / "user", system=False)


def session_unit(text: str) -> str:
    """Return the full name of a session's unit. Raises `UsageError` for what is no service."""
    name = text if "." in text else f"{text}.service"
    if not _UNIT.fullmatch(name):
        raise UsageError(
            f"--session-unit {shell_quote(text)} is no service: name the unit that runs the session, such as "
            "session.service (not its timer)"
        )
    return name


def plan_install(order: Order, place: UnitLocation) -> Installation:
    """Return what writes the units of an order. Raises `DoctorError`."""
    units = [session_unit(text) for text in order.session_units]
    reachable = place.reachable()
    found: list[PlannedChange | str | None] = []
    notes: list[str] = []
    if order.on_boot or order.schedule is not None:
        for role in order.roles:
            named = place.directory / unit_name(role, "service"), place.directory / unit_name(role, "timer")
            found.append(written(named[0], service(order, role, system=place.system), [role]))
            found.append(written(named[1], timer(order, role), [role]))
    for unit in units:
        known = place.properties(unit) if reachable else {}
        notes += _notes(unit, known, order, place)
        longer = order.session_timeout_s > SESSION_TIMEOUT_S or len(order.roles) > 1
        body = drop_in(
            order, system=place.system, start_timeout=longer and known.get("Type") not in (None, "", "oneshot")
        )
        found.append(written(place.directory / f"{unit}.d" / DROP_IN, body, order.roles))
    changes = tuple(c for c in found if isinstance(c, PlannedChange))
    refuse_unwritable(Path(c.title) for c in changes)
    reload = [Command(words=place.systemctl("daemon-reload"))] if changes else []
    return Installation(
        changes=changes,
        then=(*reload, *_enabling(order, place, changes)),
        reachable=reachable,
        kept=tuple(c for c in found if isinstance(c, str)),
        notes=tuple(notes),
        advice=_lingering(order, place),
    )


def _enabling(order: Order, place: UnitLocation, changes: Sequence[PlannedChange]) -> list[Command]:
    """Return what starts the timers that are not enabled yet, or that change."""
    if not order.on_boot and order.schedule is None:
        return []
    changed = {Path(c.title).name for c in changes}
    found = []
    for role in order.roles:
        name = unit_name(role, "timer")
        enabled = os.path.lexists(place.directory / _WANTS / name)
        if not enabled:
            found.append(Command(words=place.systemctl("enable", "--now", "--", name)))
        elif name in changed:
            found.append(Command(words=place.systemctl("restart", "--", name)))
    return found


def _notes(unit: str, known: Mapping[str, str], order: Order, place: UnitLocation) -> list[str]:
    """Return what a person should know about a session's unit. Raises `UsageError` where there is no such unit."""
    if known.get("LoadState") == "not-found":
        whose = "the machine" if place.system else f"{order.user} (a unit of the machine needs --system)"
        raise UsageError(
            f"systemd knows no unit {shell_quote(unit)} of {whose}; `systemctl list-unit-files` names them"
        )
    notes = []
    if known.get("Restart") == "always":
        notes.append(
            f"{unit} has Restart=always: systemd before 251 would ask the gate again and again, later ones leave a "
            "skipped unit alone until something starts it"
        )
    if place.system and known and (known.get("User") or "root") != order.user:
        user = printable(known.get("User") or "root", limit=60)
        notes.append(
            f"{unit} runs as {user}, the gate's own service as {order.user}: what one remembers, the other cannot write"
        )
    if not known and (order.session_timeout_s > SESSION_TIMEOUT_S or len(order.roles) > 1):
        notes.append(
            f"the type of {unit} could not be asked; unless it is a oneshot, give it a TimeoutStartSec= above "
            f"{order.session_timeout_s * len(order.roles)} seconds"
        )
    return notes


def _lingering(order: Order, place: UnitLocation) -> tuple[str, ...]:
    """Return what has to be done so that a user's units run without a login."""
    if place.system or os.path.exists(Path("/var/lib/systemd/linger") / order.user):
        return ()
    return (
        "units of a user run from the first login to the last logout; to have them run after a reboot without one:",
        f"  sudo loginctl enable-linger {shell_quote(order.user)}",
    )


def plan_uninstall(roles: Sequence[str], session_units: Sequence[str], place: UnitLocation) -> Installation:
    """Return what removes our units: all, or those for `roles` alone and for `session_units`. Raises `DoctorError`."""
    wanted = {session_unit(text) for text in session_units}
    changes: list[PlannedChange] = []
    kept_: list[str] = []
    timers: list[str] = []
    for path in _candidates(place.directory):
        found = look_at(path)
        if found.state in ("absent", "foreign"):
            continue
        is_drop_in = path.name == DROP_IN
        if (wanted and not (is_drop_in and path.parent.name.removesuffix(".d") in wanted)) or (
            roles and not found.roles <= set(roles)
        ):
            continue
        if found.state == "edited":
            stops = Command(words=place.systemctl("disable", "--now", "--", path.name))
            kept_.append(kept(path, found) + (f"; `{stops}` stops it" if path.suffix == ".timer" else ""))
            continue
        changes.append(removed(path, found, None if is_drop_in else place.directory / _WANTS / path.name))
        timers += [path.name] if path.suffix == ".timer" else []
    refuse_unwritable(Path(c.title) for c in changes)
    reload = (Command(words=place.systemctl("daemon-reload")),) if changes else ()
    return Installation(
        changes=tuple(changes),
        # The link that enables a timer goes with its file; a timer without a file could not be disabled any more.
        first=tuple(Command(words=place.systemctl("stop", "--", name), may_fail=True) for name in timers),
        then=reload,
        reachable=place.reachable(),
        kept=tuple(kept_),
    )


def _candidates(directory: Path) -> list[Path]:
    """Return the files that could be ours, by their names."""

    def matching(*globs: str) -> list[Path]:
        found = (Path(p) for g in globs for p in Glob(pattern=g, directory=directory).paths())
        return sorted(p for p in found if os.path.lexists(p))

    return [*matching("sage-doctor-gate@*.timer", "sage-doctor-gate@*.service"), *matching(f"*.service.d/{DROP_IN}")]
