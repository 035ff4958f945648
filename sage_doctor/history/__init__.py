"""What earlier runs found on this machine: what is different now, and what is normal here.

What a command does that has examined something with a manifest (`check` does, and `gate`):

    selection = select(request)
    report = examine(request, …, selection=selection)
    if selection.host.history_file is not None:          # else nothing here needs to be imported: sqlite3 costs time
        from sage_doctor.history import RunRecorder
        recorder = RunRecorder(selection, request, verb="gate", jobs=jobs)
        report = recorder.explained(report)           # reads the file where something was measured, or is red
    …show the report…
    for notice in recorder.record(report): …one line on standard error…

The pieces, for other uses: `series_of(host, targets)` names the runs that can be compared; `take(selection)` makes a
`Snapshot`; `record(report, snapshot, series, verb=…)` records a run; `last_good_run(series, report)` finds the last
good one; `changes_since(good.snapshot, snapshot)` says what differs; `baseline_of(host)` is what checks ask. None of
them raises for what is on the disk, or waits longer than two seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sage_doctor.history.baseline import Baseline, BaselineStats, accept
    from sage_doctor.history.differences import changes_since
    from sage_doctor.history.recorder import RunRecorder
    from sage_doctor.history.runs import LastGoodRun, Series, last_good_run, record, series_of
    from sage_doctor.history.snapshot import ModelState, Snapshot, take

_HOME = {
    **dict.fromkeys(("RunRecorder",), "recorder"),
    **dict.fromkeys(("changes_since",), "differences"),
    **dict.fromkeys(("LastGoodRun", "Series", "last_good_run", "record", "series_of"), "runs"),
    **dict.fromkeys(("ModelState", "Snapshot", "take"), "snapshot"),
    **dict.fromkeys(("Baseline", "BaselineStats", "accept"), "baseline"),
}

__all__ = [
    "Baseline",
    "BaselineStats",
    "LastGoodRun",
    "ModelState",
    "RunRecorder",
    "Series",
    "Snapshot",
    "accept",
    "changes_since",
    "last_good_run",
    "record",
    "series_of",
    "take",
]


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in when the name is first used: a static run pays for what it asks."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
