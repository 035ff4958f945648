"""Single steps on the disk, each done at once or not at all, and each with its rollback.

Files of model directories are replaced as names: what a link leads to is never written through, because a directory
from elsewhere may have links to anywhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.system.atomic_write import replace_file, sync_directory
from sage_doctor.system.frozen import frozen
from sage_doctor.system.seen import Seen, see
from sage_doctor.text import printable, shell_quote


def _noop() -> None:
    """Do nothing: what there is to commit where no old state was kept."""


@frozen
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


def backup_name(path: Path) -> Path:
    """Return the first name beside `path` that is free for its old content: `NAME.orig`, `NAME.orig.1` and so on."""
    name = Path(f"{path}.orig")
    number = 0
    while os.path.lexists(name):
        number += 1
        name = Path(f"{path}.orig.{number}")
    return name


def write_file(path: Path, data: bytes, *, backup: Path | None = None, seen: Seen | None = None) -> Applied:
    """Write a file in one step, and keep what was there before as `backup`, or in memory. Raises `DoctorError`.

    A link is replaced, not followed. `seen` is what the plan saw there.
    """
    with wrap_os_errors(path):
        seen = seen or see(path)
        with seen.held() as directory:
            if seen.state is None:
                replace_file(path, data, within=directory)
                return Applied(rollback=partial(_gone, see(path), seen))
            found = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
            like = found if stat.S_ISREG(found.st_mode) else None
            if backup is None:
                old = _read(path.name, directory)
                replace_file(path, data, within=directory, like=like)
                return Applied(rollback=partial(_again, see(path), old, found))
            os.link(path.name, backup.name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
            try:
                replace_file(path, data, within=directory, like=like)
            except BaseException:
                os.unlink(backup.name, dir_fd=directory)
                raise
            return Applied(rollback=partial(_moved, see(backup), see(path)))


def make_link(path: Path, target: str, *, seen: Seen) -> Applied:
    """Replace a file by a symbolic link to `target`, in one step. `seen` is what the plan saw. Raises `DoctorError`."""
    with wrap_os_errors(path), seen.held() as directory:
        found = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
        old = _read(path.name, directory)
        passing = f".{path.name[:32]}.sage-new-{os.getpid()}-{os.urandom(4).hex()}"
        os.symlink(target, passing, dir_fd=directory)
        try:
            os.replace(passing, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(passing, dir_fd=directory)
            raise
        sync_directory(path.parent)
        return Applied(rollback=partial(_again, see(path), old, found))


def undo_write(path: Path, backup: Path | None) -> str:
    """Return the command that takes a written file back."""
    return f"rm -f {shell_quote(path)}" if backup is None else f"mv -f {shell_quote(backup)} {shell_quote(path)}"


def _read(name: str, directory: int) -> bytes:
    """Return a file's content, or where a link leads. Raises `OSError` for what is neither."""
    if stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        return os.fsencode(os.readlink(name, dir_fd=directory))
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=directory), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a file")
        return file.read()


def _gone(now: Seen, before: Seen) -> None:
    with now.held() as directory:
        os.unlink(now.path.name, dir_fd=directory)
        sync_directory(now.path.parent)
    before.unmake(len(before.missing))


def _again(now: Seen, old: bytes, found: os.stat_result) -> None:
    with now.held() as directory:
        if stat.S_ISREG(found.st_mode):
            replace_file(now.path, old, within=directory, like=found, times=True)
            return
        os.unlink(now.path.name, dir_fd=directory)
        os.symlink(old, now.path.name, dir_fd=directory)
        sync_directory(now.path.parent)


def _moved(kept: Seen, now: Seen) -> None:
    kept.check()
    with now.held() as directory:
        os.replace(kept.path.name, now.path.name, src_dir_fd=directory, dst_dir_fd=directory)
        sync_directory(now.path.parent)


def rename(path: Path, other: Path, *, seen: Seen | None = None) -> Applied:
    """Give a file another name in its directory; an existing file of that name is never overwritten.

    `seen` is what the plan saw at `path`. Raises `DoctorError`.
    """
    with wrap_os_errors(path):
        seen = seen or see(path)
        with seen.held() as directory:
            # unlike a rename, this fails where `other` is there
            os.link(path.name, other.name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
            try:
                os.unlink(path.name, dir_fd=directory)
            except BaseException:
                os.unlink(other.name, dir_fd=directory)
                raise
            sync_directory(path.parent)
        now = see(other)

    def rollback() -> None:
        rename(other, path, seen=now)

    return Applied(rollback=rollback)


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
