"""What `fix` says at its end: what can be fixed and by which option, and what is fixed, still failing and new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sage_doctor.repairs.asked_bases import SET_BASE
from sage_doctor.repairs.registry import all_repairs
from sage_doctor.repairs.repair_report import RepairReport, is_problem
from sage_doctor.report import Finding, Report
from sage_doctor.text import join_limited, printable, shell_quote, wrap

_MOST_BY_HAND = 20


def summary(result: RepairReport, width: int) -> list[str]:
    """Return the lines of the summary, each at most `width` columns."""
    before, after = result.before, result.after
    lines = _prospects(result, width)
    if result.dry_run:
        return [*lines, f"Nothing was changed. Found {_counted(result.remaining)} (level {after.level})."]
    if not result.attempts and not result.remaining:
        return ["Nothing to fix."]
    lines.append(f"before   {before.verdict}: {_counted([f for f in before.findings if is_problem(f)])}")
    rows = [("fixed", f) for f in result.fixed]
    rows += [("new" if result.is_new(f) else "still failing", f) for f in result.remaining]
    for label, finding in rows:
        text = f"{finding.code} ({_name(finding, after if label == 'new' else before)})"
        lines += wrap(text, width, first=f"  {label:<14}", after=" " * 16)
    lines.append(
        f"after    {after.verdict}: {_counted(result.remaining)}, level {after.level}, exit code {after.exit_code}"
    )
    return lines


def _prospects(result: RepairReport, width: int) -> list[str]:
    """Return how many findings a repair was there for, and what the others need."""
    tried = {(a.finding.code, a.finding.subject) for a in result.attempts if a.status != "refused"}
    tried |= {(f.code, f.subject) for f in result.fixed}  # also what a repair of something else mended
    problems = [f for f in result.before.findings if is_problem(f)]
    problems += [f for f in result.remaining if result.is_new(f)]
    grouped = {a.repair for a in result.attempts if all_repairs()[a.repair].of_files}
    left = [f for f in problems if (f.code, f.subject) not in tried and f.fix.repair not in grouped]
    if not left:
        return []
    sorted_out = f"{len(problems) - len(left)} of {len(problems)} can be fixed automatically."
    words = [sorted_out if result.dry_run or not result.attempts else f"{len(left)} of {len(problems)} left to do."]
    scripts = [f for f in left if f.fix.repair == "rewrite-paths"]
    bases = [f for f in left if f.code in all_repairs()[SET_BASE].codes]
    by_hand = [f for f in left if f not in scripts and f not in bases]
    if scripts:
        words.append(f"{len(scripts)} with `--rewrite-paths`.")
    if bases:
        how = "--write-config --base" if result.in_config else "--base"
        titles = [result.before.titles.get(f.subject, f.subject) for f in bases]
        options = [f"`{how} {shell_quote(t) + '=' if len(problems) > 1 else ''}BASE`" for t in dict.fromkeys(titles)]
        words.append(f"{len(bases)} with {join_limited(options, most=5)}.")
    if by_hand:
        words.append(f"{len(by_hand)} by hand.")
    lines = wrap(" ".join(words), width)
    refused = {(a.finding.code, a.finding.subject) for a in result.attempts}
    return [*lines, *_advice([f for f in left if (f.code, f.subject) not in refused], result.after, width), ""]


def _advice(findings: Sequence[Finding], report: Report, width: int) -> Iterable[str]:
    for finding in findings[:_MOST_BY_HAND]:
        text = f"{_name(finding, report)}: {finding.code}. {printable(finding.fix.summary, limit=600)}"
        yield from wrap(text, width, first="  ", after="    ")
    if len(findings) > _MOST_BY_HAND:
        yield f"  and {len(findings) - _MOST_BY_HAND} more: `sage-doctor check`"


def _name(finding: Finding, report: Report) -> str:
    """Return what people call the subject of a finding."""
    return printable(report.titles.get(finding.subject, finding.subject), limit=200)


def _counted(findings: Sequence[Finding]) -> str:
    errors = sum(f.severity == "error" for f in findings)
    warnings = len(findings) - errors
    parts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    return " and ".join(parts) or "no problems"
