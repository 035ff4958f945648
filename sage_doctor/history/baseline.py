"""What a measurement usually is on this machine, and when it is out of the ordinary.

The band is the median of comparable runs, and five robust standard deviations (1.4826 times the median absolute
deviation), but never narrower than half as much again. Comparable are runs on this machine with this manifest, one
model at a time, of which the model came out without an error and without this very warning: a model that becomes
slower is reported until somebody accepts it, and never becomes its own baseline. A first run after a restart, which
reads from disk, is compared with other first runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from sage_doctor.errors import DoctorError
from sage_doctor.history import store
from sage_doctor.history.runs import Series, is_cold, plain, series_of
from sage_doctor.report import Level, Report
from sage_doctor.subjects.host import Host
from sage_doctor.system.frozen import frozen

LEAST_RUNS: Final = 5
MOST_RUNS: Final = 30
DEVIATIONS: Final = 5.0
NORMAL: Final = 1.4826  # the standard deviation of a normal distribution, in median absolute deviations

# What may be expected to vary anyway: as a part of the median, and in the measurement's own unit.
_FLOORS: Final[Mapping[str, tuple[float, float]]] = {
    "load_s": (0.5, 1.0),
    "first_token_ms": (0.5, 100.0),
    "tokens_per_s": (0.5, 0.0),
    "peak_memory_gb": (0.2, 0.2),
}
MEASURED: Final = tuple(_FLOORS)
_BY_LEVEL: Final = ("peak_memory_gb",)


@frozen
class BaselineStats:
    """Median and median absolute deviation of what was measured in `runs` runs, in the measurement's unit."""

    median: float
    deviation: float
    runs: int


def usual(values: Sequence[float]) -> BaselineStats:
    """Return what is usual among at least one value."""
    import statistics  # noqa: PLC0415 - with the fractions it needs, 2 ms of every run

    median = statistics.median(values)
    return BaselineStats(median=median, deviation=statistics.median(abs(v - median) for v in values), runs=len(values))


def limit(name: str, known: BaselineStats) -> float:
    """Return the value beyond which a measurement is out of the ordinary: a least one for a rate, else a greatest."""
    part, least = _FLOORS[name]
    margin = DEVIATIONS * NORMAL * known.deviation
    if is_rate(name):
        return min(known.median - margin, known.median / (1 + part))
    return known.median + max(margin, known.median * part, least)


def is_rate(name: str) -> bool:
    """Return whether more of it is better."""
    return name == "tokens_per_s"


def is_beyond(name: str, value: float, known: BaselineStats) -> bool:
    """Return whether a value is out of the ordinary, to the bad side."""
    return value < limit(name, known) if is_rate(name) else value > limit(name, known)


@frozen
class Baseline:
    """What checks may ask of the history: one series' machine and manifest. Asking never raises."""

    series: Series

    def values(self, subject: str, boot_id: str | None, level: Level) -> Mapping[str, list[float]]:
        """Return what a run of `level` compares with, by the name of what was measured, newest first."""

        def ask(connection: sqlite3.Connection) -> dict[str, list[float]]:
            cold = is_cold(connection, self.series, subject, boot_id)
            return {
                name: comparable(
                    connection, self.series, subject, name, cold=cold, level=level if name in _BY_LEVEL else None
                )
                for name in MEASURED
            }

        try:
            return store.read(self.series.path, ask, {})
        except (DoctorError, TypeError, ValueError):
            return {}  # `record` says what is wrong with the file


def comparable(
    connection: sqlite3.Connection,
    series: Series,
    subject: str,
    name: str,
    *,
    cold: bool | None = None,
    level: Level | None = None,
    most: int = MOST_RUNS,
) -> list[float]:
    """Return what was measured in comparable runs, newest first; of warm and cold runs, of every level, where None."""
    rows = connection.execute(
        "SELECT value FROM measurements JOIN runs ON runs.id = run"
        " WHERE machine = ?1 AND hostname = ?2 AND manifest = ?3 AND subject = ?4 AND name = ?5 AND jobs <= 1"
        " AND (?6 IS NULL OR cold = ?6) AND (?8 IS NULL OR level = ?8)"
        " AND run >= coalesce((SELECT a.run FROM accepted AS a WHERE a.machine = ?1 AND a.hostname = ?2"
        "   AND a.manifest = ?3 AND a.subject = ?4), 0)"
        " AND (sound = 1 OR run = (SELECT a.run FROM accepted AS a WHERE a.machine = ?1 AND a.hostname = ?2"
        "   AND a.manifest = ?3 AND a.subject = ?4))"
        " ORDER BY run DESC LIMIT ?7",
        (*series.of_machine, plain(subject), name, cold if cold is None else int(cold), most, level),
    )
    return [float(value) for (value,) in rows]


def with_history(report: Report, series: Series) -> Report:
    """Return the report whose measurements have what comparable earlier runs measured, oldest first. Never raises."""
    known = Baseline(series=series)
    values = {
        subject: known.values(subject, report.machine.boot_id, report.level)
        for subject in dict.fromkeys(m.subject for m in report.measurements if m.name in MEASURED)
    }
    measured = (
        replace(m, history=tuple(reversed(values.get(m.subject, {}).get(m.name, ())))) for m in report.measurements
    )
    return replace(report, measurements=tuple(measured))


def accept(series: Series, subjects: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the newest run of each model as the first of a new normal. Return the models, and what to tell a person.

    What was measured before is kept, and no longer compared with.
    """
    done: list[str] = []

    def work(connection: sqlite3.Connection) -> None:
        done.clear()
        for subject in subjects:
            newest = connection.execute(
                "SELECT max(run) FROM measurements JOIN runs ON runs.id = run"
                " WHERE machine = ? AND hostname = ? AND manifest = ? AND subject = ? AND jobs <= 1",
                (*series.of_machine, plain(subject)),
            ).fetchone()[0]
            if newest is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO accepted VALUES (?,?,?,?,?)", (*series.of_machine, plain(subject), newest)
                )
                done.append(subject)

    notices = store.change(series.path, work)
    return done, notices


def baseline_of(host: Host) -> Baseline | None:
    """Return what earlier runs measured on this machine; None where that is not known or cannot be compared with."""
    if "PYTEST_XDIST_WORKER" in host.environ:
        return None  # several models are measured side by side, each slower than by itself
    series = series_of(host)
    return Baseline(series=series) if series is not None else None
