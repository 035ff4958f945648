"""Reports of several machines side by side: which of them can run which role now.

Only the newest report of a machine counts. What an old one says was true once: nothing runs now because of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sage_doctor.report.model_comparison import Copy, Difference, ModelRow, copies, differences, model_rows
from sage_doctor.report.readiness import Readiness, readiness
from sage_doctor.report.values import Report
from sage_doctor.report.verdict import EXIT_HEALTHY, EXIT_UNHEALTHY, EXIT_UNKNOWN
from sage_doctor.text import format_duration, join_limited, printable

_AHEAD_S: Final = 300.0  # by which two clocks may differ


@dataclass(frozen=True, kw_only=True)
class MachineReport:
    """One report. `label` names its machine, `source` its file; `age` is in words. `stale` ones prove nothing."""

    label: str
    source: str
    report: Report
    age: str
    stale: bool
    roles: tuple[Readiness, ...]


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A machine that was asked and gave no report: it is unreachable, unknown, or has no doctor (not installed)."""

    label: str
    state: str
    why: str


@dataclass(frozen=True, kw_only=True)
class RoleRow:
    """One role on all machines, in their order; None where a report does not know it. `sentence` is the answer."""

    role: str
    cells: tuple[Readiness | None, ...]
    exit_code: int
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that several reports tell together.

    `exit_code` is 0 where each role runs on a machine now, 1 where one runs nowhere, 3 where that is not known.
    """

    machines: tuple[MachineReport, ...]
    roles: tuple[RoleRow, ...]
    models: tuple[ModelRow, ...]
    differences: tuple[Difference, ...]
    copies: tuple[Copy, ...]
    passed_over: tuple[str, ...]
    exit_code: int
    silent: tuple[Silence, ...] = ()

    @property
    def unsure(self) -> tuple[str, ...]:
        """Models that are alike as far as is known; hashes would tell."""
        different = {d.model for d in self.differences}
        return tuple(row.name for row in self.models if not row.sure and row.name not in different)


def compare(
    reports: Iterable[tuple[str, Report]],
    *,
    now: float,
    max_age_s: float,
    silent: tuple[Silence, ...] = (),
    by_source: bool = False,
) -> Comparison:
    """Return the reports side by side, by the name of their files. `now` is in seconds since 1970.

    `silent` are machines that were asked as well. With `by_source` a report is called by its source, the host that was
    asked, and no two of them are of one machine.
    """
    newest: dict[tuple[str, str], tuple[str, Report]] = {}
    passed_over = []
    for source, report in reports:
        key = (source, "") if by_source else (report.machine.name, report.machine.hostname)
        other = newest.get(key)
        if other is not None and _unix(other[1].started_at) > _unix(report.started_at):
            passed_over.append(source)
            continue
        if other is not None:
            passed_over.append(other[0])
        newest[key] = (source, report)
    names = [name for name, _ in newest]
    machines = tuple(
        _machine(source, report, now, max_age_s, alone=names.count(report.machine.name) == 1, by_source=by_source)
        for source, report in newest.values()
    )
    labels = [m.label for m in machines]
    unsure = [EXIT_UNKNOWN] if silent else []
    shown = [m.report for m in machines]
    models = model_rows(shown)
    unlike = differences(models, labels)
    quiet = [s.label for s in silent]
    roles = tuple(_role(role, machines, quiet) for role in dict.fromkeys(r.role for m in machines for r in m.roles))
    return Comparison(
        machines=machines,
        roles=roles,
        models=models,
        differences=unlike,
        copies=copies(models, shown, labels, [m.stale for m in machines], {d.model for d in unlike}),
        passed_over=tuple(passed_over),
        exit_code=worst([r.exit_code for r in roles] or [*unsure, *(m.report.exit_code for m in machines)]),
        silent=silent,
    )


def _machine(
    source: str, report: Report, now: float, max_age_s: float, *, alone: bool, by_source: bool
) -> MachineReport:
    age_s = now - _unix(report.started_at)
    name, host = printable(report.machine.name, limit=100), printable(report.machine.hostname, limit=100)
    return MachineReport(
        label=printable(source, limit=100) if by_source else name if alone else f"{name} ({host})",
        source=source,
        report=report,
        age=f"{format_duration(age_s)} ago" if age_s >= -_AHEAD_S else "dated in the future",
        stale=not -_AHEAD_S <= age_s <= max_age_s,
        roles=readiness(report),
    )


def _role(role: str, machines: Sequence[MachineReport], silent: Sequence[str]) -> RoleRow:
    cells = tuple(next((r for r in m.roles if r.role == role), None) for m in machines)
    known = [(m, cell) for m, cell in zip(machines, cells, strict=True) if cell is not None]
    ready = [m.label for m, cell in known if cell.state == "ready" and not m.stale]
    old = [m.label for m, cell in known if cell.state == "ready" and m.stale]
    possible = [m.label for m, cell in known if cell.state == "possible"]
    unknown = [*(m.label for m, cell in known if cell.state == "unknown" and cell.here), *silent]
    if ready:
        return RoleRow(role=role, cells=cells, exit_code=EXIT_HEALTHY, sentence=f"runs on {join_limited(ready)}")
    told = [f"ran on {join_limited(old)} when its report was written"] if old else []
    told += [f"not known on {join_limited(unknown)}"] if unknown else []
    told += (
        [f"{join_limited(possible)}: the models are complete, but the role is not declared there"] if possible else []
    )
    code = EXIT_UNKNOWN if told else EXIT_UNHEALTHY
    return RoleRow(role=role, cells=cells, exit_code=code, sentence="; ".join(told) or "runs on none of these machines")


def worst(codes: Iterable[int]) -> int:
    """Return 1 where one of these exit codes is 1, else 3 where one is, else 0."""
    given = set(codes)
    return next((c for c in (EXIT_UNHEALTHY, EXIT_UNKNOWN) if c in given), EXIT_HEALTHY)


def _unix(text: str) -> float:
    """Return seconds since 1970, 0 where it is not a date."""
    try:
        when = dt.datetime.fromisoformat(text.removesuffix("Z"))
        return (when if when.tzinfo is not None else when.replace(tzinfo=dt.timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
