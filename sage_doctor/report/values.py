"""The values of a report, and its JSON: what the published schema describes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeVar

from sage_doctor.text import printable

Severity = Literal["error", "warning", "info"]
Level = Literal["static", "integrity", "load", "generate"]
Status = Literal["pass", "warn", "fail", "skip", "error"]
Verdict = Literal["healthy", "degraded", "unhealthy", "unknown"]
Made = TypeVar("Made")

SCHEMA_VERSION: Final = 1
LEVELS: Final[tuple[Level, ...]] = ("static", "integrity", "load", "generate")
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")
NOTHING_TO_DO: Final = "Nothing to do"  # how the fix of a mere information begins
MACHINE: Final = "machine"  # the subject of findings about the host itself


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
    """One measured quantity of one subject; `budget` is its limit in the same unit, where one is set.

    `history` is what comparable earlier runs measured, oldest first.
    """

    subject: str
    name: str
    value: float
    unit: str
    budget: float | None = None
    history: tuple[float, ...] = ()

    @property
    def is_rate(self) -> bool:
        """Whether more of it is better: its budget is a minimum, every other budget a maximum."""
        return self.unit.endswith("/s")

    @property
    def misses_budget(self) -> bool:
        """Whether it is beyond its budget. NaN misses every budget."""
        if self.budget is None:
            return False
        return not (self.value >= self.budget if self.is_rate else self.value <= self.budget)


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
class ModelInfo:
    """What a model is here, so that two machines can be compared.

    `weights` is a digest of its weight files, None where their hashes are not known; `shapes` is one of the tensors'
    names, types and shapes. `nbytes` is the size of the weight files. `base` is what an adapter is loaded onto: the
    manifest's name for it, else what its configuration says.
    """

    name: str
    kind: str
    path: str
    found: bool = True
    nbytes: int | None = None
    weights: str | None = None
    shapes: str | None = None
    base: str | None = None


@dataclass(frozen=True, kw_only=True)
class RoleInfo:
    """What a role of the manifest needs, as subjects of the report.

    `here` is whether this machine is meant to run it. `models` are models and services, the bases of adapters
    included; `others` are runners, heartbeats and states; `elsewhere` are models that only other machines have.
    """

    name: str
    here: bool
    models: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything one run found. `findings` are ordered root cause first.

    `titles` is what people call a subject whose name does not tell: the directory `.`, a snapshot of the hub's cache.
    `changes` is what differs from the last good run, which began at `changes_since` (ISO 8601); None where this run is
    itself well, or where no such run is known. `suppressed` are findings that were ignored, or not selected: they
    count for nothing. `models` and `roles` say what was to be examined; a report that an older doctor wrote has none.
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
    models: tuple[ModelInfo, ...] = ()
    roles: tuple[RoleInfo, ...] = ()
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
            **({"models": [_plain(m) for m in self.models]} if self.models else {}),
            **({"roles": [_plain(r) for r in self.roles]} if self.roles else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """Return the report that `to_json` wrote, also one with fields that are not known yet.

        Raises `ValueError` on another schema version.
        """
        if data.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(
                f"report schema_version {data.get('schema_version')!r}, this doctor reads {SCHEMA_VERSION}"
            )
        return cls(
            doctor=data["doctor"],
            machine=_made(MachineInfo, data["machine"]),
            started_at=data["started_at"],
            duration_s=data["duration_s"],
            level=data["level"],
            verdict=data["verdict"],
            exit_code=data["exit_code"],
            checks=tuple(_made(CheckResult, c) for c in data["checks"]),
            findings=tuple(finding_from_json(f) for f in data["findings"]),
            measurements=tuple(measurement_from_json(m) for m in data["measurements"]),
            answers=data.get("answers", {}),
            titles=data.get("titles", {}),
            changes=tuple(_made(Change, c) for c in data.get("changes", ())),
            changes_since=data.get("changes_since"),
            models=tuple(_made(ModelInfo, m) for m in data.get("models", ())),
            roles=tuple(_made(RoleInfo, r) for r in data.get("roles", ())),
            suppressed=tuple(finding_from_json(f) for f in data.get("suppressed", ())),
        )


def finding_from_json(data: Mapping[str, Any]) -> Finding:
    """Return the finding that `Report.to_json` wrote."""
    return _made(Finding, {**data, "fix": _made(Fix, data["fix"])})


def measurement_from_json(data: Mapping[str, Any]) -> Measurement:
    """Return the measurement that `Report.to_json` wrote; a value that was not a finite number is NaN."""
    value = data["value"]  # JSON has no NaN
    return _made(Measurement, {**data, "value": math.nan if value is None else value})


def _made(made: type[Made], data: Mapping[str, Any]) -> Made:
    """Return JSON values as a dataclass: lists as tuples, and without what a newer doctor has added."""
    known = [f.name for f in fields(made) if f.name in data]  # type: ignore[arg-type]
    return made(**{name: tuple(v) if isinstance(v := data[name], list) else v for name in known})


def _plain(value: Any) -> Any:
    """Return a dataclass as JSON values; optional fields that are None are left out, and a history that is empty."""
    if hasattr(value, "__dataclass_fields__"):
        items = ((name, getattr(value, name)) for name in value.__dataclass_fields__)
        return {name: _plain(v) for name, v in items if v is not None and not (name == "history" and v == ())}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return round(value, 6) if isinstance(value, float) else value
