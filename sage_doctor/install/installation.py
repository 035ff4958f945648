"""The plan of an installation or its removal: all changes, before any of them is made.

Planning writes nothing and asks nobody. The caller shows the lines, asks for consent, and calls `apply`.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.install.ownership import Owned, look_at, stamped
from sage_doctor.system import child
from sage_doctor.system.atomic_write import sync_directory
from sage_doctor.system.file_steps import Applied, all_of, wrap_os_errors, write_file
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable, shell_quote

MANAGER_TIMEOUT_S: Final = 120  # `enable --now` may wait for what it starts


@frozen
class PlannedChange:
    """One text that changes: a file, or the crontab. `before` is None for a new one, `after` for a removed one."""

    title: str
    before: str | None
    after: str | None
    apply: Callable[[], Applied]

    def lines(self) -> list[str]:
        """Return the lines to show: a new text in full, else a diff."""
        verb = "write" if self.before is None else "remove" if self.after is None else "change"
        if self.before is None or self.after is None:
            shown = (self.after if self.before is None else self.before) or ""
            sign = "+" if self.before is None else "-"
            body = [f"{sign}{line}" for line in shown.splitlines()]
        else:
            before, after = self.before.splitlines(), self.after.splitlines()
            body = list(difflib.unified_diff(before, after, "current", "new", n=2, lineterm=""))
        return [f"{verb} {printable(self.title, limit=1000)}", *(f"  {printable(line)}" for line in body)]


@frozen
class Command:
    """A command for the scheduler. `may_fail`: a failure means that there was nothing to do."""

    words: tuple[str, ...]
    may_fail: bool = False

    def __str__(self) -> str:
        """Return the command, safe to paste."""
        return " ".join(shell_quote(word) for word in self.words)


@frozen
class Installation:
    """All changes of an installation.

    `first` are the commands before the changes, `then` those after. They are run if the scheduler is `reachable`, else
    shown to be run by hand. `kept` names files in the way that are not changed, `notes` are shown with the plan, and
    `advice` are lines for what is left to do by hand.
    """

    changes: tuple[PlannedChange, ...] = ()
    first: tuple[Command, ...] = ()
    then: tuple[Command, ...] = ()
    reachable: bool = True
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def commands(self) -> tuple[Command, ...]:
        """All commands, in their order."""
        return (*self.first, *self.then)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to change or run."""
        return not self.changes and not (self.commands and self.reachable)

    def lines(self) -> list[str]:
        """Return the plan as lines, without control characters."""
        lines = [line for change in self.changes for line in (*change.lines(), "")]
        if self.reachable:
            lines += [f"run {command}" for command in self.commands]
        return [*lines, *(f"note: {printable(note)}" for note in self.notes)]

    def apply(self) -> None:
        """Make every change or none, and run the commands. Raises `DoctorError` for a failure."""
        if self.reachable:
            for command in self.first:
                _run(command)
        done = all_of([change.apply for change in self.changes])
        done.commit()
        if self.reachable:
            for command in self.then:
                _run(command)


def _run(command: Command) -> None:
    done = child.run(command.words, timeout_s=MANAGER_TIMEOUT_S)
    if command.may_fail or (done is not None and done.code == 0):
        return
    said = "not installed" if done is None else "timed out" if done.timed_out else ""
    if done is not None and not said:
        said = printable(done.err.decode("utf-8", "replace").strip().rpartition("\n")[2], limit=300) or "failed"
    raise DoctorError(f"`{command}`: {said}; the files were written as shown; run the command yourself once it works")


def written(
    path: Path, body: str, roles: Iterable[str], *, after: int = 0, xml: bool = False
) -> PlannedChange | str | None:
    """Return the change that writes `body` to `path`; None if it is there already, or why the existing file is kept."""
    found = look_at(path)
    if found.state in ("foreign", "edited"):
        return kept(path, found)
    roles = frozenset(roles)
    if found.state == "ours" and found.body == body and found.roles == roles:
        return None  # though an older version may have written it
    comment = ("<!-- ", " -->") if xml else ("# ", "")
    text = stamped(body, roles, after=after, comment=comment)
    return PlannedChange(title=str(path), before=found.text, after=text, apply=lambda: _write(path, text, found))


def removed(path: Path, found: Owned, also: Path | None = None) -> PlannedChange:
    """Return the change that removes our file, the link `also` to it, and its drop-in directory if empty."""
    return PlannedChange(title=str(path), before=found.text, after=None, apply=lambda: _remove(path, found, also))


def kept(path: Path, found: Owned) -> str:
    """Return the sentence that names a file which is not changed."""
    shown = printable(str(path), limit=1000)
    if found.state == "edited":
        return (
            f"{shown} was edited after sage-doctor wrote it and is kept. To replace it, delete it and run install again"
        )
    return f"{shown} was not written by sage-doctor and is kept. To replace it, move it away"


def refuse_unwritable(paths: Iterable[Path]) -> None:
    """Raise `DoctorError` if a directory to write to is not writable, before the user is asked."""
    for path in paths:
        directory = path.parent
        while not os.path.lexists(directory) and directory != directory.parent:
            directory = directory.parent
        if not os.path.isdir(directory):
            raise DoctorError(f"{printable(str(directory))} is not a directory; nothing was changed")
        if not os.access(directory, os.W_OK | os.X_OK):
            raise DoctorError(f"{printable(str(directory))} is not writable; nothing was changed")


def _unchanged(path: Path, found: Owned) -> None:
    now = look_at(path)
    if (now.state, now.text) != (found.state, found.text):
        raise DoctorError(
            f"{printable(str(path))} has changed since it was shown; nothing was changed, run install again"
        )


def _write(path: Path, text: str, found: Owned) -> Applied:
    _unchanged(path, found)
    return write_file(path, text.encode("utf-8"))


def _remove(path: Path, found: Owned, also: Path | None) -> Applied:
    _unchanged(path, found)
    lead = os.readlink(also) if also is not None and os.path.islink(also) else None
    with wrap_os_errors(path):
        os.unlink(path)
        sync_directory(path.parent)

    def rollback() -> None:
        write_file(path, (found.text or "").encode("utf-8"))

    def commit() -> None:
        with contextlib.suppress(OSError):
            if also is not None and lead is not None and os.path.basename(lead) == path.name:
                os.unlink(also)
        if path.parent.name.endswith(".d"):
            with contextlib.suppress(OSError):
                os.rmdir(path.parent)  # only an empty one goes

    return Applied(rollback=rollback, commit=commit)
