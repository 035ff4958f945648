"""What one run does with the history: before its report is shown, and after.

What it needs is imported once it is asked for: a healthy static run has its report shown before.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING

from sage_doctor.report import Report
from sage_doctor.subjects.selection import Request, Selection

if TYPE_CHECKING:
    from sage_doctor.history.runs import Series
    from sage_doctor.history.snapshot import Snapshot


class RunRecorder:
    """What `check` and `gate` do with the history of the run they made. Neither method raises for what a disk holds."""

    def __init__(self, selection: Selection, request: Request, *, verb: str, jobs: int = 1) -> None:
        self._selection = selection
        self._request = request
        self._verb = verb
        self._jobs = jobs

    @cached_property
    def series(self) -> Series | None:
        """The series the run belongs to, None where no history is kept of it: without a manifest, or switched off."""
        from sage_doctor.history.runs import series_of  # noqa: PLC0415 - see above

        return series_of(self._selection.host, self._request.targets)

    @cached_property
    def snapshot(self) -> Snapshot | None:
        """The machine as it is when this is first asked for."""
        from sage_doctor.history.snapshot import take  # noqa: PLC0415 - see above

        return take(self._selection, deadline=self._request.deadline)

    def explained(self, report: Report) -> Report:
        """Return the report with what earlier runs measured, and what changed since the last good one if it is not."""
        if (report.verdict == "healthy" and not report.measurements) or self.series is None:
            return report
        if report.measurements:
            from sage_doctor.history.baseline import with_history  # noqa: PLC0415 - see above

            report = with_history(report, self.series)
        if report.verdict == "healthy" or self.snapshot is None:
            return report
        from sage_doctor.history.differences import changes_since  # noqa: PLC0415 - see above
        from sage_doctor.history.runs import last_good_run  # noqa: PLC0415

        good = last_good_run(self.series, report)
        if good is None:
            return report
        unhealthy = [f.subject for f in report.findings if f.severity != "info"]
        unhealthy += [c.subject for c in report.checks if c.status == "error"]
        changes = changes_since(good.snapshot, self.snapshot, unhealthy)
        return dataclasses.replace(report, changes=changes, changes_since=good.started_at)

    def record(self, report: Report) -> list[str]:
        """Record the run, and return notices about the history itself."""
        if self.series is None:
            return []
        from sage_doctor.history.runs import record  # noqa: PLC0415 - see above

        return record(report, self.snapshot, self.series, verb=self._verb, jobs=self._jobs)
