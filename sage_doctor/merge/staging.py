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
from sage_doctor.system.atomic_write import sync_directory
from sage_doctor.system.file_lock import LockHeld, LockUnavailable, file_lock
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable

UNFINISHED = "sage-doctor-merge.unfinished"  # in a staging directory until it is written and verified
_WORD = "sage-merge"
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of Darwin
_AT_CWD = -100
_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


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
    note = {"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time())}
    pause()
    try:
        with file_lock(
            lock_path(target), wait_s=wait_s, note=json.dumps(note), on_wait=lambda _note: pause(), remove=True
        ):
            yield
    except LockHeld as error:
        raise _busy(error.note, target) from None
    except LockUnavailable as error:
        raise _unwritable(target, error.reason) from error


def _busy(note: str, target: Path) -> DoctorError:
    try:
        holder = json.loads(note)
    except (ValueError, RecursionError):
        holder = None
    said = holder if isinstance(holder, dict) else {}
    who = f"process {printable(str(said.get('pid', '?')))} on {printable(str(said.get('host', '?')))}"
    return refused(
        f"another merge into {printable(str(target))} is running: {who}",
        "Wait until it has ended, or choose another --out.",
    )


def _unwritable(target: Path, reason: str) -> DoctorError:
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
        raise _unwritable(target, os.strerror(error.errno or 0).lower()) from error


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
