"""What one run found: the single typed value that every renderer, gate and repair reads.

The verdict and the exit code are decided here, in `conclude`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from sage_doctor.text import printable

Severity = Literal["error", "warning", "info"]
Level = Literal["static", "integrity", "load", "generate"]
Status = Literal["pass", "warn", "fail", "skip", "error"]
Verdict = Literal["healthy", "degraded", "unhealthy", "unknown"]
FailOn = Literal["error", "warning", "never"]

SCHEMA_VERSION: Final = 1
LEVELS: Final[tuple[Level, ...]] = ("static", "integrity", "load", "generate")
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")
NOTHING_TO_DO: Final = "Nothing to do"  # how the fix of a mere information begins
MACHINE: Final = "machine"  # the subject of findings about the host itself

EXIT_HEALTHY: Final = 0
EXIT_UNHEALTHY: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNKNOWN: Final = 3
EXIT_INTERRUPTED: Final = 130


@dataclass(frozen=True, kw_only=True)
class Fix:
    """What to do about a finding.

    `commands` holds only commands that are safe to paste: they quote their paths, delete nothing that cannot be
    got back, and change no file under version control without saying so. `repair` names the repair that does it.
    """

    summary: str
    commands: tuple[str, ...] = ()
    repair: str | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One diagnosis of one subject. `evidence` holds JSON values: what was seen, where, and what was expected."""

    code: str
    severity: Severity
    subject: str
    check: str
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    fix: Fix


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measured quantity of one subject; `budget` is its limit in the same unit, where one is set."""

    subject: str
    name: str
    value: float
    unit: str
    budget: float | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that is not as it was in the last good run. `subject` is a model's name or `machine`.

    `what` names the thing (`transformers`, `file model.safetensors`). Where only `before` is set it is gone, where only
    `after` is set it is new; where neither is, `what` says it all (`rebooted`).
    """

    subject: str
    what: str
    before: str | None = None
    after: str | None = None

    def words(self) -> str:
        """Return the change in a few words, safe to show."""
        where = "" if self.subject == MACHINE else f"model {printable(self.subject, limit=200)}: "
        what = printable(self.what, limit=300).removeprefix("file ")
        before, after = (printable(t, limit=300) if t is not None else None for t in (self.before, self.after))
        if before is not None and after is not None:
            return f"{where}{what} {before} → {after}"
        if before is not None:
            return f"{where}{what} gone (was {before})"
        return f"{where}{what} new ({after})" if after is not None else f"{where}{what}"


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """How one check ended for one subject. `reason` says why where the status is `skip` or `error`."""

    id: str
    subject: str
    level: Level
    status: Status
    duration_s: float
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class MachineInfo:
    """The host as this run saw it. `name` is the manifest's name for it, or the hostname without one."""

    name: str
    hostname: str
    roles: tuple[str, ...] = ()
    accelerator: str | None = None
    boot_id: str | None = None
    platform: str | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything one run found. `findings` are ordered root cause first.

    `titles` is what people call a subject whose name does not tell: the directory `.`, a snapshot of the hub's cache.
    `changes` is what differs from the last good run, which began at `changes_since` (ISO 8601); None where this run is
    itself well, or where no such run is known. `suppressed` are findings that were ignored, or not selected: they
    count for nothing.
    """

    doctor: Mapping[str, str]
    machine: MachineInfo
    started_at: str
    duration_s: float
    level: Level
    verdict: Verdict
    exit_code: int
    checks: tuple[CheckResult, ...]
    findings: tuple[Finding, ...]
    measurements: tuple[Measurement, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    changes_since: str | None = None
    suppressed: tuple[Finding, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values, in the order of the published schema."""
        return {
            "schema_version": SCHEMA_VERSION,
            "doctor": dict(self.doctor),
            "machine": _plain(self.machine),
            "started_at": self.started_at,
            "duration_s": round(self.duration_s, 3),
            "level": self.level,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "checks": [_plain(c) for c in self.checks],
            "findings": [_plain(f) for f in self.findings],
            "measurements": [_plain(m) for m in self.measurements],
            "answers": dict(self.answers),
            **({"suppressed": [_plain(f) for f in self.suppressed]} if self.suppressed else {}),
            **({"titles": dict(self.titles)} if self.titles else {}),
            "changes": [_plain(c) for c in self.changes],
            **({"changes_since": self.changes_since} if self.changes_since is not None else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """Return the report that `to_json` wrote. Raises `ValueError` on another schema version."""
        if data.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(
                f"report schema_version {data.get('schema_version')!r}, this doctor reads {SCHEMA_VERSION}"
            )
        machine = {**data["machine"], "roles": tuple(data["machine"].get("roles", ()))}
        return cls(
            doctor=data["doctor"],
            machine=MachineInfo(**machine),
            started_at=data["started_at"],
            duration_s=data["duration_s"],
            level=data["level"],
            verdict=data["verdict"],
            exit_code=data["exit_code"],
            checks=tuple(CheckResult(**c) for c in data["checks"]),
            findings=tuple(finding_from_json(f) for f in data["findings"]),
            measurements=tuple(Measurement(**m) for m in data["measurements"]),
            answers=data.get("answers", {}),
            titles=data.get("titles", {}),
            changes=tuple(Change(**c) for c in data.get("changes", ())),
            changes_since=data.get("changes_since"),
            suppressed=tuple(finding_from_json(f) for f in data.get("suppressed", ())),
        )


def finding_from_json(data: Mapping[str, Any]) -> Finding:
    """Return the finding that `Report.to_json` wrote."""
    fix = data["fix"]
    return Finding(
        **{k: v for k, v in data.items() if k != "fix"},
        fix=Fix(summary=fix["summary"], commands=tuple(fix["commands"]), repair=fix.get("repair")),
    )


def _plain(value: Any) -> Any:
    """Return a dataclass as JSON values; optional fields that are None are left out."""
    if hasattr(value, "__dataclass_fields__"):
        items = ((name, getattr(value, name)) for name in value.__dataclass_fields__)
        return {name: _plain(v) for name, v in items if v is not None}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return round(value, 6) if isinstance(value, float) else value


def status_of(findings: Iterable[Finding]) -> Status:
    """Return how a check that ran to its end is reported: `fail` on an error, `warn` on a warning, else `pass`."""
    severities = {f.severity for f in findings}
    return "fail" if "error" in severities else "warn" if "warning" in severities else "pass"


def at_least(level: Level, other: Level) -> bool:
    """Return whether `level` goes as deep as `other`."""
    return LEVELS.index(level) >= LEVELS.index(other)


def conclude(
    checks: Iterable[CheckResult], findings: Iterable[Finding], fail_on: FailOn = "error"
) -> tuple[Verdict, int]:
    """Return the verdict and the exit code of a run. The only place where either is decided.

    Nothing that ran to its end is not success: without one check that passed, warned or failed the verdict is
    `unknown`. Unhealthy and unknown together give exit code 1.
    """
    statuses = {c.status for c in checks}
    severities = {f.severity for f in findings}
    unknown = "error" in statuses or not statuses & {"pass", "warn", "fail"}
    verdict: Verdict
    if "error" in severities:
        verdict = "unhealthy"
    elif unknown:
        verdict = "unknown"
    else:
        verdict = "degraded" if "warning" in severities else "healthy"
    failing = cast("tuple[Severity, ...]", {"error": ("error",), "warning": ("error", "warning"), "never": ()}[fail_on])
    if severities & set(failing):
        return verdict, EXIT_UNHEALTHY
    return verdict, EXIT_UNKNOWN if unknown else EXIT_HEALTHY


def nagios_status(report: Report) -> int:
    """Return the exit code of a Nagios plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

    What --fail-on counts as failing is critical, whatever its severity.
    """
    if report.exit_code == EXIT_UNHEALTHY:
        return 2
    return {"healthy": 0, "degraded": 1, "unhealthy": 1, "unknown": 3}[report.verdict]
