"""What keeps this user from reading a path: the first directory or file on the way that refuses, and how."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Literal

from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import real_path

REFUSED = frozenset({errno.EACCES, errno.EPERM})
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_BITS = {"read": 4, "search": 1, "list": 5}

Wanted = Literal["read", "search", "list"]


@frozen
class Obstacle:
    """Where reading a path ends, and the error. `mode`, `uid` and `gid` are None where even they cannot be asked.

    `wanted`: a file is read, a directory on the way is searched, and the directory itself is listed and searched.
    `has_list` is whether an access list (setfacl) says more than the mode does.
    """

    path: Path
    number: int
    wanted: Wanted
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    has_list: bool = False

    @property
    def is_refusal(self) -> bool:
        """Whether the system answered and refused; else the file system itself failed."""
        return self.number in REFUSED

    @property
    def says(self) -> str:
        """The system's own words for the error."""
        return os.strerror(self.number).lower()

    def bits_allow(self, uid: int, gids: frozenset[int]) -> bool:
        """Return whether the mode bits allow it to that user: something else refuses then."""
        if self.mode is None:
            return False
        shift = 6 if self.uid == uid else 3 if self.gid in gids else 0
        return self.mode >> shift & _BITS[self.wanted] == _BITS[self.wanted]


def find_obstacle(path: Path) -> Obstacle | None:
    """Return what keeps this user from reading a file, or from listing and entering a directory.

    None where it can be read, and where nothing is there. Links are followed. Never raises.
    """
    real = Path(real_path(path))
    for part in (*reversed(real.parents), real):
        try:
            status = os.stat(part)
        except OSError as error:
            if error.errno in REFUSED:
                return _refused(part.parent, error, "search")
            return None if error.errno in _GONE else _failed(part, error, "read")
        except ValueError:  # embedded NUL
            return None
    wanted: Wanted = "list" if stat.S_ISDIR(status.st_mode) else "read"
    try:
        _open(real, status)
    except OSError as error:
        if error.errno in REFUSED:
            return _refused(real, error, wanted)
        return None if error.errno in _GONE else _failed(real, error, wanted)
    return None


def _open(path: Path, status: os.stat_result) -> None:
    """List a directory or read a byte of a file; what is neither is left alone. Raises `OSError`."""
    if stat.S_ISDIR(status.st_mode):
        with os.scandir(path) as entries:
            next(entries, None)
        if not os.access(path, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(errno.EACCES, "")
    elif stat.S_ISREG(status.st_mode):
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            os.read(handle, 1)
        finally:
            os.close(handle)


def _refused(path: Path, error: OSError, wanted: Wanted) -> Obstacle:
    try:
        status = os.stat(path)
    except OSError:
        return _failed(path, error, wanted)
    return Obstacle(
        path=path,
        number=error.errno or 0,
        wanted=wanted,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        has_list=_has_list(path),
    )


def _has_list(path: Path) -> bool:
    """Return whether a path has an access list; False where that cannot be asked."""
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except (OSError, AttributeError):  # none, not on this file system, or no Linux
        return False


def _failed(path: Path, error: OSError, wanted: Wanted) -> Obstacle:
    return Obstacle(path=path, number=error.errno or 0, wanted=wanted)
