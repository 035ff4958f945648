"""The file of the history: SQLite, in the state directory, written in one short transaction per run.

A rollback journal and no WAL: state directories lie on NFS as well, where WAL's shared memory does not work. Nobody
waits longer than two seconds for another writer. A file that cannot be used is set aside, never deleted or repaired.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from sage_doctor.errors import DoctorError
from sage_doctor.system.file_lock import LockError, file_lock
from sage_doctor.system.globbing import Glob
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.trust import is_trusted
from sage_doctor.text import printable

T = TypeVar("T")

VERSION: Final = 1
MOST_ASIDE: Final = 5  # files set aside that are kept
# Together the two seconds that a run waits at most for other writers.
WAIT_TO_BEGIN_S: Final = 1.5
WAIT_TO_END_S: Final = 0.5
WAIT_ASIDE_S: Final = 1.0  # for another run that sets the same file aside

_APPLICATION: Final = 0x53444F43  # what `file` shows of it: "SDOC"
_SUFFIXES: Final = ("-journal", "-wal", "-shm", "")  # what belongs to the file is moved before it
_SCHEMA: Final = (
    """CREATE TABLE runs(
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, verb TEXT NOT NULL, level TEXT NOT NULL,
        depth INTEGER NOT NULL, machine TEXT NOT NULL, hostname TEXT NOT NULL, boot_id TEXT, manifest TEXT NOT NULL,
        targets TEXT NOT NULL, roles TEXT NOT NULL, verdict TEXT NOT NULL, exit_code INTEGER NOT NULL,
        duration_s REAL NOT NULL, jobs INTEGER NOT NULL, measured INTEGER NOT NULL, disk_free INTEGER,
        snapshot TEXT)""",
    "CREATE INDEX runs_of_a_series ON runs(machine, hostname, manifest, targets, id)",
    "CREATE TABLE findings(run INTEGER NOT NULL, code TEXT NOT NULL, severity TEXT NOT NULL, subject TEXT NOT NULL)",
    "CREATE INDEX findings_of_a_run ON findings(run)",
    """CREATE TABLE measurements(
        run INTEGER NOT NULL, subject TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, unit TEXT NOT NULL,
        budget REAL, sound INTEGER NOT NULL, cold INTEGER NOT NULL)""",
    "CREATE INDEX measurements_of_a_run ON measurements(run)",
    "CREATE INDEX measurements_of_a_subject ON measurements(subject, run)",
    "CREATE TABLE snapshots(digest TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE models(digest TEXT PRIMARY KEY, body TEXT NOT NULL)",
    """CREATE TABLE accepted(
        machine TEXT NOT NULL, hostname TEXT NOT NULL, manifest TEXT NOT NULL, subject TEXT NOT NULL,
        run INTEGER NOT NULL, PRIMARY KEY(machine, hostname, manifest, subject))""",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)


class Unusable(Exception):
    """The path holds no history of this version; the text says what it is instead."""


def change(path: Path, work: Callable[[sqlite3.Connection], None]) -> list[str]:
    """Do `work` in one transaction on the history at `path`, and return what a person should be told.

    Never raises for what the disk holds or lacks: the notices say what was set aside, or why nothing was written.
    """
    notices: list[str] = []
    if not is_trusted(path):
        return notices  # the command says so at its end
    for last in (False, True):
        judged = _inode(path)
        try:
            _change_once(path, work)
        except Unusable as error:
            notices += _set_aside(path, judged, str(error))
            if not last:
                continue
        except (sqlite3.Error, OSError) as error:
            notices.append(f"the history {printable(str(path))} could not be written: {_reason(error)}")
        break
    return notices


def _change_once(path: Path, work: Callable[[sqlite3.Connection], None]) -> None:
    _require_file(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600))
    with contextlib.closing(_connect(path, WAIT_TO_BEGIN_S)) as connection, _unusable_if_broken(path):
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        _create_tables(connection)
        work(connection)
        connection.execute(f"PRAGMA busy_timeout = {int(WAIT_TO_END_S * 1000)}")
        connection.execute("COMMIT")


def read(path: Path, ask: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
    """Return what `ask` finds in the history at `path`; `otherwise` where there is none that is ours.

    Raises `DoctorError` where there is one that cannot be read.
    """
    if inspect_path(path).kind == "missing" or not is_trusted(path):
        return otherwise
    try:
        _require_file(path)
        with contextlib.closing(_connect(path, WAIT_TO_END_S, mode="rw")) as connection, _unusable_if_broken(path):
            if _is_empty(connection):
                return otherwise
            return ask(connection)
    except Unusable as error:
        raise DoctorError(f"the history {printable(str(path))} {error}; the next check sets it aside") from error
    except (sqlite3.Error, OSError) as error:
        raise DoctorError(f"the history {printable(str(path))} cannot be read: {_reason(error)}") from error


def _require_file(path: Path) -> None:
    node = inspect_path(path)
    if node.kind in ("directory", "special", "loop"):
        raise Unusable(f"is {node.detail or 'a directory'}, not a file")


def _connect(path: Path, wait_s: float, mode: str = "rwc") -> sqlite3.Connection:
    address = f"file:{quote(os.fsencode(path))}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=wait_s, isolation_level=None)


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Return whether nothing was ever written here. Raises `Unusable` for another program's or version's file."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == VERSION:
        return False
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        return True
    if version > VERSION:
        raise Unusable(f"has schema version {version}, of a newer sage-doctor than this one")
    raise Unusable("is a database of another program")


def _create_tables(connection: sqlite3.Connection) -> None:
    if _is_empty(connection):
        for statement in _SCHEMA:
            connection.execute(statement)


@contextlib.contextmanager
def _unusable_if_broken(path: Path) -> Iterator[None]:
    """Raise `Unusable` for errors that say that the file is broken; busy, full and forbidden are no such errors."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        broken = ("no such table", "no such column", "has no column", "malformed", "file format", "decode to UTF-8")
        # A damaged header can declare a file that may be written to as read-only.
        pretends = "readonly" in text and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        if pretends or any(word in text for word in broken):
            raise Unusable(f"is damaged ({text})") from error
        raise
    except (sqlite3.ProgrammingError, sqlite3.NotSupportedError):
        raise
    except sqlite3.DatabaseError as error:
        raise Unusable(f"is damaged ({error})") from error


