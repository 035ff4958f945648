"""Single steps on the disk, each done at once or not at all, and each with its rollback.

Files of model directories are replaced as names: what a link leads to is never written through, because a directory
from elsewhere may have links to anywhere.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.system.atomic_write import replace_file, sync_directory
from sage_doctor.text import printable


def _noop() -> None:
    """Do nothing: what there is to commit where no old state was kept."""


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What was done. `rollback` puts the old state back; `commit` deletes it, once the checks find no error."""

    rollback: Callable[[], None]
    commit: Callable[[], None] = _noop


@contextlib.contextmanager
def wrap_os_errors(path: Path) -> Iterator[None]:
    """Raise `DoctorError` naming the path for an `OSError` from within."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise DoctorError(f"{printable(str(path))} could not be changed: {reason}; nothing was changed") from error


def _mode_of(path: Path) -> int | None:
    """Return the mode of a regular file, None for what is none: a new file gets what the umask leaves."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return stat.S_IMODE(found.st_mode) if stat.S_ISREG(found.st_mode) else None


def backup_name(path: Path) -> Path:
    """Return the first name beside `path` that is free for its old content: `NAME.orig`, `NAME.orig.1` and so on."""
    name = Path(f"{path}.orig")
    number = 0
    while os.path.lexists(name):
        number += 1
        name = Path(f"{path}.orig.{number}")
    return name


def write_file(path: Path, data: bytes, *, backup: Path | None = None) -> Applied:
    """Write a file in one step, and keep what was there before as `backup`, or in memory. Raises `DoctorError`.

    A link is replaced, not followed.
    """
    with wrap_os_errors(path):
        there = os.path.lexists(path)
        if not there:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data)
            return Applied(rollback=lambda: _gone(path))
        mode = _mode_of(path)
        if backup is not None:
            os.link(path, backup, follow_symlinks=False)
            try:
                replace_file(path, data, mode=mode)
            except BaseException:
                os.unlink(backup)
                raise
            return Applied(rollback=lambda: _moved(backup, path))
        old = path.read_bytes()
        replace_file(path, data, mode=mode)
        return Applied(rollback=lambda: replace_file(path, old, mode=mode))


def _gone(path: Path) -> None:
    os.unlink(path)
    sync_directory(path.parent)


def _moved(one: Path, other: Path) -> None:
    os.replace(one, other)
    sync_directory(other.parent)


def rename(path: Path, other: Path) -> Applied:
    """Give a file another name in its directory; an existing file of that name is never overwritten."""
    with wrap_os_errors(path):
        os.link(path, other, follow_symlinks=False)  # unlike a rename, this fails where `other` is there
        try:
            os.unlink(path)
        except BaseException:
            os.unlink(other)
            raise
        sync_directory(path.parent)
    return Applied(rollback=lambda: _moved(other, path))


def all_of(steps: list[Callable[[], Applied]]) -> Applied:
    """Do all steps, or none: where one fails, those before it are taken back. Raises what the step raised."""
    done: list[Applied] = []

    def rollback() -> None:
        for step in reversed(done):
            step.rollback()

    def commit() -> None:
        for step in done:
            step.commit()

    try:
        for step in steps:
            applied = step()
            done.append(applied)
    except BaseException:
        rollback()
        raise
    return Applied(rollback=rollback, commit=commit)
