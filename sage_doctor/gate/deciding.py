"""From a question to a decision: an earlier result where one still holds, else an examination, one at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.gate.context import GateContext, OnFinding, OnProgress
from sage_doctor.gate.decision import Decision, ModelLocation, failed
from sage_doctor.gate.environment import read_environment, since_boot_s
from sage_doctor.gate.gate_lock import gate_lock
from sage_doctor.gate.memory import short_of
from sage_doctor.gate.record import CachedResult, ResultCache
from sage_doctor.gate.request import DEFAULT_TIMEOUT_S, GateRequest
from sage_doctor.gate.reuse import age_s, outdated
from sage_doctor.manifest import find_manifest, load_for_host
from sage_doctor.manifest.durations import format_duration
from sage_doctor.system.fingerprint import Watched
from sage_doctor.system.state_directory import state_directory

FOLDER: Final = "gate"
_LAST: Final = "last-verdict"
# What the examination leaves of the time, so that it can still say how far it came.
LEFT_FOR_DECISION_S: Final = 1.0


def decide(
    gate_request: GateRequest,
    environ: Mapping[str, str],
    *,
    on_progress: OnProgress,
    on_finding: OnFinding,
    tell_limit: Callable[[float], None] = lambda _seconds: None,
) -> Decision:
    """Return whether a session of the role may start, and why.

    `on_progress` is told what is done meanwhile, `on_finding` gets every finding that is an error as soon as it is
    made, and `tell_limit` the seconds that the manifest gives a decision. Never raises but for an interrupt and faults
    of the doctor itself.
    """
    try:
        context = _ground(gate_request, environ, tell_limit)
    except DoctorError as error:
        return failed(gate_request.role, error)
    last = _last_words(context) if gate_request.on_change else None
    try:
        decision = _decide(context, on_progress, on_finding)
    except DoctorError as error:
        decision = failed(gate_request.role, error)
    return decision if last is None else replace(decision, news=_remember(context, decision) != last)


def _last_words(context: GateContext) -> list[str]:
    """Return the verdict of last time, and take it back until there is a new one: one that was cut short is news."""
    record = context.records.read(_LAST, *context.key)
    said = [str(word) for word in record.body.get("said", [])] if record is not None else []
    _write_words(context, [])
    return said


def _remember(context: GateContext, decision: Decision) -> list[str]:
    said: list[str] = [decision.state, *sorted(decision.codes)]
    _write_words(context, said)
    return said


def _write_words(context: GateContext, said: list[str]) -> None:
    record = CachedResult(
        environment={}, watched={}, level="static", taken_s=since_boot_s(), taken_at="", body={"said": said}
    )
    context.records.write(record, _LAST, *context.key)


def _ground(gate_request: GateRequest, environ: Mapping[str, str], tell_limit: Callable[[float], None]) -> GateContext:
    began = time.time()
    cwd = Path(gate_request.cwd or os.getcwd())
    found = cwd / gate_request.manifest if gate_request.manifest is not None else find_manifest(cwd, environ)
    if found is None:
        raise UsageError(
            "no sage-doctor.toml in this directory or above; name one with --manifest or SAGE_DOCTOR_MANIFEST"
        )
    manifest = load_for_host(found).for_role(gate_request.role)
    timeout_s = gate_request.timeout_s or manifest.gate.timeout_s or DEFAULT_TIMEOUT_S
    tell_limit(timeout_s)
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    return GateContext(
        gate_request=replace(gate_request, cwd=str(cwd), manifest=str(found)),
        manifest=manifest,
        environment=read_environment(manifest.python, environ),
        records=ResultCache(state_directory(environ, home) / FOLDER),
        environ=environ,
        until=began + max(timeout_s / 2, timeout_s - LEFT_FOR_DECISION_S),
        begun_s=since_boot_s(),
    )


def _decide(context: GateContext, on_progress: OnProgress, on_finding: OnFinding) -> Decision:
    role = context.gate_request.role
    why = "a fresh result was asked for"
    if not context.gate_request.fresh:
        on_progress("looking at the recorded result")
        record = context.records.read(role, *context.key)
        why = _outdated(context, record) or ""
        if record is not None and not why:
            return _recorded(context, record)
    lock = context.records.path(role, *context.key).with_suffix(".lock")
    with gate_lock(lock, what=f"role {role}", until=context.until, on_progress=on_progress) as mine:
        if mine.waited:
            record = context.records.read(role, *context.key)
            if record is not None and record.taken_s >= context.begun_s and not _outdated(context, record, red=True):
                return _recorded(context, record)
        from sage_doctor.gate.examination import examine_role  # noqa: PLC0415 - brings pytest; a recorded result needs none of it

        decision = examine_role(context, why, on_progress, on_finding)
    notes = [n for n in (mine.problem, context.records.problem) if n is not None]
    return replace(decision, notes=(*decision.notes, *notes[:1]))


def _outdated(context: GateContext, record: CachedResult | None, *, red: bool = False) -> str | None:
    """Return why a role's record does not answer the question, None where it does.

    A red one never does: whatever was mended since must be seen. Only who has waited for it (`red`) takes it.
    """
    words = outdated(
        record,
        context.environment,
        level=context.gate_request.level,
        max_age_s=context.max_age_s,
        directory=context.directory,
    )
    if words is not None or record is None:
        return words
    try:
        return _unfit(context, record.body, record.watched, red=red)
    except (KeyError, TypeError, AttributeError, ValueError):
        return "what is recorded is damaged"


def _unfit(context: GateContext, body: Mapping[str, Any], watched: Watched, *, red: bool) -> str | None:
    places = {place["path"] for name, place in body["models"].items() if name not in context.manifest.services}
    if not {str(context.manifest.path), *places} <= watched.keys():
        return "what is recorded does not say what it depends on"
    if body["state"] != "open" and not (red and body["fail_on"] == context.gate_request.fail_on):
        return "the last result kept sessions out"
    if context.gate_request.fail_on == "warning" and body["verdict"] not in ("healthy", "unhealthy"):
        return "the last result has warnings"
    if body["uncacheable"]:
        return "some of it must be asked every time"
    if short_of(int(body["memory_needed"])):
        return "memory is shorter now than the models need"
    return None


def _recorded(context: GateContext, record: CachedResult) -> Decision:
    body = record.body
    age = format_duration(age_s(record))
    state = body["state"]
    same = f"{body['reason']}; found {age} ago, nothing changed since" if state == "open" else body["reason"]
    return Decision(
        state=state,
        role=context.gate_request.role,
        reason=same,
        details=tuple(body["details"]),
        codes=tuple(body["codes"]),
        recorded=True,
        models={name: ModelLocation(**place) for name, place in body["models"].items()},
        report=body["report"],
    )