def _reason(error: Exception) -> str:
    if isinstance(error, LockError):
        return error.reason
    if isinstance(error, OSError):
        return os.strerror(error.errno or 0).lower()
    busy = "locked" in str(error)
    return "another process held it for two seconds" if busy else printable(str(error), limit=200)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        own = os.lstat(path)
    except OSError:
        return None
    return own.st_dev, own.st_ino


def _set_aside(path: Path, judged: tuple[int, int] | None, reason: str) -> list[str]:
    """Move what lies at `path` out of the way, unless another process has done so since it was judged."""
    shown = printable(str(path))
    try:
        with file_lock(path.with_name(f"{path.name}.lock"), wait_s=WAIT_ASIDE_S, remove=True):
            if judged is None or _inode(path) != judged:
                return []
            target = _free_name(path)
            for suffix in _SUFFIXES:
                if os.path.lexists(f"{path}{suffix}"):
                    os.rename(f"{path}{suffix}", f"{target}{suffix}")
            _sweep(path)
    except (OSError, LockError) as error:
        return [f"the history {shown} {reason}, and cannot be set aside: {_reason(error)}"]
    return [f"the history {shown} {reason}; it was kept as {printable(target.name)}, and a new one was started"]


def _free_name(path: Path) -> Path:
    stem = f"{path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    names = (stem, *(f"{stem}-{number}" for number in range(1, 1000)))
    return path.with_name(next(n for n in names if not os.path.lexists(path.with_name(n))))


def _sweep(path: Path) -> None:
    """Delete the oldest of the files set aside; links and directories are not ours, and stay."""
    kept = sorted(
        Path(p)
        for p in Glob(pattern=f"{path.name}.corrupt-*Z*", directory=path.parent).paths()
        if not p.endswith(_SUFFIXES[:3])
    )
    for old in [p for p in kept if p.is_file() and not p.is_symlink()][:-MOST_ASIDE]:
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{old}{suffix}")
