"""The results of loads, one per model: kept for gates of any role, and reused while nothing has changed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sage_doctor.gate.context import GateContext
from sage_doctor.gate.environment import since_boot_s
from sage_doctor.gate.inputs import InputSnapshot
from sage_doctor.gate.memory import is_memory_short
from sage_doctor.gate.result_cache import CachedResult
from sage_doctor.gate.reuse import age_s, why_outdated
from sage_doctor.readers.python_source import sources_looked_at
from sage_doctor.report import (
    CheckResult,
    FailOn,
    Report,
    at_least,
    conclude,
    finding_from_json,
    measurement_from_json,
)
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.needs import memory_needed
from sage_doctor.subjects.selection import Selection
from sage_doctor.system.fingerprint import Watched
from sage_doctor.system.path_info import exists
from sage_doctor.text import format_duration

_PARTS: Final = frozenset({"checks", "findings", "measurements", "answer", "suppressed"})


def loads_lock(context: GateContext) -> Path:
    """Return the lock that whoever loads models holds."""
    return context.records.directory / "loads.lock"


def _spec_text(model: Model) -> str:
    """Return everything the manifest says that the result of a load of this model depends on, as a digest."""
    ignored = model.host.manifest.ignore if model.host.manifest is not None else ()
    spec = {**dataclasses.asdict(model.spec), "line": 0} if model.spec is not None else {}
    values = [spec, ignored, model.host.accelerator, [str(m.path) for m in model.depends_on()]]
    text = json.dumps(values, default=str, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _model_key(context: GateContext, model: Model) -> tuple[str, ...]:
    settings = [f"{name}={value}" for name, value in context.environment["settings"].items()]
    return (str(model.path), _spec_text(model), *settings)


def valid_results(
    context: GateContext, selection: Selection, inputs: InputSnapshot, since: float | None = None
) -> dict[str, CachedResult]:
    """Return the recorded loads that still hold, by model. `since` asks for those found after that second."""
    found = {}
    for model in selection.models:
        record = context.records.read(f"model-{model.name}", *_model_key(context, model))
        if (
            record is None
            or not record.body.keys() >= _PARTS
            or model.name not in selection.load_targets
            or (since is not None and record.taken_s < since)
        ):
            continue
        reason = why_outdated(
            record,
            inputs.environment,
            level=selection.level,
            max_age_s=context.max_age_s,
            directory=context.directory,
        )
        files = inputs.models[model.name]  # what is gone of them, `why_outdated` has seen
        same_files = files is not None and files.items() <= record.watched.items()
        if reason is None and same_files and not is_memory_short(memory_needed(model)):
            found[model.name] = record
    return found


def _deep(report: Report, name: str) -> list[CheckResult]:
    return [c for c in report.checks if c.subject == name and at_least(c.level, "load")]


def keep_results(context: GateContext, selection: Selection, inputs: InputSnapshot, report: Report) -> None:
    """Keep the loads that went well, for gates of any role."""
    for model in selection.models:
        files = inputs.models[model.name]
        checks = _deep(report, model.name)
        own = [f for f in report.findings if f.subject == model.name]
        bad = any(f.severity == "error" for f in own) or any(
            c.status in ("error", "fail") or (c.reason or "").startswith("blocked by") for c in checks
        )
        done = any(c.status in ("pass", "warn") for c in checks)  # a model whose service was asked was not loaded
        if model.name not in selection.load_targets or not done or bad or files is None:
            continue
        deep_ids = {c.id for c in checks}
        body = {
            "checks": [dataclasses.asdict(c) for c in checks],
            "findings": [dataclasses.asdict(f) for f in own if f.check in deep_ids],
            "suppressed": [
                dataclasses.asdict(f) for f in report.suppressed if f.subject == model.name and f.check in deep_ids
            ],
            "measurements": [dataclasses.asdict(m) for m in report.measurements if m.subject == model.name],
            "answer": report.answers.get(model.name),
        }
        watched = {**inputs.packages, **files}
        record = make_record(context, inputs, watched, [model], body)
        context.records.write(record, f"model-{model.name}", *_model_key(context, model))


def with_recorded(report: Report, old: Mapping[str, CachedResult], fail_on: FailOn) -> Report:
    """Return the report with the recorded outcomes of the loads that were not done again."""
    if not old:
        return report
    checks, findings = list(report.checks), list(report.findings)
    measurements, answers = list(report.measurements), dict(report.answers)
    suppressed = list(report.suppressed)
    for name, record in old.items():
        reason = f"checked {format_duration(age_s(record))} ago; nothing it depends on has changed since"
        checks += [
            CheckResult(**{**c, "duration_s": 0.0, "reason": c.get("reason") or reason}) for c in record.body["checks"]
        ]
        findings += [finding_from_json(f) for f in record.body["findings"]]
        suppressed += [finding_from_json(f) for f in record.body["suppressed"]]
        measurements += [measurement_from_json(m) for m in record.body["measurements"]]
        if record.body["answer"] is not None:
            answers[name] = record.body["answer"]
    verdict, exit_code = conclude(checks, findings, fail_on)
    return dataclasses.replace(
        report,
        checks=tuple(checks),
        findings=tuple(findings),
        measurements=tuple(measurements),
        answers=answers,
        suppressed=tuple(suppressed),
        verdict=verdict,
        exit_code=exit_code,
    )


def make_record(
    context: GateContext, inputs: InputSnapshot, watched: Watched, models: Sequence[Model], body: Mapping[str, Any]
) -> CachedResult:
    """Return a record of what was just found about these models.

    What an adapter calls its base is looked for in the working directory first; the name of a repository that is not
    there says nothing else of the directory.
    """
    bases = [m.base for m in models if m.kind == "adapter" and m.found and m.base.place is not None]
    asked = [b for b in bases if not str(b.text).startswith("/")]
    names = [str(b.text) for b in asked if b.place is not None and b.place.form == "repository"]
    absent = not any(exists(Path(context.directory, name)) for name in names) and len(names) == len(asked)
    return CachedResult(
        environment=inputs.environment,
        watched={**sources_looked_at(), **watched},
        level=context.gate_request.level,
        taken_s=since_boot_s(),
        taken_at=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        directory=context.directory if asked else None,
        absent=names if absent else [],
        body=body,
    )
