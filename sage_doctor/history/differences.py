"""What is different between two snapshots, in the order in which a person should think of it."""

from __future__ import annotations

import datetime as dt
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sage_doctor.history.snapshot import UNKNOWN, ModelState, Snapshot
from sage_doctor.report import MACHINE, Change
from sage_doctor.system.fingerprint import Fingerprint
from sage_doctor.system.mounts import read_mounts
from sage_doctor.text import format_bytes

MOST_FILES: Final = 20  # of one model that are named one by one
_LITTLE_DISK: Final = 10_000_000_000


def changes_since(before: Snapshot, after: Snapshot, unhealthy: Iterable[str] = ()) -> tuple[Change, ...]:
    """Return what differs between two snapshots of the same machine and manifest.

    Models come first, those among `unhealthy` before the others, then packages, interpreter, system and manifest. What
    one of the snapshots does not know is no difference.
    """
    first = set(unhealthy)
    names = sorted({*before.models, *after.models}, key=lambda n: (n not in first, n))
    changes = [c for name in names for c in _model(name, before.models.get(name), after.models.get(name))]
    changes += _interpreter(before, after)
    changes += _machine(before, after)
    if before.manifest and after.manifest and before.manifest != after.manifest:
        changes.append(Change(subject=MACHINE, what="manifest changed"))
    if before.doctor != after.doctor:
        changes.append(_changed("sage-doctor", before.doctor, after.doctor))
    return tuple(changes)


def _changed(what: str, before: object, after: object, subject: str = MACHINE) -> Change:
    return Change(
        subject=subject,
        what=what,
        before=str(before) if before is not None else None,
        after=str(after) if after is not None else None,
    )


def _texts(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield _changed(name, before.get(name), after.get(name))


def _interpreter(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    if before.interpreter is not None and after.interpreter is not None:
        if before.interpreter != after.interpreter:
            yield _changed("interpreter", before.interpreter, after.interpreter)
        if before.interpreter_problem != after.interpreter_problem:
            yield _changed(
                "interpreter", before.interpreter_problem or "answers", after.interpreter_problem or "answers"
            )
    if before.python and after.python and before.python != after.python:
        yield _changed("python", before.python, after.python)
    if before.packages is not None and after.packages is not None:
        yield from _texts(before.packages, after.packages)


def _machine(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    if before.boot_id and after.boot_id and before.boot_id != after.boot_id:
        yield Change(subject=MACHINE, what="rebooted")
    yield from _texts(before.system, after.system)
    old, new = before.memory_bytes, after.memory_bytes
    if old and new and abs(new - old) > old / 50:  # a kernel keeps more or less of it for itself
        yield _changed("memory", format_bytes(old), format_bytes(new))
    old, new = before.disk_free, after.disk_free
    if old is not None and new is not None and new < old / 2 and new < _LITTLE_DISK:
        yield _changed("free disk", format_bytes(old), format_bytes(new))


def _model(name: str, before: ModelState | None, after: ModelState | None) -> Iterator[Change]:
    if before is None or after is None:
        was, now = (state.path if state is not None else None for state in (before, after))
        yield _changed("model", was, now, name)
        return
    if before.path != after.path:
        yield _changed("path", before.path, after.path, name)
    if before.found != after.found:
        lacking = not after.found and read_mounts().lacking(after.path)
        now = after.path if after.found else "its disk is not mounted" if lacking else None
        yield _changed("directory", before.path if before.found else None, now, name)
    elif before.files != after.files:
        yield from _files(name, before, after)
    for key in sorted({*before.budget, *after.budget}):
        old, new = before.budget.get(key), after.budget.get(key)
        if old != new:
            yield _changed(f"budget {key}", _number(old), _number(new), name)


def _number(value: float | None) -> str | None:
    return f"{value:g}" if value is not None else None


def _files(subject: str, before: ModelState, after: ModelState) -> Iterator[Change]:
    moved = before.path != after.path  # other inodes and dates are no news then
    names = sorted({*before.files, *after.files}, key=lambda n: (n in after.files, n))  # gone ones first
    differing = [n for n in names if _differ(before.files.get(n), after.files.get(n), moved=moved)]
    for name in differing[:MOST_FILES]:
        old, new = before.files.get(name), after.files.get(name)
        was = _described(old) if old is not None else None
        now = _described(new) if new is not None else None
        if old is not None and new is not None and was == now:
            now = f"{now}, {_unseen(old, new)}"
        yield Change(subject=subject, what=f"file {name}", before=was, after=now)
    if len(differing) > MOST_FILES:
        yield Change(subject=subject, what=f"{len(differing) - MOST_FILES} more files changed")


def _differ(old: Fingerprint | None, new: Fingerprint | None, *, moved: bool) -> bool:
    if old is None or new is None:
        return True
    if moved:
        return old.size != new.size
    return any(was != now for was, now in zip(old, new, strict=True) if UNKNOWN not in (was, now))


def _unseen(old: Fingerprint, new: Fingerprint) -> str:
    """Return what became of a file whose size and date are what they were."""
    if old.inode != new.inode:
        return "replaced"
    if UNKNOWN not in (old.mode, new.mode) and old.mode != new.mode:
        return f"mode {stat.S_IMODE(old.mode):o} → {stat.S_IMODE(new.mode):o}"
    return "rewritten or renamed"


def _described(state: Fingerprint) -> str:
    try:
        when = dt.datetime.fromtimestamp(state.mtime_ns / 1e9, dt.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # a date that no calendar has
        when = "an impossible date"
    return f"{format_bytes(state.size)} of {when}"
