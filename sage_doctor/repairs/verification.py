"""Verification of a change by the checks: of a model, or of files outside of models."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from sage_doctor.findings.many import each_file
from sage_doctor.paths.find.files import repository
from sage_doctor.repairs.repair import Repair
from sage_doctor.report import CheckResult, Finding, Report
from sage_doctor.text import join_limited

_EXPOSED = frozenset({"runner-path-missing"})


def group_by_repository(finding: Finding, findings: Iterable[Finding], repair: Repair | None) -> tuple[Finding, ...]:
    """Return the findings that are repaired with this one: for a file repair, all those in its repository."""
    if repair is None or not repair.of_files:
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


def _counts(findings: Iterable[Finding]) -> dict[tuple[str, str], int]:
    """Return how many paths each file has, by code and subject, also where many files are told as one finding."""
    return {(f.code, each.subject): each.count for f in findings for each in each_file(f)}


def files_failure(group: Iterable[Finding], before: Report, after: Report) -> str:
    """Return why a file repair failed verification, or an empty text if it passed.

    Each file must have fewer such paths than before, and no new errors. What is missing below a root that is right now
    was missing before as well: only what exists is written.
    """
    group = list(group)
    now = _counts(after.findings)
    for key, count in _counts(group).items():
        if now.get(key, -1) >= count:
            return f"{key[0]} is still found: {_message(after.findings, *key)}"
    for old in group:
        ended = next((c for c in after.checks if c.id == old.check), None)
        if ended is None or ended.status in ("error", "skip"):
            return f"{old.check} did not complete again"
    known = set(_counts(f for f in before.findings if f.severity == "error"))
    subjects = {subject for _, subject in _counts(group)}
    worse = next(
        (
            k
            for k in _counts(f for f in after.findings if f.severity == "error" and f.code not in _EXPOSED)
            if k not in known and k[1] in subjects
        ),
        None,
    )
    return f"{worse[0]} was not found before: {_message(after.findings, *worse)}" if worse is not None else ""


def _message(findings: Iterable[Finding], code: str, subject: str) -> str:
    return next(e.message for f in findings if f.code == code for e in each_file(f) if e.subject == subject)


def files_outcome(group: Iterable[Finding], after: Report) -> str:
    """Return the result of a file repair as text: which files are done, and what remains in the others."""
    left = _counts(after.findings)
    keys = list(_counts(group))
    whole = [subject for code, subject in keys if (code, subject) not in left]
    parts = [f"{subject} ({left[code, subject]})" for code, subject in keys if (code, subject) in left]
    done = f"no such paths left in {join_limited(list(dict.fromkeys(whole)), most=10)}" if whole else ""
    some = f"paths left to edit by hand: {join_limited(parts, most=10)}" if parts else ""
    return "; ".join(t for t in (done, some) if t)


def verification_failure(finding: Finding, before: Report, after: Report, disproved_by: Collection[str] = ()) -> str:
    """Return why a repair failed verification, or an empty text if it passed.

    The check that reported the finding must complete without it, no check of the same subject that passed before may
    fail now, and none of the codes in `disproved_by` may be new there.
    """
    known = {(f.code, f.subject) for f in before.findings}
    for found in after.findings:
        if found.code in disproved_by and found.subject == finding.subject and (found.code, found.subject) not in known:
            return f"{found.code} was not found before: {found.message}"
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
