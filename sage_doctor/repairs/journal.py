"""The journal of repairs: one JSON object per line, appended, never rewritten.

It is in `$STATE_DIRECTORY` (systemd sets it), else in `$XDG_STATE_HOME/sage-doctor`, by default
`~/.local/state/sage-doctor`. A line is written with one call and flushed before the disk is changed, so that after a
crash the journal names the repair in progress. A torn last line is kept and skipped.
"""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
from pathlib import Path
from typing import Any, Final, Literal

from sage_doctor.errors import DoctorError
from sage_doctor.system.file_lock import LockError, file_lock
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_range
from sage_doctor.system.state_directory import alive
from sage_doctor.system.trust import is_trusted
from sage_doctor.text import printable, redact_values

FILE_NAME: Final = "repairs.jsonl"
MOST_BYTES: Final = 4 << 20  # of the journal's end that is read
_WAIT_S: Final = 30.0

JournalEvent = Literal["begun", "repaired", "rolled-back", "failed", "interrupted", "noted"]


@frozen
class Journal:
    """The journal at `path`."""

    path: Path

    def begin(self, **fields: Any) -> str:
        """Record that a repair begins, and return the key for its result. Raises `DoctorError`."""
        key = os.urandom(6).hex()
        self.append("begun", key, pid=os.getpid(), **fields)
        return key

    def append(self, event: JournalEvent, key: str, **fields: Any) -> None:
        """Append one line and flush it. Raises `DoctorError` if that fails."""
        now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")
        kept = {"kept": fields["kept"]} if "kept" in fields else {}  # a path that is opened again
        line = json.dumps({"at": now, "event": event, "key": key, **redact_values(fields), **kept}).encode("ascii")
        line += b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with file_lock(self.path, wait_s=_WAIT_S) as held:
                _write(held.handle, line)
        except (OSError, LockError) as error:
            reason = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else error.reason
            raise DoctorError(
                f"the journal {printable(str(self.path))} cannot be written ({reason}); no repair runs without it. "
                "Set XDG_STATE_HOME to a writable directory."
            ) from error

    def entries(self) -> list[dict[str, Any]]:
        """Return the newest entries, oldest first. Skips invalid lines; never raises."""
        node = inspect_path(self.path)
        if node.kind != "file" or not is_trusted(self.path):
            return []
        start = max(0, node.size - MOST_BYTES)
        try:
            raw = read_range(self.path, start, node.size - start)
        except UnreadableFile:
            return []
        return [entry for line in raw.split(b"\n") if (entry := _entry(line)) is not None]

    def unfinished(self) -> list[dict[str, Any]]:
        """Return the repairs that were begun and have no result, by processes that no longer run."""
        open_: dict[str, dict[str, Any]] = {}
        for entry in self.entries():
            if entry["event"] == "begun":
                open_[entry["key"]] = entry
            else:
                open_.pop(entry["key"], None)
        return [e for e in open_.values() if not alive(e.get("pid"))]


def _write(handle: int, line: bytes) -> None:
    """Append a line; the lock on the journal itself is held, so nobody else does meanwhile."""
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":
        line = b"\n" + line  # whoever wrote last was killed in the midst of it
    if os.pwrite(handle, line, size) != len(line):
        raise OSError(errno.ENOSPC, "no space")
    os.fsync(handle)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(entry, dict) and isinstance(entry.get("event"), str) and isinstance(entry.get("key"), str)
    return entry if known else None
