"""The staging directory of a merge, swapped with the target in one step: a kill leaves the old model or the new one.

While a merge runs, there are beside the target its lock (`.NAME.sage-merge.lock`, held by flock, so that it is free
as soon as its process is gone) and its staging directory (`.NAME.sage-merge-…`), which becomes the target. If the
target exists, the kernel exchanges the two names at once (`renameat2(RENAME_EXCHANGE)`, on a Mac
`renamex_np(RENAME_SWAP)`); a file system without that gets two renames, and a kill between them leaves no target until
the next run puts it back.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.merge.refusal import refused
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable

UNFINISHED = "sage-doctor-merge.unfinished"  # in a staging directory until it is written and verified
_WORD = "sage-merge"
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of Darwin
_AT_CWD = -100
_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A directory that a killed merge left, and what was done with it."""

    path: Path
    what: str


def lock_path(target: Path) -> Path:
    """Return the lock of a target."""
    return target.parent / f".{target.name}.{_WORD}.lock"


@contextlib.contextmanager
def locked(target: Path, *, wait_s: float = 0.0, pause: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of a target. Raises `MergeRefused` naming the holder where it is not free within `wait_s`.

    `pause` is called several times a second while it is waited for; what it raises ends the waiting.
    """
    path = lock_path(target)
    handle = _acquire(path, target, time.monotonic() + wait_s, pause)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)  # while still held, so that nobody can have it in between
        os.close(handle)


def _acquire(path: Path, target: Path, deadline: float, pause: Callable[[], None]) -> int:
    while True:
        pause()
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise _unwritable(target, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(handle, path):
                note = {"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time())}
                os.ftruncate(handle, 0)
                os.pwrite(handle, json.dumps(note).encode(), 0)
                return handle
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(handle)
                raise _busy(path, target) from None
            time.sleep(_POLL_S)
        os.close(handle)


def _is(handle: int, path: Path) -> bool:
    """Whether the lock that was got is still the one at its path: its last holder may have taken it away."""
    own, there = os.fstat(handle), inspect_path(path)
    return (own.st_dev, own.st_ino) == (there.device, there.inode)


def _busy(path: Path, target: Path) -> DoctorError:
    note = read_json_object(path, most=4096).value or {}
    who = f"process {printable(str(note.get('pid', '?')))} on {printable(str(note.get('host', '?')))}"
    return refused(
        f"another merge into {printable(str(target))} is running: {who}",
        "Wait until it has ended, or choose another --out.",
    )


def _unwritable(target: Path, error: OSError) -> DoctorError:
    reason = os.strerror(error.errno or 0).lower()
    return refused(
        f"{printable(str(target.parent))} cannot be written to: {reason}",
        "Choose another --out, or correct the permissions of that directory.",
    )


def leftovers(target: Path) -> list[Path]:
    """Return the staging directories beside a target. While we hold its lock, no merge uses them."""
    prefix = f".{target.name}.{_WORD}-"
    try:
        names = sorted(n for n in os.listdir(target.parent) if n.startswith(prefix))
    except OSError:
        return []
    return [
        p for n in names if inspect_path(p := target.parent / n).kind == "directory" and not inspect_path(p).is_link
    ]


def remove_leftovers(target: Path) -> list[Leftover]:
    """Remove what killed merges left beside a target. Call it with the lock held.

    An unfinished staging directory is deleted. A finished directory without a target is the model that was being
    replaced when a kill came between two renames: it is put back. With a target, it is the model that was replaced.
    """
    done = []
    for path in leftovers(target):
        names = os.listdir(path)
        if UNFINISHED not in names and names and inspect_path(target).kind == "missing":
            os.rename(path, target)
            done.append(Leftover(path=path, what=f"put back as {target.name}: a merge was killed while replacing it"))
            continue
        shutil.rmtree(path)
        what = (
            "the model that an earlier merge replaced" if names and UNFINISHED not in names else "an unfinished merge"
        )
        done.append(Leftover(path=path, what=f"deleted: {what}"))
    return done


def new_staging_dir(target: Path) -> Path:
    """Return an unused path for a staging directory beside the target."""
    return target.parent / f".{target.name}.{_WORD}-{os.getpid()}-{os.urandom(4).hex()}"


def create_staging_dir(path: Path, target: Path) -> None:
    """Create an empty staging directory, marked as unfinished. Raises `MergeRefused`."""
    try:
        os.mkdir(path)
        (path / UNFINISHED).write_text(
            "A merge was killed. This directory is not used by anything.\n", encoding="ascii"
        )
    except OSError as error:
        raise _unwritable(target, error) from error


def sync_directory(path: Path) -> None:
    """Flush a directory's entries to disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def atomic_swap(staging_dir: Path, target: Path) -> Path | None:
    """Make `staging_dir` the target in one step, and return where the replaced directory lies now, if there was one.

    Raises `OSError`.
    """
    os.unlink(staging_dir / UNFINISHED)
    sync_directory(staging_dir)
    if inspect_path(target).kind == "missing":
        os.rename(staging_dir, target)
        sync_directory(target.parent)
        return None
    try:
        _exchange(staging_dir, target)
        replaced = staging_dir
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
        replaced = Path(f"{staging_dir}-replaced")
        try:
            os.rename(target, replaced)
            os.rename(staging_dir, target)
        except BaseException:
            if inspect_path(target).kind == "missing":
                os.rename(replaced, target)
            raise
    sync_directory(target.parent)
    return replaced


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
