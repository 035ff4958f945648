"""The user's crontab: our lines stand between two comments, all other bytes stay.

A crontab cannot be locked, so it is read again just before it is replaced, and once more afterwards. The old one is
kept in the state directory.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.install.installation import Installation, PlannedChange
from sage_doctor.install.order import BOOT_DELAY_S, Order
from sage_doctor.install.ownership import MARK, Owned, read_owned, stamp
from sage_doctor.system import child
from sage_doctor.system.file_lock import file_lock
from sage_doctor.system.file_steps import Applied, wrap_os_errors, write_file
from sage_doctor.system.frozen import frozen
from sage_doctor.text import join_limited, printable

BEGIN: Final = "# BEGIN "
END: Final = "# END sage-doctor-install"
MOST_COMMAND: Final = 990  # Debian's cron takes 999 bytes and refuses the whole crontab for one more

_WAIT_S: Final = 120.0  # for another install, which runs crontab four times, each with a deadline
_SETTING = re.compile(r"^[ \t]*(SHELL|CRON_TZ|TZ)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_POSIX_SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "ash")


def cron_command(words: Sequence[str], environment: Sequence[tuple[str, str]]) -> str:
    r"""Return a command as a crontab takes it: quoted for /bin/sh, `%` written `\%`. Raises `UsageError`.

    A backslash before a backslash or a percent sign is refused: implementations of cron read it differently.
    """
    line = " ".join([*(f"{name}={shlex.quote(value)}" for name, value in environment), *map(shlex.quote, words)])
    if "\\\\" in line or "\\%" in line:
        word = next(w for w in (*words, *(v for _, v in environment)) if "\\\\" in w or "\\%" in w)
        raise UsageError(
            f"{printable(word)} contains a backslash before a backslash or a percent sign, which not all crons read "
            "alike; rename it, or use `sage-doctor install systemd`"
        )
    line = line.replace("%", "\\%")
    if len(line.encode("utf-8")) > MOST_COMMAND:
        raise UsageError(
            f"the command would be {len(line.encode('utf-8'))} bytes long; some implementations of cron take at most "
            f"{MOST_COMMAND}. Shorten the paths (with a symbolic link), or use `sage-doctor install systemd`"
        )
    return line


def block(order: Order, role: str) -> str:
    """Return the lines for one role, with the comments around them."""
    command = cron_command(order.gate(role, order.run_timeout_s, "--on-change"), tuple(order.environment.items()))
    lines = [f"@reboot sleep {BOOT_DELAY_S}; {command}\n"] if order.on_boot else []
    lines += [f"{fields} {command}\n" for fields in (order.schedule.cron_fields() if order.schedule else ())]
    body = "".join(lines)
    return f"{BEGIN}{stamp(body, [role])}\n{body}{END}\n"


@frozen
class CrontabBlock:
    """Our lines as they stand in a crontab, from `start` to `end` (indices of its lines)."""

    start: int
    end: int
    owned: Owned


def blocks(text: str) -> list[CrontabBlock]:
    """Return our blocks. Raises `DoctorError` if one of the two comments is missing."""
    found: list[CrontabBlock] = []
    start: int | None = None
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        begins, ends = line.startswith(BEGIN + MARK), line.rstrip() == END
        if (begins and start is not None) or (ends and start is None):
            _torn(number)
        if begins:
            start = number
        elif ends and start is not None:
            found.append(CrontabBlock(start=start, end=number + 1, owned=read_owned("".join(lines[start:number]))))
            start = None
    if start is not None:
        _torn(start)
    return found


def _torn(number: int) -> None:
    raise DoctorError(
        f"line {number + 1} of the crontab: the other comment around sage-doctor's lines is missing. Delete these "
        "lines with `crontab -e`. Nothing was changed"
    )


def plan_install(order: Order) -> Installation:
    """Return what puts the order's lines into the crontab of the user who runs this. Raises `DoctorError`."""
    if order.session_units:
        raise UsageError("--session-unit is for systemd only; for cron, put the gate into the session's own line")
    old = read_crontab()
    new, kept_ = old, []
    for role in order.roles:
        ours = block(order, role)
        there = [b for b in blocks(new) if role in b.owned.roles]
        if any(b.owned.state == "edited" for b in there):
            kept_.append(_edited([role]))
            continue
        if len(there) == 1 and _body(new, there[0]) == ours.splitlines(keepends=True)[1:]:
            continue
        new = _with(new, there, ours)
    notes = [f"this is the crontab of {order.user}"] if new != old else []
    session = cron_command(
        order.gate(order.roles[0], order.session_timeout_s, "--", "COMMAND"), tuple(order.environment.items())
    )
    return Installation(
        changes=_changes(old, new, order.state),
        kept=tuple(kept_),
        notes=(*notes, *(_settings(new) if new != old else ())),
        advice=(
            "to start a session of this crontab only if its role is healthy, put the gate before its command:",
            f"  {session}",
        ),
    )


