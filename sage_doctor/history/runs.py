"""The runs: recording one, and finding the last good one to compare it with."""

from __future__ import annotations

import datetime as dt
import json
import math
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.history import store
from sage_doctor.history.snapshot import Snapshot, digest
from sage_doctor.report import LEVELS, Report, Verdict
from sage_doctor.subjects.host import Host
from sage_doctor.system.frozen import frozen

REGRESSED: Final = "latency-regressed"
MOST_RUNS: Final = 5000  # of one machine: as many that measured something, and as many that did not
MOST_AGE_S: Final = 2 * 365.25 * 86400
LEAST_RUNS: Final = 100  # of one machine, however old its clock says that they are
_PRUNE_EVERY: Final = 50

_OF_MACHINE: Final = "machine = ? AND hostname = ? AND manifest = ?"
_LAST_GOOD: Final = (
    "SELECT max(id) FROM runs WHERE verdict IN ('healthy', 'degraded') AND snapshot IS NOT NULL"
    " GROUP BY machine, hostname, manifest, targets, depth, verdict"
)


@frozen
class Series:
    """The runs that can be compared with each other: of one manifest and the same targets, on one machine.

    `path` is the file they lie in. A machine is its name in the manifest together with its hostname: a pattern may
    match many hosts, and a state directory may be shared by them. No targets stand for all that the machine needs.
    """

    path: Path
    machine: str
    hostname: str
    manifest: str
    targets: tuple[str, ...] = ()

    @property
    def of_machine(self) -> tuple[str, str, str]:
        """What all series of this machine and manifest have in common."""
        return plain(self.machine), plain(self.hostname), plain(self.manifest)

    @property
    def targets_key(self) -> str:
        """The targets as they are stored: their order does not matter."""
        return json.dumps(sorted(set(self.targets)))


@frozen
class LastGoodRun:
    """The last good run of a series: when it began (seconds since 1970), its verdict, and the machine as it was."""

    at: float
    verdict: Verdict
    snapshot: Snapshot

    @property
    def started_at(self) -> str:
        """When it began, as ISO 8601 in UTC."""
        return dt.datetime.fromtimestamp(self.at, dt.timezone.utc).isoformat(timespec="seconds")


def plain(text: str) -> str:
    """Return text as SQLite can hold it: bytes of file names that are no UTF-8 become visible escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def series_of(host: Host, targets: Iterable[str] = ()) -> Series | None:
    """Return the series that a run on this host belongs to, None where no history is kept of it."""
    if host.history_file is None or host.manifest is None:
        return None
    return Series(
        path=host.history_file,
        machine=host.name,
        hostname=host.machine.hostname,
        manifest=str(host.manifest.path),
        targets=tuple(targets),
    )


def record(report: Report, snapshot: Snapshot | None, series: Series, *, verb: str, jobs: int = 1) -> list[str]:
    """Record a run, and return notices for a person: none if all went well.

    Takes two seconds at most. Never raises for what the disk holds or lacks. `jobs` is how many models were examined
    at a time: what was measured side by side is kept, and compared with nothing.
    """
    return store.change(series.path, lambda connection: _insert(connection, report, snapshot, series, verb, jobs))


def _insert(
    connection: sqlite3.Connection, report: Report, snapshot: Snapshot | None, series: Series, verb: str, jobs: int
) -> None:
    measured = [m for m in report.measurements if math.isfinite(m.value)]
    boot = snapshot.boot_id if snapshot is not None else report.machine.boot_id
    warm = {s for s in {m.subject for m in measured} if not is_cold(connection, series, s, boot)}
    cursor = connection.execute(
        "INSERT INTO runs(at, verb, level, depth, machine, hostname, manifest, targets, boot_id, roles, verdict,"
        " exit_code, duration_s, jobs, measured, disk_free, snapshot) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            dt.datetime.fromisoformat(report.started_at).timestamp(),
            verb,
            report.level,
            LEVELS.index(report.level),
            *series.of_machine,
            plain(series.targets_key),
            boot,
            json.dumps(report.machine.roles),
            report.verdict,
            report.exit_code,
            report.duration_s,
            jobs,
            int(bool(measured)),
            snapshot.disk_free if snapshot is not None else None,
            _store_snapshot(connection, snapshot) if snapshot is not None else None,
        ),
    )
    run = cursor.lastrowid or 0
    connection.executemany(
        "INSERT INTO findings VALUES (?,?,?,?)",
        [(run, plain(f.code), f.severity, plain(f.subject)) for f in report.findings],
    )
    unhealthy = {f.subject for f in report.findings if f.severity == "error" or f.code == REGRESSED}
    connection.executemany(
        "INSERT INTO measurements VALUES (?,?,?,?,?,?,?,?)",
        [
            (
                *(run, plain(m.subject), plain(m.name), m.value, plain(m.unit), m.budget),
                *(int(m.subject not in unhealthy), int(m.subject not in warm)),
            )
            for m in measured
        ],
    )
    if run % _PRUNE_EVERY == 0:
        prune(connection, time.time())


def is_cold(connection: sqlite3.Connection, series: Series, subject: str, boot_id: str | None) -> bool:
    """Return whether nothing was measured of this model since the machine started: it comes from disk, not memory."""
    if boot_id is None:
        return False
    known = connection.execute(
        f"SELECT 1 FROM measurements JOIN runs ON runs.id = run WHERE {_OF_MACHINE} AND boot_id = ?"  # noqa: S608 - our own words
        " AND subject = ? LIMIT 1",
        (*series.of_machine, boot_id, plain(subject)),
    )
    return known.fetchone() is None


def _store_snapshot(connection: sqlite3.Connection, snapshot: Snapshot) -> str:
    """Store a snapshot and its models where they are not there yet, and return the snapshot's digest."""
    bodies = [state.body() for state in snapshot.models.values()]
    connection.executemany("INSERT OR IGNORE INTO models VALUES (?,?)", [(digest(b), b) for b in bodies])
    body = snapshot.body()
    connection.execute("INSERT OR IGNORE INTO snapshots VALUES (?,?)", (digest(body), body))
    return digest(body)


