"""What an installation or its removal will do: all changes in full, before any of them is made.

Making the plan writes nothing and asks nobody. Whoever holds it shows its lines, asks for consent, and calls `apply`.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.install.ownership import Owned, look_at, stamped
from sage_doctor.system import child
from sage_doctor.system.atomic_write import sync_directory
from sage_doctor.system.file_steps import Applied, all_of, wrap_os_errors, write_file
from sage_doctor.text import printable, shell_quote

MANAGER_TIMEOUT_S: Final = 120  # `enable --now` may wait for what it starts


@dataclass(frozen=True, kw_only=True)
class PlannedChange:
    """One text that changes: a file, or the crontab. `before` is None for a new one, `after` for one that goes."""

    title: str
    before: str | None
    after: str | None
    apply: Callable[[], Applied]

    def lines(self) -> list[str]:
        """Return what a person reads: a new text whole, else the difference."""
        verb = "writes" if self.before is None else "removes" if self.after is None else "changes"
        if self.before is None or self.after is None:
            shown = (self.after if self.before is None else self.before) or ""
            sign = "+" if self.before is None else "-"
            body = [f"{sign}{line}" for line in shown.splitlines()]
        else:
            before, after = self.before.splitlines(), self.after.splitlines()
            body = list(difflib.unified_diff(before, after, "now", "then", n=2, lineterm=""))
        return [f"{verb} {printable(self.title, limit=1000)}", *(f"  {printable(line)}" for line in body)]


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that tells the scheduler what has changed. `may_fail`: its failure means there was nothing to do."""

    words: tuple[str, ...]
    may_fail: bool = False

    def __str__(self) -> str:
        """Return the command, safe to paste."""
        return " ".join(shell_quote(word) for word in self.words)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What will be done.

    `first` are the commands that go before the changes, `then` those after; `reachable` says whether the scheduler
    can be told now: where not, they are for a person to paste. `kept` names what was found and stays as it is although
    it is in the way, `notes` what a person should know, `advice` what is left to do by hand, as lines to paste.
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
        """Whether there is nothing that could be done from here."""
        return not self.changes and not (self.commands and self.reachable)

    def lines(self) -> list[str]:
        """Return the plan as a person reads it; nothing from outside moves the cursor."""
        lines = [line for change in self.changes for line in (*change.lines(), "")]
        if self.reachable:
            lines += [f"runs {command}" for command in self.commands]
        return [*lines, *(f"note: {printable(note)}" for note in self.notes)]

    def apply(self) -> None:
        """Make every change or none, and tell the scheduler. Raises `DoctorError` for what could not be done."""
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
    said = "it is not installed" if done is None else "it did not end" if done.timed_out else ""
    if done is not None and not said:
        said = printable(done.err.decode("utf-8", "replace").strip().rpartition("\n")[2], limit=300) or "it failed"
    raise DoctorError(f"`{command}`: {said}; the files are as shown above, run it yourself once that is mended")


def written(
    path: Path, body: str, roles: Iterable[str], *, after: int = 0, xml: bool = False
) -> PlannedChange | str | None:
    """Return the change that makes `path` say `body`; None where it does, or why what lies there is kept."""
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
    """Return the change that removes a file of ours, the link `also` to it, and the drop-ins' directory it empties."""
    return PlannedChange(title=str(path), before=found.text, after=None, apply=lambda: _remove(path, found, also))


def kept(path: Path, found: Owned) -> str:
    """Return the sentence that names a file which is not changed."""
    shown = printable(str(path), limit=1000)
    if found.state == "edited":
        return f"{shown} was edited after sage-doctor wrote it: it is kept as it is. Delete it to have it written anew"
    return f"{shown} was not written by sage-doctor: it is kept as it is. Move it away if it is in the way"


def refuse_unwritable(paths: Iterable[Path]) -> None:
    """Raise `DoctorError` where one of the directories to write to cannot be written to, before anybody is asked."""
    for path in paths:
        directory = path.parent
        while not os.path.lexists(directory) and directory != directory.parent:
            directory = directory.parent
        if not os.path.isdir(directory):
            raise DoctorError(f"{printable(str(directory))} is no directory; nothing was changed")
        if not os.access(directory, os.W_OK | os.X_OK):
            raise DoctorError(f"{printable(str(directory))} cannot be written to; nothing was changed")


def _unchanged(path: Path, found: Owned) -> None:
    now = look_at(path)
    if (now.state, now.text) != (found.state, found.text):
        raise DoctorError(f"{printable(str(path))} has changed since it was shown; nothing was changed, run it again")


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
