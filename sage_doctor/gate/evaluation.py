"""From a request to a decision: an earlier result if one is still valid, else an examination, one at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.gate.context import GateContext, OnFinding
from sage_doctor.gate.decision import Decision, ModelLocation, failed
from sage_doctor.gate.environment import read_environment, since_boot_s
from sage_doctor.gate.gate_lock import gate_lock
from sage_doctor.gate.memory import is_memory_short
from sage_doctor.gate.request import DEFAULT_TIMEOUT_S, GateRequest
from sage_doctor.gate.result_cache import CachedResult, ResultCache
from sage_doctor.gate.reuse import age_s, why_outdated
from sage_doctor.manifest.load import find_manifest, load_for_host
from sage_doctor.manifest.narrowing import for_role
from sage_doctor.system.activity import OnProgress
from sage_doctor.system.fingerprint import Watched
from sage_doctor.system.state_directory import state_directory
from sage_doctor.system.trust import passed_over
from sage_doctor.text import format_duration

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
    on_limit: Callable[[float], None] = lambda _seconds: None,
    on_machine: Callable[[str], None] = lambda _name: None,
) -> Decision:
    """Return whether a session of the role may start, and why.

    `on_progress` gets the stages, `on_finding` every error as soon as it is found, `on_limit` the seconds that the
    manifest allows and `on_machine` its name for this host. Raises only for an interrupt and for faults of the doctor
    itself.
    """
    try:
        context = _read_context(gate_request, environ, on_limit)
        if context.manifest.machine is not None:
            on_machine(context.manifest.machine.name)
    except DoctorError as error:
        return failed(gate_request.role, error)
    last = _take_last_verdict(context) if gate_request.on_change else None
    try:
        decision = _decide(context, on_progress, on_finding)
    except DoctorError as error:
        decision = failed(gate_request.role, error)
    if last is not None:
        decision = replace(decision, news=_keep_verdict(context, decision) != last)
    return replace(decision, notes=(*decision.notes, *passed_over()))


def _take_last_verdict(context: GateContext) -> list[str]:
    """Return the last verdict, and forget it: after a decision that is cut short, any verdict is news."""
    record = context.records.read(_LAST, *context.key)
    verdict = [str(word) for word in record.body.get("said", [])] if record is not None else []
    _write_verdict(context, [])
    return verdict


def _keep_verdict(context: GateContext, decision: Decision) -> list[str]:
    said: list[str] = [decision.state, *sorted(decision.codes)]
    _write_verdict(context, said)
    return said


def _write_verdict(context: GateContext, said: list[str]) -> None:
    record = CachedResult(
        environment={}, watched={}, level="static", taken_s=since_boot_s(), taken_at="", body={"said": said}
    )
    context.records.write(record, _LAST, *context.key)


def _read_context(
    gate_request: GateRequest, environ: Mapping[str, str], on_limit: Callable[[float], None]
) -> GateContext:
    began = time.monotonic()
    cwd = Path(gate_request.cwd or os.getcwd())
    found = cwd / gate_request.manifest if gate_request.manifest is not None else find_manifest(cwd, environ)
    if found is None:
        raise UsageError(
            "no sage-doctor.toml in this directory or above; name one with --manifest or SAGE_DOCTOR_MANIFEST"
        )
    manifest = for_role(load_for_host(found), gate_request.role)
    timeout_s = gate_request.timeout_s or manifest.gate.timeout_s or DEFAULT_TIMEOUT_S
    on_limit(timeout_s)
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    return GateContext(
        gate_request=replace(gate_request, cwd=str(cwd), manifest=str(found)),
        manifest=manifest,
        environment=read_environment(manifest.python, environ),
        records=ResultCache(state_directory(environ, home) / FOLDER),
        environ=environ,
        until=began + max(timeout_s / 2, timeout_s - LEFT_FOR_DECISION_S),
        started_s=since_boot_s(),
    )


def _decide(context: GateContext, on_progress: OnProgress, on_finding: OnFinding) -> Decision:
    role = context.gate_request.role
    why = "--no-cache was given"
    if not context.gate_request.fresh:
        on_progress("reading the recorded result")
        record = context.records.read(role, *context.key)
        why = _why_role_outdated(context, record) or ""
        if record is not None and not why:
            return _cached_decision(context, record)
    lock_file = context.records.path(role, *context.key).with_suffix(".lock")
    with gate_lock(lock_file, what=f"role {role}", until=context.until, on_progress=on_progress) as lock:
        if lock.waited:
            record = context.records.read(role, *context.key)
            if (
                record is not None
                and record.taken_s >= context.started_s
                and not _why_role_outdated(context, record, red=True)
            ):
                return _cached_decision(context, record)
        from sage_doctor.gate.examination import examine_role  # noqa: PLC0415 - brings pytest; a recorded result needs none of it

        decision = examine_role(context, why, on_progress, on_finding)
    notes = [n for n in (lock.problem, context.records.problem) if n is not None]
    return replace(decision, notes=(*decision.notes, *notes[:1]))


def _why_role_outdated(context: GateContext, record: CachedResult | None, *, red: bool = False) -> str | None:
    """Return why a role's record does not answer the request, None if it does.

    A red one never does: a repair since then must show. Only a gate that waited for it (`red`) takes it.
    """
    reason = why_outdated(
        record,
        context.environment,
        level=context.gate_request.level,
        max_age_s=context.max_age_s,
        directory=context.directory,
    )
    if reason is not None or record is None:
        return reason
    try:
        return _why_unfit(context, record.body, record.watched, red=red)
    except (KeyError, TypeError, AttributeError, ValueError):
        return "the recorded result is damaged"


def _why_unfit(context: GateContext, body: Mapping[str, Any], watched: Watched, *, red: bool) -> str | None:
    places = {place["path"] for name, place in body["models"].items() if name not in context.manifest.services}
    if not {str(context.manifest.path), *places} <= watched.keys():
        return "the recorded result does not say what it depends on"
    if body["meaning"] != context.meaning:
        return "the manifest's variables have other values"
    if body["runners"] != context.runners:
        return "other files are the role's runners"
    if body["state"] != "open" and not (red and body["fail_on"] == context.gate_request.fail_on):
        return "the last result was not open"
    if context.gate_request.fail_on == "warning" and body["verdict"] not in ("healthy", "unhealthy"):
        return "the last result has warnings"
    if body["uncacheable"]:
        return "some checks are never cached"
    if is_memory_short(int(body["memory_needed"])):
        return "less memory is free now than the models need"
    return None


def _cached_decision(context: GateContext, record: CachedResult) -> Decision:
    body = record.body
    age = format_duration(age_s(record))
    state = body["state"]
    reason = f"{body['reason']}; checked {age} ago, nothing changed since" if state == "open" else body["reason"]
    return Decision(
        state=state,
        role=context.gate_request.role,
        reason=reason,
        details=tuple(body["details"]),
        codes=tuple(body["codes"]),
        recorded=True,
        models={name: ModelLocation(**place) for name, place in body["models"].items()},
        report=body["report"],
    )
