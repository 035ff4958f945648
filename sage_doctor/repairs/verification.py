"""Verification of a change by the checks: of a model, or of files outside of models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sage_doctor.paths.find.files import repository
from sage_doctor.repairs.repair import Repair
from sage_doctor.report import CheckResult, Finding, Report
from sage_doctor.text import join_limited


def group_by_repository(finding: Finding, findings: Iterable[Finding], repair: Repair | None) -> tuple[Finding, ...]:
    """Return the findings that are repaired with this one: for a file repair, all those in its repository."""
    if repair is None or repair.plan_files is None:
        return (finding,)
    top = repository(_file(finding))
    rest = [
        f
        for f in findings
        if f is not finding and f.fix.repair == repair.name and f.code in repair.codes and repository(_file(f)) == top
    ]
    return (finding, *rest)


def _file(finding: Finding) -> Path:
    return Path(str(finding.evidence.get("file", finding.subject)))


def _paths(finding: Finding) -> int:
    count = finding.evidence.get("count", 0)
    return count if isinstance(count, int) else 0


def files_failure(group: Iterable[Finding], before: Report, after: Report) -> str:
    """Return why a file repair failed verification, or an empty text if it passed.

    Each file must have fewer such paths than before, and no new errors.
    """
    now = {(f.code, f.subject): f for f in after.findings}
    for old in group:
        new = now.get((old.code, old.subject))
        if new is not None and _paths(new) >= _paths(old):
            return f"{new.code} is still found: {new.message}"
        ended = next((c for c in after.checks if c.id == old.check), None)
        if ended is None or ended.status in ("error", "skip"):
            return f"{old.check} did not complete again"
    known = {(f.code, f.subject) for f in before.findings if f.severity == "error"}
    subjects = {f.subject for f in group}
    worse = next(
        (f for k, f in now.items() if f.severity == "error" and f.subject in subjects and k not in known), None
    )
    return f"{worse.code} was not found before: {worse.message}" if worse is not None else ""


def files_outcome(group: Iterable[Finding], after: Report) -> str:
    """Return the result of a file repair as text: which files are done, and what remains in the others."""
    left = {(f.code, f.subject): _paths(f) for f in after.findings}
    whole = [f.subject for f in group if (f.code, f.subject) not in left]
    parts = [f"{f.subject} ({left[f.code, f.subject]})" for f in group if (f.code, f.subject) in left]
    done = f"no such paths left in {join_limited(list(dict.fromkeys(whole)), most=10)}" if whole else ""
    some = f"paths left to edit by hand: {join_limited(parts, most=10)}" if parts else ""
    return "; ".join(t for t in (done, some) if t)


def verification_failure(finding: Finding, before: Report, after: Report) -> str:
    """Return why a repair failed verification, or an empty text if it passed.

    The check that reported the finding must complete without it, and no check of the same subject that passed before
    may fail now.
    """
    for found in after.findings:
        if (found.code, found.subject) == (finding.code, finding.subject):
            return f"{found.code} is still found: {found.message}"
    results = {c.id: c for c in after.checks if c.subject == finding.subject}
    result = results.get(finding.check)
    if result is None:
        return f"{finding.check} did not run again"
    if result.status in ("fail", "error") or (result.status == "skip" and (result.reason or "").startswith("blocked")):
        return f"{finding.check} still fails: {_why(result, after)}"
    passed = {c.id for c in before.checks if c.subject == finding.subject and c.status in ("pass", "warn")}
    worse = next((r for i, r in results.items() if i in passed and r.status in ("fail", "error")), None)
    return f"{worse.id} passed before and fails now: {_why(worse, after)}" if worse is not None else ""


def _why(result: CheckResult, report: Report) -> str:
    found = next((f for f in report.findings if (f.check, f.subject) == (result.id, result.subject)), None)
    return found.message if found is not None else result.reason or result.status