def plan_uninstall(roles: Sequence[str], state: Path) -> Installation:
    """Return what takes our lines out of the crontab: those of `roles`, or all. Raises `DoctorError`."""
    old = read_crontab()
    new, kept_ = old, []
    for found in reversed(blocks(old)):
        if roles and not found.owned.roles <= set(roles):
            continue
        if found.owned.state == "edited":
            kept_.append(_edited(sorted(found.owned.roles)))
            continue
        new = _with(new, [found], "")
    return Installation(changes=_changes(old, new, state), kept=tuple(kept_))


def _edited(roles: list[str]) -> str:
    return (
        f"the crontab's lines for {join_limited(roles)} were edited after sage-doctor wrote them and are kept. "
        "To replace them, delete them with `crontab -e` and run install again"
    )


def _body(text: str, found: CrontabBlock) -> list[str]:
    return text.splitlines(keepends=True)[found.start + 1 : found.end]


def _with(text: str, there: Sequence[CrontabBlock], ours: str) -> str:
    """Return `text` with our lines in the place of the first of `there`, else at its end; the others go."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    place = there[0].start if there else len(lines)
    for found in sorted(there, key=lambda b: -b.start):
        del lines[found.start : found.end]
    return "".join([*lines[:place], ours, *lines[place:]])


def _settings(text: str) -> Iterator[str]:
    """Yield notes about settings of the crontab that apply to our lines."""
    for name, value in _SETTING.findall(text):
        plain = value.strip("'\"")
        if name == "SHELL" and os.path.basename(plain) not in _POSIX_SHELLS:
            yield f"the crontab sets SHELL={printable(plain, limit=100)}; these lines are written for /bin/sh"
        elif name != "SHELL":
            yield f"the crontab sets {name}={printable(plain, limit=100)}, which applies to these lines as well"


def _changes(old: str, new: str, state: Path) -> tuple[PlannedChange, ...]:
    if old == new:
        return ()
    return (PlannedChange(title="the crontab", before=old, after=new, apply=lambda: _replace(old, new, state)),)


def _replace(old: str, new: str, state: Path) -> Applied:
    with _exclusive(state):
        if read_crontab() != old:
            raise DoctorError("the crontab has changed since it was shown; nothing was changed, run install again")
        if old:
            now = dt.datetime.now(dt.timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
            write_file(state / f"crontab-{now}", old.encode("utf-8", "surrogateescape"))
        write_crontab(new)
        if read_crontab() != new:
            write_crontab(old)
            raise DoctorError("crontab did not store what it was given; the old crontab was restored")
    return Applied(rollback=lambda: write_crontab(old))


@contextmanager
def _exclusive(state: Path) -> Iterator[None]:
    """Let other installs of the same user wait."""
    with wrap_os_errors(state):
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file_lock(state / "crontab.lock", wait_s=_WAIT_S):
        yield


def read_crontab() -> str:
    """Return the crontab of the user who runs this, empty without one. Raises `DoctorError`."""
    done = _crontab("-l")
    said = done.err.decode("utf-8", "replace").strip()
    if done.code == 0:
        return done.out.decode("utf-8", "surrogateescape")
    if "no crontab" in said or "No such file" in said:  # the second is busybox
        return ""
    raise DoctorError(f"`crontab -l` failed: {_reason(done, said)}; nothing was changed")


def write_crontab(text: str) -> None:
    """Replace the crontab; an empty one is removed. Raises `DoctorError` if crontab refuses it."""
    done = _crontab("-", ask=text.encode("utf-8", "surrogateescape")) if text else _crontab("-r")
    if done.code != 0:
        said = done.err.decode("utf-8", "replace").strip()
        raise DoctorError(f"crontab refused the new lines: {_reason(done, said)}; nothing was changed")


def _reason(done: child.ChildResult, said: str) -> str:
    return "timed out" if done.timed_out else printable(said.replace("\n", "; "), limit=300) or "no message"


def _crontab(word: str, *, ask: bytes = b"") -> child.ChildResult:
    done = child.run(["crontab", word], timeout_s=30, env={**os.environ, "LC_ALL": "C"}, ask=ask)
    if done is None:
        raise DoctorError("`crontab` not found: install cron (apt install cron), or use `sage-doctor install systemd`")
    return done
