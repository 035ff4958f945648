"""Single steps on the disk, each done at once or not at all, and each with the step back.

Files of model directories are replaced as names: what a link leads to is never written through, because a directory
from elsewhere may have links to anywhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.repairs.repair import Applied
from sage_doctor.system.state_directory import alive
from sage_doctor.text import printable

MOST_BYTES = 1 << 28  # of a file that is copied or kept in memory


@contextlib.contextmanager
def wrap_os_errors(path: Path) -> Iterator[None]:
    """Raise `DoctorError` naming the path for an `OSError` from within."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise DoctorError(f"{printable(str(path))} could not be changed: {reason}; nothing was changed") from error


def sync_directory(path: Path) -> None:
    """Flush a directory's entries to disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(path: Path) -> None:
    """Remove what processes that were killed in the midst of writing this file have left beside it."""
    left = re.compile(re.escape(f".{path.name[:80]}.sage-fix-") + r"(\d{1,9})-[0-9a-f]{8}")
    for name in os.listdir(path.parent):
        found = left.fullmatch(name)
        if found is not None and not alive(int(found[1])) and (path.parent / name).is_file():
            with contextlib.suppress(OSError):
                os.unlink(path.parent / name)


def _write(path: Path, data: bytes, mode: int | None) -> None:
    _sweep(path)
    temporary = path.parent / f".{path.name[:80]}.sage-fix-{os.getpid()}-{os.urandom(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


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
            _write(path, data, None)
            return Applied(rollback=lambda: _gone(path))
        mode = _mode_of(path)
        if backup is not None:
            os.link(path, backup, follow_symlinks=False)
            try:
                _write(path, data, mode)
            except BaseException:
                os.unlink(backup)
                raise
            return Applied(rollback=lambda: _moved(backup, path))
        old = path.read_bytes()
        _write(path, data, mode)
        return Applied(rollback=lambda: _write(path, old, mode))


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
