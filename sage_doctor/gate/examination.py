"""A new examination: static checks on all that a role needs, loads only of models whose last result is outdated."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Final

from sage_doctor.gate.context import GateContext, OnFinding
from sage_doctor.gate.decision import Decision, GateState, ModelLocation, remedies, sentence
from sage_doctor.gate.gate_lock import gate_lock
from sage_doctor.gate.inputs import InputSnapshot, read_inputs
from sage_doctor.gate.load_results import (
    keep_results,
    loads_lock,
    make_record,
    valid_results,
    with_recorded,
)
from sage_doctor.gate.unfinished import not_decided
from sage_doctor.report import Report, at_least, conclude
from sage_doctor.subjects.needs import memory_needed
from sage_doctor.subjects.selection import Request, Selection, select
from sage_doctor.suite.examine import examine
from sage_doctor.suite.run import CheckOutcome
from sage_doctor.system.activity import OnProgress
from sage_doctor.system.fingerprint import changed
from sage_doctor.text import join_limited, printable

_STATES: Final[dict[int, GateState]] = {0: "open", 1: "blocked"}


def examine_role(context: GateContext, why: str, on_progress: OnProgress, on_finding: OnFinding) -> Decision:
    """Examine what the role needs, record the result, and decide. Raises `DoctorError`.

    `why` says why no recorded result was reused.
    """
    gate_request = context.gate_request
    request = Request(
        manifest=gate_request.manifest,
        level=gate_request.level,
        cwd=gate_request.cwd,
        deadline=context.until,
        role=gate_request.role,
        stage_s=gate_request.stage_s,
        history=gate_request.history,
    )
    on_progress("reading the manifest and the models' directories")
    selection = select(request, context.environ)
    selection.host.start_inspection()
    inputs = read_inputs(context, selection)
    with contextlib.ExitStack() as held:
        old = {} if gate_request.fresh else valid_results(context, selection, inputs)
        waited = False
        # One load at a time on a machine: two at once would take each other's memory, and each other's time.
        if at_least(selection.level, "load") and selection.load_targets - old.keys():
            got = held.enter_context(
                gate_lock(loads_lock(context), what="a model", until=context.until, on_progress=on_progress)
            )
            waited = got.waited
        if waited:  # another role's gate has loaded one of them meanwhile
            old.update(
                valid_results(context, selection, inputs, since=context.started_s if gate_request.fresh else None)
            )
        selection = dataclasses.replace(selection, load_targets=selection.load_targets - old.keys())
        request = dataclasses.replace(request, skip_load=tuple(sorted(old)))
        report = examine(
            request,
            fail_on=gate_request.fail_on,
            on_progress=on_progress,
            on_outcome=lambda o: _pass_on(o, on_finding),
            selection=selection,
        )
        unstable = changed(inputs.loaded)
        moved = unstable or changed(inputs.role) or context.runners != inputs.runners
        fresh, report = report, with_recorded(report, old, gate_request.fail_on)
        if not moved:
            keep_results(context, selection, inputs, report)
    report, notices = _write_history(selection, request, report, fresh)
    decision = _decision(context, selection, report, why, unstable)
    decision = dataclasses.replace(decision, notes=(*decision.notes, *notices))
    if not moved and decision.state != "unknown":  # what could not be found out is no result, for nobody
        _record_role(context, selection, inputs, report, decision)
    return decision


def _write_history(
    selection: Selection, request: Request, report: Report, fresh: Report
) -> tuple[Report, tuple[str, ...]]:
    """Record the run, and return its report with what changed since the last good one if it is not healthy.

    What an earlier run measured is not recorded a second time.
    """
    if selection.host.history_file is None:
        return report, ()
    from sage_doctor.history.recorder import RunRecorder  # noqa: PLC0415 - SQLite, for those who keep a history

    recorder = RunRecorder(selection, dataclasses.replace(request, targets=selection.roles), verb="gate")
    explained = recorder.explained(report)
    return explained, tuple(recorder.record(dataclasses.replace(explained, measurements=fresh.measurements)))


def _pass_on(outcome: CheckOutcome, on_finding: OnFinding) -> None:
    for found in outcome.findings:
        if found.severity == "error":
            on_finding(dataclasses.asdict(found))


def _manifest_to_name(context: GateContext) -> str | None:
    """Return the manifest, if a command typed where the gate was started would not find it by itself."""
    from sage_doctor.manifest.load import find_manifest  # noqa: PLC0415 - only where something is wrong

    manifest = context.manifest.path
    found = find_manifest(Path(context.gate_request.cwd), context.environ)
    same = found is not None and os.path.realpath(found) == os.path.realpath(manifest)
    return None if same else str(manifest)


def _decision(
    context: GateContext, selection: Selection, report: Report, why: str, unstable: list[tuple[str, str]]
) -> Decision:
    failing = ("error",) if context.gate_request.fail_on == "error" else ("error", "warning")
    findings = [dataclasses.asdict(f) for f in report.findings if f.severity in failing]
    state = _STATES.get(report.exit_code, "unknown")
    details: tuple[str, ...] = ()
    if state == "blocked":
        reason = sentence(findings[0], len(findings) - 1)
        since = (f"  since the last good run: {c.words()}" for c in report.changes[:3])
        details = (*since, *remedies(findings, manifest=_manifest_to_name(context)))
    elif state == "unknown":
        reason = _undecided(report)
    else:
        reason = _ready(selection, report)
    if unstable and state == "open":
        path, what = unstable[0]
        state, reason = "unknown", f"{printable(path, limit=300)} {what} during the examination; run the gate again"
        checks = (*report.checks, not_decided(reason, report.level, report.duration_s))
        verdict, exit_code = conclude(checks, report.findings, context.gate_request.fail_on)
        report = dataclasses.replace(report, checks=checks, verdict=verdict, exit_code=exit_code)
    places = {}
    for name in context.manifest.roles[context.gate_request.role].models:
        model = next((m for m in selection.models if m.name == name), None)
        if model is not None and model.found:
            base = next(iter(model.depends_on()), None)
            places[name] = ModelLocation(path=str(model.path), base=str(base.path) if base is not None else None)
        elif name in context.manifest.services:
            places[name] = ModelLocation(path=context.manifest.services[name].url)
    return Decision(
        state=state,
        role=context.gate_request.role,
        reason=reason,
        details=details,
        notes=(f"re-checked: {why}",) if why and why != "no recorded result" else (),
        codes=tuple(dict.fromkeys(str(f["code"]) for f in findings)),
        models=places,
        report=report.to_json(),
    )


def _undecided(report: Report) -> str:
    failed = [c for c in report.checks if c.status == "error"]
    if not failed:
        return "nothing could be examined"
    first = failed[0]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    why = printable(first.reason or "no reason given", limit=300)
    return f"{printable(first.subject, limit=80)}: {first.id}: {why}{more}"


def _ready(selection: Selection, report: Report) -> str:
    names = sorted(selection.host.manifest.roles[selection.roles[0]].models) if selection.host.manifest else []
    what = (
        f"{join_limited(names, most=4)} {'is' if len(names) == 1 else 'are'} ready"
        if names
        else "all that it needs is here"
    )
    warnings = sum(f.severity == "warning" for f in report.findings)
    hidden = f" ({len(report.suppressed)} suppressed)" if report.suppressed else ""
    return what + (f", with {warnings} warning{'s' * (warnings > 1)}" if warnings else "") + hidden


def _record_role(
    context: GateContext, selection: Selection, inputs: InputSnapshot, report: Report, decision: Decision
) -> None:
    manifest = context.manifest
    deep = [m for m in selection.models if m.name in manifest.roles[context.gate_request.role].models and m.found]
    body = {
        "state": decision.state,
        "verdict": report.verdict,
        "fail_on": context.gate_request.fail_on,
        "meaning": context.meaning,
        "runners": inputs.runners,
        "reason": decision.reason,
        "details": list(decision.details),
        "codes": list(decision.codes),
        "uncacheable": not inputs.complete
        or bool(manifest.check_paths)
        or manifest.watched  # a trace grows old by itself
        or any(s.required for s in selection.services),
        "memory_needed": max(map(memory_needed, deep), default=0),
        "models": {name: dataclasses.asdict(place) for name, place in decision.models.items()},
        "report": decision.report,
    }
    record = make_record(context, inputs, inputs.watched, deep, body)
    context.records.write(record, context.gate_request.role, *context.key)
