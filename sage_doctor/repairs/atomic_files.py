"""Single steps on the disk, each done at once or not at all, and each with the step back.

Files of model directories are replaced as names: what a link leads to is never written through, because a directory
from elsewhere may have links to anywhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.repairs.repair import Applied
from sage_doctor.repairs.seen import Seen, see
from sage_doctor.system.state_directory import alive
from sage_doctor.text import printable, shell_quote


@contextlib.contextmanager
def wrap_os_errors(path: Path) -> Iterator[None]:
    """Raise `DoctorError` naming the path for an `OSError` from within."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise DoctorError(f"{printable(str(path))} could not be changed: {reason}; nothing was changed") from error


def sync_directory(path: Path | str, within: int | None = None) -> None:
    """Flush a directory's entries to disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=within)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(name: str, directory: int) -> None:
    """Remove what processes that were killed in the midst of writing this file have left beside it."""
    left = re.compile(re.escape(f".{name[:80]}.sage-fix-") + r"(\d{1,9})-[0-9a-f]{8}")
    handle = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        for other in os.listdir(handle):
            found = left.fullmatch(other)
            with contextlib.suppress(OSError):
                if found is not None and not alive(int(found[1])) and _is_file(other, handle):
                    os.unlink(other, dir_fd=handle)
    finally:
        os.close(handle)


def _is_file(name: str, directory: int) -> bool:
    return stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)


@dataclass(frozen=True)
class _Old:
    """What a file held: `data`, or where the link led; `found` is None for what is new."""

    data: bytes
    found: os.stat_result | None = None

    def write(self, name: str, directory: int, *, times: bool = False) -> None:
        """Put it at a name in one step, with its mode and owner; with its times if asked."""
        _sweep(name, directory)
        temporary = f".{name[:80]}.sage-fix-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            if self.found is not None and stat.S_ISLNK(self.found.st_mode):
                os.symlink(self.data, temporary, dir_fd=directory)
            else:
                self._fill(temporary, directory, times=times)
            os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        sync_directory(".", directory)

    def _fill(self, name: str, directory: int, *, times: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, 0o666, dir_fd=directory), "wb") as file:
            file.write(self.data)
            file.flush()
            if self.found is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), self.found.st_uid, self.found.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(self.found.st_mode))
                if times:
                    os.utime(file.fileno(), ns=(self.found.st_atime_ns, self.found.st_mtime_ns))
            os.fsync(file.fileno())


def _read(name: str, directory: int) -> _Old:
    """Return what is at a name: a file's content, or where a link leads. Raises `OSError` for what is neither."""
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        return _Old(os.fsencode(os.readlink(name, dir_fd=directory)), found)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=directory), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a file")
        return _Old(file.read(), found)


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
                _Old(data).write(path.name, directory)
                return Applied(rollback=partial(_gone, see(path), seen))
            if backup is None:
                old = _read(path.name, directory)
                _new(data, old).write(path.name, directory)
                return Applied(rollback=partial(_again, see(path), old))
            found = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
            os.link(path.name, backup.name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
            try:
                _new(data, _Old(b"", found)).write(path.name, directory)
            except BaseException:
                os.unlink(backup.name, dir_fd=directory)
                raise
            return Applied(rollback=partial(_moved, see(backup), see(path)))


def undo_write(path: Path, backup: Path | None) -> str:
    """Return the command that takes a written file back."""
    return f"rm -f {shell_quote(path)}" if backup is None else f"mv -f {shell_quote(backup)} {shell_quote(path)}"


def _new(data: bytes, old: _Old) -> _Old:
    """Return new content with mode and owner of the old file; a link has none to take over."""
    return _Old(data, old.found if old.found is not None and stat.S_ISREG(old.found.st_mode) else None)


def _gone(now: Seen, before: Seen) -> None:
    with now.held() as directory:
        os.unlink(now.path.name, dir_fd=directory)
        sync_directory(".", directory)
    before.unmake(len(before.missing))


def _again(now: Seen, old: _Old) -> None:
    with now.held() as directory:
        old.write(now.path.name, directory, times=True)


def _moved(kept: Seen, now: Seen) -> None:
    kept.check()
    with now.held() as directory:
        os.replace(kept.path.name, now.path.name, src_dir_fd=directory, dst_dir_fd=directory)
        sync_directory(".", directory)


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
            sync_directory(".", directory)
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
