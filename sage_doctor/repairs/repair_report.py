"""What a repair session did: the reports before and after, and every attempt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sage_doctor.findings.many import each_file
from sage_doctor.repairs.repair import Plan
from sage_doctor.report import Finding, Report
from sage_doctor.system.frozen import frozen

RepairStatus = Literal["planned", "declined", "refused", "failed", "rolled-back", "repaired"]


@frozen
class Attempt:
    """One repair of one finding, and its result. `plan` is None if none could be made; `reason` says why.

    `title` is what people call the finding's subject.
    """

    finding: Finding
    repair: str
    status: RepairStatus
    plan: Plan | None = None
    reason: str = ""
    title: str = ""


@frozen
class RepairReport:
    """The reports before and after, and every attempt in order.

    `in_config` is whether a base can be written only into the adapter's configuration, with `--write-config`.
    """

    before: Report
    after: Report
    attempts: tuple[Attempt, ...]
    dry_run: bool = False
    in_config: bool = False

    @property
    def fixed(self) -> tuple[Finding, ...]:
        """Findings of the report before that are not in the report after, in none of their files."""
        left, tried = _keys(self.after.findings), _keys(a.finding for a in self.attempts)
        return tuple(
            f for f in self.before.findings if not _keys([f]) & left and (is_problem(f) or _keys([f]) <= tried)
        )

    @property
    def remaining(self) -> tuple[Finding, ...]:
        """Errors and warnings of the report after."""
        return tuple(f for f in self.after.findings if is_problem(f))

    def is_new(self, finding: Finding) -> bool:
        """Return whether a remaining finding is not in the report before."""
        return not _keys([finding]) <= _keys(self.before.findings)


def is_problem(finding: Finding) -> bool:
    """Return whether a finding is an error or a warning."""
    return finding.severity != "info"


def _keys(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    return {(f.code, each.subject) for f in findings for each in each_file(f)}
