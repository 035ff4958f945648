"""What a plan saw: compared with what is there right before the change, and changed only where it is the same.

Between a plan and its change stands a question, and who may write to the directory has all that time to swap a file
for another one or for a link to somewhere else. So the directory is opened and held, everything happens relative to
its descriptor, and no link in it is followed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.system.atomic_write import HOLD
from sage_doctor.system.fingerprint import Fingerprint
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable


@frozen
class Seen:
    """A path as it was. `state` is its own, and that of what it leads to; None where nothing was.

    `directory` is device and inode of `top`, the innermost directory that was there; those in `missing` were not.
    """

    path: Path
    top: Path
    directory: tuple[int, int]
    missing: tuple[str, ...]
    state: tuple[int, ...] | None

    @property
    def mode(self) -> int:
        """The type and mode of what is there, 0 where nothing is."""
        return self.state[-1] if self.state else 0

    def check(self) -> None:
        """Raise `DoctorError` if something else is there now."""
        try:
            if see(self.path) == self:
                return
        except OSError:
            pass
        raise self.changed()

    @contextlib.contextmanager
    def held(self) -> Iterator[int]:
        """Hold the directory open, make those that were missing, check what lies at the path, and yield a descriptor.

        Raises `DoctorError` if anything is not as it was, and `OSError`.
        """
        handle = os.open(self.top, HOLD)
        made = 0
        try:
            found = os.fstat(handle)
            if (found.st_dev, found.st_ino) != self.directory:
                raise self.changed()
            try:
                for name in self.missing:
                    os.mkdir(name, dir_fd=handle)
                    made += 1
                    inner = os.open(name, HOLD | os.O_NOFOLLOW, dir_fd=handle)
                    os.close(handle)
                    handle = inner
            except FileExistsError as error:
                raise self.changed() from error
            if state_of(self.path.name, handle) != self.state:
                raise self.changed()
            yield handle
        except BaseException:
            self.unmake(made)
            raise
        finally:
            os.close(handle)

    def unmake(self, made: int) -> None:
        """Remove the first so many of the directories that were missing, as far as they are empty."""
        for count in range(made, 0, -1):
            with contextlib.suppress(OSError):
                os.rmdir(self.top.joinpath(*self.missing[:count]))

    def changed(self) -> DoctorError:
        """Return the error for what is not as it was."""
        return DoctorError(f"{printable(str(self.path))} has changed since the plan was made; nothing was changed")


def see(path: Path) -> Seen:
    """Return what is at a path now. A plan sees first and reads afterwards. Raises `OSError`."""
    missing: list[str] = []
    top = path.parent
    while True:
        try:
            found = os.stat(top)
            break
        except FileNotFoundError:
            missing.insert(0, top.name)
            top = top.parent
    state = None if missing else state_of(str(path), None)
    return Seen(path=path, top=top, directory=(found.st_dev, found.st_ino), missing=tuple(missing), state=state)


def state_of(name: str, directory: int | None) -> tuple[int, ...] | None:
    """Return the state of a name, and of what it leads to if it is a link; None where nothing is."""
    try:
        own = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(own.st_mode):
        return fields(own)
    try:
        return (*fields(own), *fields(os.stat(name, dir_fd=directory)))
    except OSError:
        return fields(own)


def fields(found: os.stat_result) -> tuple[int, ...]:
    """Return what must not change: of a directory not its times, which change with every file in it."""
    owner = (found.st_dev, found.st_uid, found.st_gid)
    if stat.S_ISDIR(found.st_mode):
        return (*owner, found.st_ino, found.st_mode)
    return (*owner, *Fingerprint.of(found))
