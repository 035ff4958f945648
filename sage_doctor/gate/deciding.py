"""From a question to a decision: an earlier result where one still holds, else an examination, one at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.gate.context import Ground, Hear, Tell
from sage_doctor.gate.decision import Decision, Place, failed
from sage_doctor.gate.environment import read_surroundings, since_boot_s
from sage_doctor.gate.fingerprint import Watched
from sage_doctor.gate.gate_lock import turn
from sage_doctor.gate.memory import short_of
from sage_doctor.gate.record import Recorded, Records
from sage_doctor.gate.request import DEFAULT_TIMEOUT_S, Question
from sage_doctor.gate.reuse import age_s, outdated
from sage_doctor.manifest import find_manifest, load_for_host
from sage_doctor.manifest.durations import spoken
from sage_doctor.system.state_directory import state_directory

FOLDER: Final = "gate"
_LAST: Final = "last-verdict"
# What the examination leaves of the time, so that it can still say how far it came.
LEFT_FOR_DECISION_S: Final = 1.0


def decide(
    question: Question,
    environ: Mapping[str, str],
    *,
    tell: Tell,
    hear: Hear,
    tell_limit: Callable[[float], None] = lambda _seconds: None,
) -> Decision:
    """Return whether a session of the role may start, and why.

    `tell` is told what is done meanwhile, `hear` gets every finding that is an error as soon as it is made, and
    `tell_limit` the seconds that the manifest gives a decision. Never raises but for an interrupt and faults of the
    doctor itself.
    """
    try:
        ground = _ground(question, environ, tell_limit)
    except DoctorError as error:
        return failed(question.role, error)
    last = _last_words(ground) if question.on_change else None
    try:
        decision = _decide(ground, tell, hear)
    except DoctorError as error:
        decision = failed(question.role, error)
    return decision if last is None else replace(decision, news=_remember(ground, decision) != last)


def _last_words(ground: Ground) -> list[str]:
    """Return the verdict of last time, and take it back until there is a new one: one that was cut short is news."""
    record = ground.records.read(_LAST, *ground.key)
    said = [str(word) for word in record.body.get("said", [])] if record is not None else []
    _write_words(ground, [])
    return said


def _remember(ground: Ground, decision: Decision) -> list[str]:
    said: list[str] = [decision.state, *sorted(decision.codes)]
    _write_words(ground, said)
    return said


def _write_words(ground: Ground, said: list[str]) -> None:
    record = Recorded(
        surroundings={}, watched={}, level="static", taken_s=since_boot_s(), taken_at="", body={"said": said}
    )
    ground.records.write(record, _LAST, *ground.key)


def _ground(question: Question, environ: Mapping[str, str], tell_limit: Callable[[float], None]) -> Ground:
    began = time.time()
    cwd = Path(question.cwd or os.getcwd())
    found = cwd / question.manifest if question.manifest is not None else find_manifest(cwd, environ)
    if found is None:
        raise UsageError(
            "no sage-doctor.toml in this directory or above; name one with --manifest or SAGE_DOCTOR_MANIFEST"
        )
    manifest = load_for_host(found).for_role(question.role)
    timeout_s = question.timeout_s or manifest.gate.timeout_s or DEFAULT_TIMEOUT_S
    tell_limit(timeout_s)
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    return Ground(
        question=replace(question, cwd=str(cwd), manifest=str(found)),
        manifest=manifest,
        surroundings=read_surroundings(manifest.python, environ),
        records=Records(state_directory(environ, home) / FOLDER),
        environ=environ,
        until=began + max(timeout_s / 2, timeout_s - LEFT_FOR_DECISION_S),
        begun_s=since_boot_s(),
    )


def _decide(ground: Ground, tell: Tell, hear: Hear) -> Decision:
    role = ground.question.role
    why = "a fresh result was asked for"
    if not ground.question.fresh:
        tell("looking at the recorded result")
        record = ground.records.read(role, *ground.key)
        why = _outdated(ground, record) or ""
        if record is not None and not why:
            return _recorded(ground, record)
    lock = ground.records.path(role, *ground.key).with_suffix(".lock")
    with turn(lock, what=f"role {role}", until=ground.until, tell=tell) as mine:
        if mine.waited:
            record = ground.records.read(role, *ground.key)
            if record is not None and record.taken_s >= ground.begun_s and not _outdated(ground, record, red=True):
                return _recorded(ground, record)
        from sage_doctor.gate.examination import examine_role  # noqa: PLC0415 - brings pytest; a recorded result needs none of it

        decision = examine_role(ground, why, tell, hear)
    notes = [n for n in (mine.problem, ground.records.problem) if n is not None]
    return replace(decision, notes=(*decision.notes, *notes[:1]))


def _outdated(ground: Ground, record: Recorded | None, *, red: bool = False) -> str | None:
    """Return why a role's record does not answer the question, None where it does.

    A red one never does: whatever was mended since must be seen. Only who has waited for it (`red`) takes it.
    """
    words = outdated(
        record,
        ground.surroundings,
        level=ground.question.level,
        max_age_s=ground.max_age_s,
        directory=ground.directory,
    )
    if words is not None or record is None:
        return words
    try:
        return _unfit(ground, record.body, record.watched, red=red)
    except (KeyError, TypeError, AttributeError, ValueError):
        return "what is recorded is damaged"


def _unfit(ground: Ground, body: Mapping[str, Any], watched: Watched, *, red: bool) -> str | None:
    places = {place["path"] for name, place in body["models"].items() if name not in ground.manifest.services}
    if not {str(ground.manifest.path), *places} <= watched.keys():
        return "what is recorded does not say what it depends on"
    if body["state"] != "open" and not (red and body["fail_on"] == ground.question.fail_on):
        return "the last result kept sessions out"
    if ground.question.fail_on == "warning" and body["verdict"] not in ("healthy", "unhealthy"):
        return "the last result has warnings"
    if body["live"]:
        return "some of it must be asked every time"
    if short_of(int(body["memory_needed"])):
        return "memory is shorter now than the models need"
    return None


def _recorded(ground: Ground, record: Recorded) -> Decision:
    body = record.body
    age = spoken(age_s(record))
    state = body["state"]
    same = f"{body['reason']}; found {age} ago, nothing changed since" if state == "open" else body["reason"]
    return Decision(
        state=state,
        role=ground.question.role,
        reason=same,
        details=tuple(body["details"]),
        codes=tuple(body["codes"]),
        recorded=True,
        models={name: Place(**place) for name, place in body["models"].items()},
        report=body["report"],
    )
