"""Copying the models of a role from one machine: plan, consent, copy, verification by the checks, one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Literal

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.manifest.names import not_a_machine
from sage_doctor.manifest.specs import Manifest
from sage_doctor.repairs.application import apply_plan
from sage_doctor.repairs.journal import Journal
from sage_doctor.repairs.model_copy import plan_copy
from sage_doctor.repairs.repair import Plan
from sage_doctor.repairs.repair_session import RepairCallbacks
from sage_doctor.report import Report
from sage_doctor.subjects.selection import Request, Selection, select
from sage_doctor.suite.examine import examine
from sage_doctor.system.frozen import frozen
from sage_doctor.text import printable

NAME = "sync"

SyncStatus = Literal["here", "planned", "declined", "refused", "failed", "rolled-back", "copied"]


@frozen
class SyncOutcome:
    """What became of one model. `here` means that every file is here already; `reason` says why it was not copied."""

    model: str
    status: SyncStatus
    plan: Plan | None = None
    reason: str = ""


def sync(
    request: Request,
    machine: str,
    callbacks: RepairCallbacks,
    *,
    journal: Journal,
    dry_run: bool = False,
    allow_delete: bool = False,
) -> Iterator[SyncOutcome]:
    """Copy the models that are asked for, one after the other, and give what became of each. Raises `UsageError`."""
    selection = select(request)
    _require_machine(selection.host.manifest, machine)
    for name in _names(selection):
        asked = dataclasses.replace(request, targets=(name,))
        model = next(m for m in select(asked).models if m.name == name)  # as it is now
        outcome = SyncOutcome(model=name, status="here")
        callbacks.on_progress(f"{printable(name, limit=60)}: asking {printable(machine, limit=60)}")
        try:
            plan = plan_copy(model, allow_delete=allow_delete, machine=machine)
        except (DoctorError, OSError) as error:
            yield dataclasses.replace(outcome, status="refused", reason=str(error))
            continue
        if plan is None:
            yield outcome
            continue
        plan = dataclasses.replace(plan, repair=NAME, subject=name)
        status: SyncStatus = "planned"
        reason = ""
        if not dry_run and not callbacks.consent(plan):
            status = "declined"
        elif not dry_run:
            verify = partial(_failure, request, name, callbacks)
            done, reason = apply_plan(plan, journal, callbacks.on_progress, verify)
            status = "copied" if done == "repaired" else done
        yield dataclasses.replace(outcome, plan=plan, status=status, reason=reason)


def _names(selection: Selection) -> list[str]:
    """Return the models that are asked for, each after the base that the manifest names for it."""
    manifest = selection.host.manifest
    names: list[str] = []
    for model in selection.models:
        base = manifest.model_for_base(model.spec) if manifest is not None and model.spec is not None else None
        names += [base.name, model.name] if base is not None else [model.name]
    return list(dict.fromkeys(names))


def _require_machine(manifest: Manifest | None, machine: str) -> None:
    known = list(manifest.machines) if manifest is not None else []
    hosts = [h for m in manifest.machines.values() for h in m.hostname] if manifest is not None else []
    shown = printable(machine, limit=80)
    if manifest is not None and manifest.machine is not None and machine == manifest.machine.name:
        raise UsageError(f"--from {shown}: this is {shown}; name the machine that has the models")
    if machine not in (*known, *hosts):
        raise UsageError(f"--from {shown}: {not_a_machine(machine, known)}")


def _failure(request: Request, name: str, callbacks: RepairCallbacks) -> str:
    """Return which error the checks find in the copied model, at level `static`; empty if none."""
    asked = dataclasses.replace(request, targets=(name,), level="static")
    report: Report = examine(asked, on_progress=callbacks.on_progress)
    found = next((f for f in report.findings if f.subject == name and f.severity == "error"), None)
    return f"{found.code}: {found.message}" if found is not None else ""
