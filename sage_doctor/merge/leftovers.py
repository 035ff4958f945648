"""What killed merges left beside a target. Only what this user's own records name is put back or deleted.

A directory of a telling name may come from a downloaded archive or from another user. So each merge writes a record
into this user's state directory, where neither can write: the name of its staging directory, and the inodes of that
and of the directory that it replaces.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_doctor.errors import DoctorError
from sage_doctor.system.atomic_write import atomic_write
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.state_directory import state_directory
from sage_doctor.text import shell_quote

WORD = "sage-merge"
ASIDE = "-replaced"  # after the staging directory's name: the old model, between two renames
_MOST_BYTES = 1 << 16


@frozen
class Leftover:
    """A directory that was found beside the target, and what was done with it."""

    path: Path
    what: str


@frozen
class StagingRecord:
    """The record of a merge that is under way into `target`. `keep` says that the replaced directory is a backup."""

    target: Path
    staging_dir: Path
    made: int | None
    replaced: int | None
    keep: bool

    def write(self) -> None:
        """Write the record; without a state directory the next merge leaves what this one leaves, and says so."""
        path = _record_path(self.target)
        note = {
            "target": str(self.target), "staging": self.staging_dir.name, "made": self.made,
            "replaced": self.replaced, "keep": self.keep,
        }  # fmt: skip
        with contextlib.suppress(OSError, DoctorError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic_write(path, json.dumps(note) + "\n")


def forget(target: Path) -> None:
    """Delete the record of a merge that has ended."""
    with contextlib.suppress(OSError):
        os.unlink(_record_path(target))


def _record_path(target: Path) -> Path:
    key = hashlib.sha256(os.fsencode(f"{socket.gethostname()}\0{target}")).hexdigest()
    return state_directory(os.environ, Path(os.path.expanduser("~"))) / "merges" / f"{key[:32]}.json"


def _read_record(target: Path) -> StagingRecord | None:
    """Return the record of a merge into the target, if only this user can have written it."""
    path = _record_path(target)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or not (_is_private(found) and _is_private(os.lstat(path.parent))):
            return None
        note: Mapping[str, Any] = json.loads(os.read(handle, _MOST_BYTES))
        staging, made, replaced = note["staging"], note["made"], note["replaced"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    finally:
        os.close(handle)
    if note.get("target") != str(target) or not isinstance(staging, str) or "/" in staging:
        return None
    return StagingRecord(
        target=target, staging_dir=target.parent / staging, made=made, replaced=replaced, keep=bool(note.get("keep"))
    )


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def remove_leftovers(target: Path) -> list[Leftover]:
    """Put back or delete what killed merges left beside a target. Call it with the lock held.

    An unfinished merge is deleted. The model that was being replaced is put back if the target is missing (the kill
    came between two renames), else it is deleted; a backup of `fix` stays. Whatever no record names is only reported.
    """
    done = []
    record = _read_record(target)
    if record is not None:
        for path in (Path(f"{record.staging_dir}{ASIDE}"), record.staging_dir):
            done += _dealt_with(path, record)
        forget(target)
    kept = {left.path for left in done}
    done += [Leftover(path=p, what=_foreign(p)) for p in _similar(target) if p not in kept]
    return done


def _dealt_with(path: Path, record: StagingRecord) -> list[Leftover]:
    node = inspect_path(path)
    if node.kind != "directory" or node.is_link or node.device != inspect_path(path.parent).device:
        return []
    if record.made is None and node.uid == os.geteuid():  # killed before it could note the inode
        with contextlib.suppress(OSError):
            os.rmdir(path)
            return [Leftover(path=path, what="deleted: an unfinished merge")]
    if node.inode == record.made:
        return [_deleted(path, "an unfinished merge")]
    if node.inode != record.replaced:
        return []
    if inspect_path(record.target).kind == "missing":
        os.rename(path, record.target)
        return [Leftover(path=path, what=f"put back as {record.target.name}: a merge was killed while replacing it")]
    return [] if record.keep else [_deleted(path, "the model that an earlier merge replaced")]


def _deleted(path: Path, what: str) -> Leftover:
    shutil.rmtree(path, ignore_errors=True)
    if inspect_path(path).kind == "missing":
        return Leftover(path=path, what=f"deleted: {what}")
    return Leftover(path=path, what=f"{what}; it could not be deleted. To delete it: rm -r {shell_quote(path)}")


def _similar(target: Path) -> list[Path]:
    prefix = f".{target.name}.{WORD}-"
    try:
        names = sorted(n for n in os.listdir(target.parent) if n.startswith(prefix))
    except OSError:
        return []
    return [target.parent / n for n in names]


def _foreign(path: Path) -> str:
    return (
        "left as it is: no record of this user says that a merge made it. "
        f"If you know that it is not needed: rm -r {shell_quote(path)}"
    )
