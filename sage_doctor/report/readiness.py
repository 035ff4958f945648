"""Which roles a machine can run, as its report says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sage_doctor.report.subjects import is_error_where_needed
from sage_doctor.report.values import CheckResult, Finding, Report, RoleInfo
from sage_doctor.text import join_limited, printable

# `possible`: this machine does not have the role, but every model of it is here, and nothing is wrong with its files.
RoleState = Literal["ready", "blocked", "unknown", "possible"]


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """Whether a role can run on the machine of a report, and why not in a few words that are safe to show.

    `finding` is the first error in its way. `here` is whether the machine has the role.
    """

    role: str
    state: RoleState
    here: bool = True
    why: str = ""
    finding: Finding | None = None


def readiness(report: Report) -> tuple[Readiness, ...]:
    """Return the state of each role, those of this machine first. Empty where the report knows no role."""
    if not report.roles:
        return tuple(_from_verdict(report, role) for role in report.machine.roles)
    roles = sorted(report.roles, key=lambda r: not r.here)
    return tuple(_of_role(report, role) if role.here else _of_other_role(report, role) for role in roles)


def _of_role(report: Report, role: RoleInfo) -> Readiness:
    """Return the state of a role of this machine: what belongs to no single model or role is in the way of all."""
    own = {*role.models, *role.others}
    named = {m.name for m in report.models}.union(*((*r.models, *r.others) for r in report.roles)) - own
    errors = [f for f in report.findings if f.severity == "error" and f.subject not in named]
    if errors:
        return Readiness(role=role.name, state="blocked", why=_told(report, errors), finding=errors[0])
    if role.elsewhere:
        return Readiness(role=role.name, state="blocked", why=_lacks(role))
    stuck = [c for c in report.checks if c.status == "error" and c.subject not in named]
    if stuck:
        return Readiness(role=role.name, state="unknown", why=_failed_to_run(report, stuck[0]))
    why = _unexamined(report, role)
    if why:
        return Readiness(role=role.name, state="unknown", why=why)
    ignored = [f for f in report.suppressed if is_error_where_needed(f) and f.subject not in named]
    return Readiness(role=role.name, state="ready", why=f"{_told(report, ignored)} suppressed" if ignored else "")


def _of_other_role(report: Report, role: RoleInfo) -> Readiness:
    """Return the state of another machine's role: its models may be here all the same."""
    if role.elsewhere:
        return Readiness(role=role.name, state="blocked", here=False, why=_lacks(role))
    errors = [
        f for f in (*report.findings, *report.suppressed) if f.subject in role.models and is_error_where_needed(f)
    ]
    if errors:
        return Readiness(role=role.name, state="blocked", here=False, why=_told(report, errors), finding=errors[0])
    why = _unexamined(report, role)
    if why or not role.models:
        return Readiness(role=role.name, state="unknown", here=False, why=why or "not a role of this machine")
    told = "not a role of this machine; its models are here and complete, but not loaded"
    return Readiness(role=role.name, state="possible", here=False, why=told)


def _from_verdict(report: Report, role: str) -> Readiness:
    """Return what a report of an older doctor tells, which does not say what a role needs."""
    if report.verdict in ("healthy", "degraded"):
        return Readiness(role=role, state="ready")
    errors = [f for f in report.findings if f.severity == "error"]
    if errors and len(report.machine.roles) == 1:
        return Readiness(role=role, state="blocked", why=_told(report, errors), finding=errors[0])
    stuck = next((c for c in report.checks if c.status == "error"), None)
    if errors:
        why = f"the report does not say what this role needs; {_told(report, errors)}"
    else:
        why = _failed_to_run(report, stuck) if stuck is not None else "no check completed"
    return Readiness(role=role, state="unknown", why=why)


def _unexamined(report: Report, role: RoleInfo) -> str:
    examined = {c.subject for c in report.checks if c.status in ("pass", "warn", "fail")}
    left = [_title(report, name) for name in role.models if name not in examined]
    return f"not examined: {join_limited(left, most=3)}" if left else ""


def _failed_to_run(report: Report, check: CheckResult) -> str:
    return printable(f"{check.id} failed to run on {_title(report, check.subject)}", limit=300)


def _lacks(role: RoleInfo) -> str:
    return f"not on this machine: {join_limited(list(role.elsewhere), most=3)}"


def _told(report: Report, errors: Iterable[Finding]) -> str:
    told = list(dict.fromkeys(f"{f.code} ({_title(report, f.subject)})" for f in errors))
    return join_limited(told, most=2)


def _title(report: Report, subject: str) -> str:
    return report.titles.get(subject, subject)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Whether the machine can run its roles, in one sentence that is safe to show. `roles` are the state of each."""

    state: Literal["yes", "no", "unknown"]
    sentence: str
    roles: tuple[Readiness, ...] = ()


def answer(report: Report) -> Answer:
    """Return the answer to the first question; of the models that were checked where the report knows no role."""
    roles = readiness(report)
    machine = printable(report.machine.name, limit=200)
    blocked, unknown = ([r.role for r in roles if r.here and r.state == state] for state in ("blocked", "unknown"))
    warned = (
        f", with {n} warning{'s' * (n != 1)}" if (n := sum(f.severity == "warning" for f in report.findings)) else ""
    )
    if report.verdict == "unhealthy" or blocked:
        what = f"cannot run {join_limited(blocked)}" if blocked else "will not run everything that was checked"
        return Answer(state="no", sentence=f"No: {machine} {what}", roles=roles)
    if report.verdict == "unknown":
        what = f"whether {machine} can run {join_limited(unknown)}" if unknown else f"whether {machine} is in order"
        return Answer(state="unknown", sentence=f"Not known {what}", roles=roles)
    if unknown:
        told = f"What was checked is in order{warned}; whether {machine} can run {join_limited(unknown)} is not known"
        return Answer(state="unknown", sentence=told, roles=roles)
    ready = [r.role for r in roles if r.here]
    what = f"{machine} can run {join_limited(ready)}" if ready else f"everything checked on {machine} is in order"
    return Answer(state="yes", sentence=f"Yes: {what}{warned}", roles=roles)
