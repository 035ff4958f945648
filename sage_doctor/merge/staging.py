"""The staging directory of a merge, swapped with the target in one step: a kill leaves the old model or the new one.

While a merge runs, there are beside the target its lock (`.NAME.sage-merge.lock`, held by flock, so that it is free
as soon as its process is gone) and its staging directory (`.NAME.sage-merge-…`), which becomes the target. If the
target exists, the kernel exchanges the two names at once (`renameat2(RENAME_EXCHANGE)`, on a Mac
`renamex_np(RENAME_SWAP)`); a file system without that gets renames, and a kill between them leaves no target until the
next run puts it back. `leftovers` deals with what kills leave.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.merge.leftovers import ASIDE, WORD, StagingRecord
from sage_doctor.merge.refusal import refused
from sage_doctor.system.atomic_write import sync_directory
from sage_doctor.system.file_lock import LockHeld, LockUnavailable, file_lock
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable

_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of Darwin
_AT_CWD = -100
_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def lock_path(target: Path) -> Path:
    """Return the lock of a target."""
    return target.parent / f".{target.name}.{WORD}.lock"


@contextlib.contextmanager
def locked(target: Path, *, wait_s: float = 0.0, pause: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of a target. Raises `MergeRefused` naming the holder where it is not free within `wait_s`.

    `pause` is called several times a second while it is waited for; what it raises ends the waiting.
    """
    note = {"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time())}
    path = lock_path(target)
    pause()
    try:
        with file_lock(path, wait_s=wait_s, note=json.dumps(note), on_wait=lambda _note: pause(), remove=True):
            yield
    except LockHeld as error:
        raise _busy(error.note, target) from None
    except LockUnavailable as error:
        raise _unlockable(path, error.reason) from error


def _busy(note: str, target: Path) -> DoctorError:
    try:
        holder = json.loads(note)
    except (ValueError, RecursionError):
        holder = None
    said = holder if isinstance(holder, dict) else {}
    who = f"process {printable(str(said.get('pid', '?')))} on {printable(str(said.get('host', '?')))}"
    return refused(
        f"another merge or copy into {printable(str(target))} is running: {who}",
        "Wait until it has ended, or choose another --out.",
    )


def _unlockable(path: Path, reason: str) -> DoctorError:
    if os.path.lexists(path):
        return refused(
            f"the lock {printable(str(path))} cannot be used: {reason}",
            "Look at what it is and remove it, or choose another --out.",
        )
    return _unwritable(path.parent, reason)


def _unwritable(parent: Path, reason: str) -> DoctorError:
    permissions = ", or correct the permissions of that directory" if "ermission" in reason else ""
    return refused(f"{printable(str(parent))} cannot be written to: {reason}", f"Choose another --out{permissions}.")


def new_staging_dir(target: Path) -> Path:
    """Return an unused path for a staging directory beside the target."""
    return target.parent / f".{target.name}.{WORD}-{os.getpid()}-{os.urandom(8).hex()}"


def create_staging_dir(path: Path, target: Path, *, keep: bool = False) -> int:
    """Create an empty staging directory, recorded as one, and return its inode. Raises `MergeRefused`.

    `keep` says that after the swap the replaced directory stays at `path`, as the caller's backup.
    """
    old = inspect_path(target).inode or None
    StagingRecord(target=target, staging_dir=path, made=None, replaced=old, keep=keep).write()
    try:
        os.mkdir(path, 0o700)
    except OSError as error:
        raise _unwritable(target.parent, os.strerror(error.errno or 0).lower()) from error
    made = inspect_path(path).inode
    StagingRecord(target=target, staging_dir=path, made=made, replaced=old, keep=keep).write()
    return made


def discard(path: Path, inode: int) -> None:
    """Delete the directory of that inode at `path` as far as possible; another one stays, unless it is empty."""
    if inspect_path(path).inode == inode:
        shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(path)


def atomic_swap(staging_dir: Path, target: Path) -> bool:
    """Make `staging_dir` the target in one step; return whether a replaced directory is at `staging_dir` now.

    Raises `OSError`.
    """
    sync_directory(staging_dir)
    if inspect_path(target).kind == "missing":
        os.rename(staging_dir, target)
        sync_directory(target.parent)
        return False
    try:
        _exchange(staging_dir, target)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
        aside = Path(f"{staging_dir}{ASIDE}")
        try:
            os.rename(target, aside)
            os.rename(staging_dir, target)
        except BaseException:
            if inspect_path(target).kind == "missing":
                os.rename(aside, target)
            raise
        os.rename(aside, staging_dir)
    sync_directory(target.parent)
    return True


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        call = getattr(libc, "renamex_np", None)
        result = call(first, second, ctypes.c_uint(_EXCHANGE)) if call else None
    else:
        call = getattr(libc, "renameat2", None)
        result = call(_AT_CWD, first, _AT_CWD, second, ctypes.c_uint(_EXCHANGE)) if call else None
    if result is None:
        raise OSError(errno.ENOSYS, "no exchange of names")
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(other))
