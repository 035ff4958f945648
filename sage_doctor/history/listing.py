"""The history for a reader: runs, newest first, and what was measured, machine by machine."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sage_doctor.errors import DoctorError
from sage_doctor.history import store
from sage_doctor.history.baseline import usual
from sage_doctor.history.runs import Series, plain
from sage_doctor.system.frozen import frozen

_MOST_VALUES: Final = 500  # the newest of each measurement, for its median
_MOST_RUNS: Final = 50  # that are looked through for the last result of each model
# A role's runs are those that named it, and those without targets that had it among the machine's roles.
_RUNS: Final = (
    "SELECT * FROM runs WHERE (:manifest IS NULL OR manifest = :manifest) AND (:name IS NULL"
    " OR instr(targets, :quoted) OR (targets = '[]' AND instr(roles, :quoted))"
    " OR id IN (SELECT run FROM findings WHERE subject = :name)"
    " OR id IN (SELECT run FROM measurements WHERE subject = :name)) ORDER BY id DESC LIMIT :limit"
)


def listing(path: Path, *, manifest: str | None = None, name: str | None = None, limit: int = 20) -> dict[str, Any]:
    """Return `runs`, the newest `limit` ones, and `measurements` as JSON values: those of one manifest and one name.

    A name is that of a model or a role; None stands for all. Raises `DoctorError` where the history cannot be read.
    """
    wanted = {
        "manifest": plain(manifest) if manifest is not None else None,
        "name": plain(name) if name is not None else None,
        "quoted": json.dumps(name),
        "limit": limit,
    }

    def ask(connection: sqlite3.Connection) -> dict[str, Any]:
        connection.row_factory = sqlite3.Row
        runs = [_run(connection, row) for row in connection.execute(_RUNS, wanted)]
        return {"history": str(path), "runs": runs, "measurements": _measurements(connection, wanted)}

    return store.read(path, ask, {"history": str(path), "runs": [], "measurements": []})


@frozen
class LastResult:
    """What the newest run that examined a model said of it: its worst finding's code, None for none worth a warning."""

    at: float  # seconds since 1970
    level: str
    code: str | None


def last_results(series: Series) -> dict[str, LastResult]:
    """Return the newest result of each model of a manifest on this machine, from runs that recorded what they examined.

    Never raises for what the file holds.
    """

    def ask(connection: sqlite3.Connection) -> dict[str, LastResult]:
        found: dict[str, LastResult] = {}
        runs = connection.execute(
            "SELECT runs.id, at, level, body FROM runs JOIN snapshots ON digest = snapshot WHERE machine = ? AND"
            " hostname = ? AND manifest = ? ORDER BY runs.id DESC LIMIT ?",
            (*series.of_machine, _MOST_RUNS),
        ).fetchall()
        for run, at, level, body in runs:
            told = connection.execute("SELECT subject, code FROM findings WHERE run = ? AND severity != 'info' ORDER BY"
                                      " severity = 'warning', rowid", (run,)).fetchall()  # fmt: skip
            codes = dict(reversed(told))
            for name in json.loads(body)["models"]:
                found.setdefault(name, LastResult(at=float(at), level=level, code=codes.get(name)))
        return found

    try:
        return store.read(series.path, ask, {})
    except (DoctorError, ValueError, TypeError, KeyError, RecursionError):
        return {}  # the next run says what is wrong with the file


def _run(connection: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    findings = connection.execute("SELECT code, severity, subject FROM findings WHERE run = ?", (row["id"],))
    measured = connection.execute(
        "SELECT subject, name, value, unit, budget FROM measurements WHERE run = ?", (row["id"],)
    )
    return {
        "started_at": dt.datetime.fromtimestamp(row["at"], dt.timezone.utc).isoformat(timespec="seconds"),
        "verb": row["verb"],
        "level": row["level"],
        "machine": row["machine"],
        "hostname": row["hostname"],
        "manifest": row["manifest"],
        "targets": json.loads(row["targets"]),
        "roles": json.loads(row["roles"]),
        "verdict": row["verdict"],
        "exit_code": row["exit_code"],
        "duration_s": round(row["duration_s"], 3),
        "boot_id": row["boot_id"],
        "findings": [dict(f) for f in findings],
        "measurements": [{k: v for k, v in dict(m).items() if v is not None} for m in measured],
    }


def _measurements(connection: sqlite3.Connection, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return median, deviation and extremes of each measurement of each model on each machine."""
    groups = connection.execute(
        "SELECT machine, hostname, manifest, subject, name, unit, max(run) AS newest FROM measurements"
        " JOIN runs ON runs.id = run WHERE (:manifest IS NULL OR manifest = :manifest)"
        " AND (:name IS NULL OR subject = :name OR instr(targets, :quoted) OR instr(roles, :quoted))"
        " GROUP BY machine, hostname, manifest, subject, name ORDER BY machine, hostname, subject, min(run), name",
        wanted,
    ).fetchall()
    found = []
    for group in groups:
        rows = connection.execute(
            "SELECT value, sound, budget FROM measurements JOIN runs ON runs.id = run"
            " WHERE machine = ? AND hostname = ? AND manifest = ? AND subject = ? AND name = ?"
            " ORDER BY run DESC LIMIT ?",
            (group["machine"], group["hostname"], group["manifest"], group["subject"], group["name"], _MOST_VALUES),
        ).fetchall()
        values = [float(r["value"]) for r in rows if r["sound"]] or [float(r["value"]) for r in rows]
        known = usual(values)
        found.append(
            {
                **{key: group[key] for key in ("machine", "hostname", "manifest", "subject", "name", "unit")},
                "runs": known.runs,
                "median": round(known.median, 6),
                "deviation": round(known.deviation, 6),
                "least": round(min(values), 6),
                "most": round(max(values), 6),
                "newest": round(float(rows[0]["value"]), 6),
                **({"budget": rows[0]["budget"]} if rows[0]["budget"] is not None else {}),
            }
        )
    return found
