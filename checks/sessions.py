"""What sessions leave behind: they still happen, and what one hands on to the next is whole and not an old copy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sage_doctor.check import Finding, Fix, Notes, check, finding
from sage_doctor.errors import DoctorError, NotApplicable
from sage_doctor.manifest.watched import HeartbeatSpec, StateSpec
from sage_doctor.subjects.host import Host
from sage_doctor.system.state_directory import state_directory
from sage_doctor.text import format_duration, join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.facts.traces import HighestNumber, SearchGaps, Trace, Traces
    from sage_doctor.history.watermarks import Counter, Mark, Watermarks

ORDER = 30  # of the check files: causes before consequences

_LARGEST_MEASURED = 1 << 53  # beyond it a float is not exact


@check("static")
def check_heartbeats(host: Host, notes: Notes) -> Iterator[Finding]:
    """Sessions have left a trace as lately as the manifest says they must."""
    manifest = host.manifest
    if manifest is None or not manifest.heartbeats:
        raise NotApplicable("no heartbeats are declared for this machine")
    from sage_doctor.facts.traces import read_traces

    for spec in manifest.heartbeats.values():
        traces = read_traces(spec.paths, manifest.directory)
        newest = traces.newest
        if newest is not None:
            hours = max(0.0, newest.age_s) / 3600
            notes.measure(f"heartbeat_{spec.name}_age_h", hours, "h", budget=spec.max_age_s / 3600)
        if newest is None or newest.age_s > spec.max_age_s:
            yield _stale(host, spec, traces)


def _stale(host: Host, spec: HeartbeatSpec, traces: Traces) -> Finding:
    newest, ahead = traces.newest, traces.ahead
    said = []
    if newest is not None:
        over = format_duration(newest.age_s - spec.max_age_s)
        said.append(
            f"the newest trace, {_below(host, newest.path)}, is {format_duration(newest.age_s)} old: {over} more than "
            f"the {format_duration(spec.max_age_s)} allowed"
        )
    elif ahead is None:
        absent = f" ({join_limited([_below(host, p) for p in traces.absent])} does not exist)" if traces.absent else ""
        said.append(f"no file matches {join_limited(list(spec.paths))}{absent}")
    if ahead is not None:
        said.append(_ahead(host, ahead))
    said += _unseen(host, traces.unseen)
    return finding(
        "heartbeat-stale",
        "; ".join(said),
        subject=f"heartbeat:{spec.name}",
        evidence={
            "patterns": list(spec.paths),
            "directory": str(host.manifest.directory) if host.manifest is not None else "",
            "matches": traces.count,
            "max_age_s": spec.max_age_s,
            **({"newest_file": newest.path, "age_s": round(newest.age_s, 1)} if newest is not None else {}),
            **({"future_file": ahead.path, "ahead_s": round(-ahead.age_s, 1)} if ahead is not None else {}),
        },
        fix=_look_at_the_clock() if newest is None and ahead is not None else _look_at_the_timer(host),
    )


def _ahead(host: Host, trace: Trace) -> str:
    return (
        f"{_below(host, trace.path)} is dated {format_duration(-trace.age_s)} in the future: this clock was set back, "
        "or was wrong when the file was written"
    )


def _look_at_the_clock() -> Fix:
    return Fix(
        summary="Compare the clock with another one and set it. Until then, the ages of files mean nothing.",
        commands=("date",),
    )


def _look_at_the_timer(host: Host) -> Fix:
    timers = (
        ("launchctl list",)
        if host.machine.platform.startswith("macOS")
        else ("systemctl list-timers --all", "crontab -l")
    )
    return Fix(summary="See when the timer last ran and how it ended; then start one session by hand.", commands=timers)


def _unseen(host: Host, unseen: SearchGaps) -> list[str]:
    told = [f"{_below(host, p)} could not be listed ({why})" for p, why in unseen.unreadable.items()]
    return told + (["there are more files than sage-doctor reads"] if unseen.cut else [])


def _below(host: Host, path: str) -> str:
    """Return a path for messages, relative to the manifest where it lies below it."""
    start = f"{host.manifest.directory}/" if host.manifest is not None else "/"
    return printable(os.path.normpath(path[len(start) :]) if path.startswith(start) else path, limit=300)


@check("static")
def check_states(host: Host, notes: Notes) -> Iterator[Finding]:
    """The state that sessions hand on can be read, and its counters have not gone backwards."""
    manifest = host.manifest
    if manifest is None or not manifest.states:
        raise NotApplicable("no state files are declared for this machine")
    from sage_doctor.facts.session_state import read_session_state
    from sage_doctor.facts.traces import read_numbers
    from sage_doctor.history.watermarks import Counter, Watermarks

    record = _Record(Watermarks(directory=state_directory(host.environ, host.home)))
    for spec in manifest.states.values():
        state = read_session_state(spec.path, spec.counter)
        if state.problem:
            yield _invalid(spec, f"{printable(state.where, limit=200)}: {state.problem}")
        elif state.counter is not None and spec.counter is not None:
            if abs(state.counter) < _LARGEST_MEASURED:
                notes.measure(f"state_{spec.name}", state.counter, "")
            key = Counter(str(manifest.path), spec.name, spec.counter)
            numbered = read_numbers(spec.min_from_glob, manifest.directory) if spec.min_from_glob is not None else None
            regressed = _regressed(host, spec, state.counter, record.marks.marks.get(key), numbered)
            unheld = _unheld(host, spec, numbered)
            if regressed is not None:
                yield regressed
            elif unheld is not None:
                yield unheld
            else:
                record.keep(key, state.counter)
    if record.trouble:
        yield _unrecorded(record)


class _Record:
    """The watermarks during one check. What cannot be read or written is gathered; states are judged all the same."""

    def __init__(self, store: Watermarks) -> None:
        from sage_doctor.history.watermarks import Marks

        self.store = store
        self.marks = Marks()
        self.trouble: dict[str, None] = {}
        self.aside = ""
        try:
            self.marks = store.read()
        except DoctorError as error:
            self.trouble[str(error)] = None
        if self.marks.damage:
            self.trouble[f"{printable(str(store.path))} was damaged ({self.marks.damage})"] = None

    def keep(self, key: Counter, value: float) -> None:
        """Write the value down where it is higher than what is on record."""
        mark = self.marks.marks.get(key)
        if mark is not None and value <= mark.value:
            return
        try:
            self.aside = self.store.raise_to(key, value) or self.aside
        except DoctorError as error:
            self.trouble[str(error)] = None


def _unrecorded(record: _Record) -> Finding:
    said = "; ".join(record.trouble)
    if record.aside:
        said += f"; it was moved to {printable(record.aside)}, and a new one was started"
    return finding(
        "state-unrecorded",
        said,
        evidence={"file": str(record.store.path), **({"aside": record.aside} if record.aside else {})},
        fix=Fix(
            summary="Nothing to do: values are recorded again from now on."
            if record.aside
            else "Let this user write there, or set STATE_DIRECTORY or XDG_STATE_HOME to a persistent directory."
        ),
    )


def _invalid(spec: StateSpec, message: str) -> Finding:
    return finding(
        "state-invalid",
        message,
        subject=f"state:{spec.name}",
        evidence={"file": str(spec.path), **({"counter": spec.counter} if spec.counter else {})},
        fix=Fix(
            summary="Keep a copy of the file. Then restore the last good version from version control or a backup, "
            "before the next session overwrites it.",
            commands=(_past(spec),),
        ),
    )


def _unheld(host: Host, spec: StateSpec, numbered: HighestNumber | None) -> Finding | None:
    """Return why a counter cannot be compared with the numbers of files, or None. No file at all is the beginning."""
    if numbered is None or not (numbered.unseen or (numbered.count and numbered.number is None)):
        return None
    why = "; ".join(_unseen(host, numbered.unseen)) or "none of the names has a number where its wildcards are"
    return finding(
        "state-invalid",
        f"{spec.counter} cannot be compared with {printable(spec.min_from_glob or '', limit=200)}: {why}",
        severity="warning",
        subject=f"state:{spec.name}",
        evidence={"file": str(spec.path), "at_least": spec.min_from_glob, "matches": numbered.count},
        fix=Fix(summary="Correct the permissions of that directory, or min_from_glob in the manifest."),
    )


def _regressed(
    host: Host, spec: StateSpec, value: float, mark: Mark | None, numbered: HighestNumber | None
) -> Finding | None:
    was = mark if mark is not None and value < mark.value else None
    file = numbered if numbered is not None and numbered.number is not None and value < numbered.number else None
    if was is None and file is None:
        return None
    said = []
    if was is not None:
        said.append(f"was {_number(was.value)} before ({printable(was.at, limit=40)})")
    if file is not None:
        said.append(f"{_below(host, file.path or '')} exists")
    manifest = shell_quote(host.manifest.path if host.manifest else "")
    accept = f"sage-doctor history accept {shell_quote(spec.name)} --manifest {manifest}"
    meant = (
        "If it was reset on purpose, `sage-doctor history accept` shows both values and asks."
        if was is not None
        else "If it was reset on purpose, move the files with higher numbers away."
    )
    return finding(
        "state-regressed",
        f"{spec.counter} is {_number(value)} in {printable(spec.path.name, limit=200)}, but {' and '.join(said)}",
        subject=f"state:{spec.name}",
        evidence={
            "file": str(spec.path),
            "counter": spec.counter,
            "value": value,
            **({"highest": was.value, "recorded_at": was.at} if was is not None else {}),
            **({"highest_file": file.path, "highest_number": file.number} if file is not None else {}),
        },
        fix=Fix(
            summary="Start no session. Find the newer state, in version control or on another machine, and restore it. "
            + meant,
            commands=(_past(spec), *([accept] if was is not None else [])),
        ),
    )


def _past(spec: StateSpec) -> str:
    return f"git -C {shell_quote(spec.path.parent)} log --oneline -5 -- {shell_quote(spec.path.name)}"


def _number(value: float) -> str:
    return printable(str(value), limit=40)