def prune(connection: sqlite3.Connection, now: float) -> None:
    """Delete what is too old or too much, but never the last good run of a series at a level."""
    for machine, hostname in connection.execute("SELECT DISTINCT machine, hostname FROM runs").fetchall():
        for measured in (0, 1):
            ours = (machine, hostname, measured)
            connection.execute(
                "DELETE FROM runs WHERE machine = ? AND hostname = ? AND measured = ?"  # noqa: S608 - our own words
                f" AND id NOT IN ({_LAST_GOOD}) AND (id <= ? OR (at < ? AND id <= ?))",
                (*ours, _nth(connection, ours, MOST_RUNS), now - MOST_AGE_S, _nth(connection, ours, LEAST_RUNS)),
            )
    connection.execute("DELETE FROM findings WHERE run NOT IN (SELECT id FROM runs)")
    connection.execute("DELETE FROM measurements WHERE run NOT IN (SELECT id FROM runs)")
    gone = connection.execute(
        "DELETE FROM snapshots WHERE digest NOT IN (SELECT snapshot FROM runs WHERE snapshot NOT NULL)"
    )
    if gone.rowcount:
        bodies = (json.loads(body) for (body,) in connection.execute("SELECT body FROM snapshots"))
        used = {model for body in bodies for model in body["models"].values()}
        stored = {model for (model,) in connection.execute("SELECT digest FROM models")}
        connection.executemany("DELETE FROM models WHERE digest = ?", [(m,) for m in stored - used])


def _nth(connection: sqlite3.Connection, ours: tuple[str, str, int], number: int) -> int:
    """Return the id of the newest run after the `number` newest ones, 0 where there are no more than those."""
    row = connection.execute(
        "SELECT id FROM runs WHERE machine = ? AND hostname = ? AND measured = ? ORDER BY id DESC LIMIT 1 OFFSET ?",
        (*ours, number),
    ).fetchone()
    return int(row[0]) if row is not None else 0


def last_good_run(series: Series, report: Report) -> LastGoodRun | None:
    """Return the last good run that `report` can be compared with, None where there is none or it cannot be read.

    For a degraded run that is a healthy one; for an unhealthy or unknown one also a degraded one: it worked. It went
    at least as deep as the deepest check that failed now. Never raises for what the file holds.
    """
    verdicts = ("healthy",) if report.verdict == "degraded" else ("healthy", "degraded")
    bad = {"fail", "error"} | ({"warn"} if report.verdict == "degraded" else set())
    depth = max((LEVELS.index(c.level) for c in report.checks if c.status in bad), default=0)

    def ask(connection: sqlite3.Connection) -> LastGoodRun | None:
        row = connection.execute(
            f"SELECT at, verdict, disk_free, runs.snapshot, body FROM runs JOIN snapshots ON digest = runs.snapshot"  # noqa: S608
            f" WHERE {_OF_MACHINE} AND targets = ? AND depth >= ? AND verdict IN ({','.join('?' * len(verdicts))})"
            " ORDER BY id DESC LIMIT 1",
            (*series.of_machine, plain(series.targets_key), depth, *verdicts),
        ).fetchone()
        if row is None:
            return None
        at, verdict, free, _, body = row
        wanted = sorted(set(json.loads(body)["models"].values()))
        models: dict[str, str] = {}
        for start in range(0, len(wanted), 500):  # SQLite takes a limited number of values
            part = wanted[start : start + 500]
            models.update(
                connection.execute(
                    f"SELECT digest, body FROM models WHERE digest IN ({','.join('?' * len(part))})",  # noqa: S608
                    part,
                )
            )
        return LastGoodRun(at=float(at), verdict=verdict, snapshot=Snapshot.from_body(body, models, free))

    try:
        return store.read(series.path, ask, None)
    except (DoctorError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None  # `record` says what is wrong with the file
