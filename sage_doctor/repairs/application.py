"""A plan carried out: every step is in the journal, and a change that fails its verification is rolled back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from sage_doctor.errors import DoctorError
from sage_doctor.repairs.journal import Journal
from sage_doctor.repairs.repair import Plan
from sage_doctor.system.activity import OnProgress


def apply_plan(
    plan: Plan, journal: Journal, on_progress: OnProgress, verify: Callable[[], str]
) -> tuple[Literal["failed", "rolled-back", "repaired"], str]:
    """Make the change, verify it, and commit it or roll it back. Return how that ended, and why.

    `verify` says why the change fails, or nothing if it passes. What interrupts it is raised, with the old state back.
    """
    key = journal.begin(
        repair=plan.repair, subject=plan.subject, code=plan.code, writes=plan.writes, kept=plan.kept, diff=plan.diff
    )
    try:
        for seen in plan.seen:
            seen.check()
        applied = plan.apply(on_progress)
    except (DoctorError, OSError) as error:
        journal.append("failed", key, reason=str(error))
        return "failed", str(error)
    except BaseException:
        journal.append("interrupted", key)
        raise
    try:
        failure = verify()
    except BaseException:
        applied.rollback()
        journal.append("interrupted", key)
        raise
    if not failure:
        journal.append("repaired", key)
        applied.commit()
        return "repaired", ""
    try:
        applied.rollback()
    except (DoctorError, OSError) as error:
        failure = f"{failure}; it could not be rolled back: {error}"
        journal.append("failed", key, reason=failure)
        return "failed", failure
    journal.append("rolled-back", key, reason=failure)
    return "rolled-back", failure
