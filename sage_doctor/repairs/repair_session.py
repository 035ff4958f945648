"""Findings → plans → consent → changes → the checks again: what the checks are not content with is taken back."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.findings.repairability import base_choices
from sage_doctor.repairs.journal import FILE_NAME, Journal
from sage_doctor.repairs.registry import all_repairs
from sage_doctor.repairs.repair import FileSituation, Plan, Repair, RepairContext, RepairRefused, Tell
from sage_doctor.repairs.verification import (
    discontent_of_files,
    group_by_repository,
    outcome_of_files,
    verification_failure,
)
from sage_doctor.report import EXIT_UNHEALTHY, FailOn, Finding, Level, Report, at_least
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Request, select
from sage_doctor.suite.examine import examine
from sage_doctor.system.file_steps import Applied
from sage_doctor.system.state_directory import state_directory
from sage_doctor.text import join_limited, printable, shell_quote

RepairStatus = Literal["planned", "declined", "refused", "failed", "undone", "repaired"]
Consent = Callable[[Plan], bool]

# Hardly a repair cures what only a load shows: before the end nothing is loaded, unless a level was asked for.
DEEPEST_BEFORE: Level = "integrity"
MERGE = "merge"
NAME_BASE = "name-base"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One repair of one finding, and how it ended. `plan` is None where there was none; `reason` says why."""

    finding: Finding
    repair: str
    ending: RepairStatus
    plan: Plan | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class RepairReport:
    """What came of it: the reports before and after, and every attempt in its order."""

    before: Report
    after: Report
    attempts: tuple[Attempt, ...]
    dry_run: bool = False

    @property
    def gone(self) -> tuple[Finding, ...]:
        """What was found before and is not found any more."""
        left = {(f.code, f.subject) for f in self.after.findings}
        tried = {(a.finding.code, a.finding.subject) for a in self.attempts}
        lost = [f for f in self.before.findings if (f.code, f.subject) not in left]
        return tuple(f for f in lost if _matters(f) or (f.code, f.subject) in tried)

    @property
    def remaining(self) -> tuple[Finding, ...]:
        """What is still found, or newly so."""
        return tuple(f for f in self.after.findings if _matters(f))


@dataclass(frozen=True, kw_only=True)
class RepairOptions:
    """How the caller wants it done. `write_config` allows changes of adapter_config.json instead of the manifest.

    `bases` says what an adapter's base is, by the adapter's name: a model of the manifest or a directory. An empty name
    stands for the one adapter that asks. `rewrite_paths` allows changes of scripts, `allow_dirty` also where their
    work tree has changes that are not committed.
    """

    dry_run: bool = False
    write_config: bool = False
    rewrite_paths: bool = False
    allow_dirty: bool = False
    bases: Mapping[str, str] = field(default_factory=dict)
    fail_on: FailOn = "error"


@dataclass(frozen=True, kw_only=True)
class RepairCallbacks:
    """Who is asked and told: `consent` decides about each plan, `told` hears how each attempt ended.

    `choose` is given an adapter's name and the directories that may be its base; None where nobody answers.
    """

    consent: Consent
    choose: Callable[[str, Sequence[Path]], Path | None] = lambda _adapter, _choices: None
    told: Callable[[Attempt], None] = lambda _attempt: None
    on_progress: Tell = lambda _text: None


def journal_of(environ: Mapping[str, str]) -> Journal:
    """Return this user's journal."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    return Journal(path=state_directory(environ, home) / FILE_NAME)


def _matters(finding: Finding) -> bool:
    return finding.severity != "info"


def _would_matter(finding: Finding) -> bool:
    return finding.evidence.get("severity_where_needed") in ("error", "warning")


def run_repairs(
    request: Request, audience: RepairCallbacks, *, wishes: RepairOptions, journal: Journal
) -> RepairReport:
    """Examine, repair one finding after the other, and examine again. Raises like `suite.examine`.

    The report after goes to the level of the request. Where nothing was changed, and what was found before is an
    error already, it is the report before.
    """
    return _RepairSession(request, audience, wishes, journal).run()


class _RepairSession:
    """One run of `run_repairs`."""

    def __init__(self, request: Request, audience: RepairCallbacks, wishes: RepairOptions, journal: Journal) -> None:
        request = dataclasses.replace(request, cwd=request.cwd or os.getcwd())
        self.level: Level = request.level or select(request).level
        deep = request.level is None and at_least(self.level, DEEPEST_BEFORE)
        shallow: Level = DEEPEST_BEFORE if deep else self.level
        self.request = dataclasses.replace(request, level=shallow)
        self.audience, self.wishes, self.journal = audience, wishes, journal
        self.repairs: Mapping[str, Repair] = all_repairs()
        self.attempts: list[Attempt] = []

    def run(self) -> RepairReport:
        self._require_known()
        before = state = self._examine(self.request.level or "static")
        self.asking = {f.subject for f in before.findings if f.code in self.repairs[NAME_BASE].codes}
        tried: set[tuple[str, str, str]] = set()
        while (found := self._next(state, tried)) is not None:
            group = group_by_repository(found, state.findings, self._repair(found))
            tried |= {_key(f) for f in group}
            attempt, state = self._attempt(found, state, group)
            self.attempts.append(attempt)
            self.audience.told(attempt)
        changed = any(a.ending == "repaired" for a in self.attempts)
        deeper = self.level != self.request.level
        if changed or (deeper and not self.wishes.dry_run and before.exit_code != EXIT_UNHEALTHY):
            state = self._examine(self.level)
        return RepairReport(before=before, after=state, attempts=tuple(self.attempts), dry_run=self.wishes.dry_run)

    def _require_known(self) -> None:
        """Raise `UsageError` where a base is named for an adapter that nobody knows."""
        known = {m.name for m in select(self.request).models if m.kind == "adapter"} if self.wishes.bases else set()
        for name in sorted(set(self.wishes.bases) - known - {""}):
            there = join_limited(sorted(known)) or "none"
            raise UsageError(f"--base {printable(name)}=…: no adapter of that name is examined here ({there})")

    def _examine(self, level: Level) -> Report:
        request = dataclasses.replace(self.request, level=level)
        return examine(request, fail_on=self.wishes.fail_on, on_progress=self.audience.on_progress)

    def _next(self, state: Report, tried: set[tuple[str, str, str]]) -> Finding | None:
        """Return the finding whose repair comes first, among those not tried yet."""
        order = list(self.repairs)
        answered = [self._answered(f) for f in state.findings]
        known = [f for f in answered if self._repair(f) is not None and _key(f) not in tried]
        ingredients = self._ingredients(known)
        asked = {f.subject for f in known if (made := self._repair(f)) is not None and made.plan_files is not None}
        asked |= {f.subject for f in known if f.subject in ingredients and _would_matter(f)}
        waiting = [f for f in known if _matters(f) or f.subject in asked]
        return min(waiting, key=lambda f: order.index(f.fix.repair or ""), default=None)

    def _answered(self, finding: Finding) -> Finding:
        """Return a finding that asks for a base with the repair that names it, where a person said which it is."""
        if finding.fix.repair or finding.code not in self.repairs[NAME_BASE].codes or not self._answer(finding):
            return finding
        return dataclasses.replace(finding, fix=dataclasses.replace(finding.fix, repair=NAME_BASE))

    def _answer(self, finding: Finding) -> str | None:
        return self.wishes.bases.get(finding.subject, self.wishes.bases.get(""))

    def _ingredients(self, waiting: list[Finding]) -> set[str]:
        """Return the models from which others are to be merged: no role needs them, and yet they must be well."""
        merged = {f.subject for f in waiting if _matters(f) and f.fix.repair == MERGE}
        if not merged:
            return set()
        recipes = [m.spec.merge for m in select(self.request).models if m.name in merged and m.spec is not None]
        return {name for recipe in recipes if recipe is not None for name in (recipe.base, recipe.adapter)}

    def _repair(self, finding: Finding) -> Repair | None:
        made = self.repairs.get(finding.fix.repair or "")
        if made is not None and made.plan_files is not None and not self.wishes.rewrite_paths:
            return None
        return made if made is not None and finding.code in made.codes else None

    def _attempt(self, finding: Finding, state: Report, group: tuple[Finding, ...]) -> tuple[Attempt, Report]:
        """Plan, ask, do, and look. Return how it ended, with the report that then holds."""
        repair = self._repair(finding)
        assert repair is not None  # `_next` chose it
        attempt = Attempt(finding=finding, repair=repair.name, ending="refused")
        try:
            plan = self._plan(repair, finding, group)
        except (DoctorError, OSError) as error:
            return dataclasses.replace(attempt, reason=str(error)), state
        if self.wishes.dry_run:
            return dataclasses.replace(attempt, plan=plan, ending="planned"), state
        if not self.audience.consent(plan):
            return dataclasses.replace(attempt, plan=plan, ending="declined"), state
        key = self.journal.begin(
            repair=plan.repair, subject=plan.subject, code=plan.code, writes=plan.writes, kept=plan.kept, diff=plan.diff
        )
        try:
            applied = plan.apply(self.audience.on_progress)
        except (DoctorError, OSError) as error:
            self.journal.append("failed", key, reason=str(error))
            return dataclasses.replace(attempt, plan=plan, ending="failed", reason=str(error)), state
        except BaseException:
            self.journal.append("interrupted", key)
            raise
        return self._look_again(plan, applied, key, finding, state, group)

    def _plan(self, repair: Repair, finding: Finding, group: tuple[Finding, ...]) -> Plan:
        if repair.plan_files is None:
            return repair.plan(self._situation(finding))
        host = select(self.request).host
        return repair.plan_files(FileSituation(findings=group, host=host, allow_dirty=self.wishes.allow_dirty))

    def _look_again(
        self, plan: Plan, applied: Applied, key: str, finding: Finding, state: Report, group: tuple[Finding, ...]
    ) -> tuple[Attempt, Report]:
        led = next((c for c in state.checks if c.id == finding.check and c.subject == finding.subject), None)
        level: Level = led.level if led is not None else self.request.level or "static"
        try:
            after = self._examine(level)
            files = self.repairs[plan.repair].plan_files is not None
            reason = discontent_of_files(group, state, after) if files else verification_failure(finding, state, after)
        except BaseException:
            applied.rollback()
            self.journal.append("interrupted", key)
            raise
        if reason:
            applied.rollback()
            self.journal.append("undone", key, reason=reason)
            return Attempt(finding=finding, repair=plan.repair, plan=plan, ending="undone", reason=reason), state
        self.journal.append("repaired", key)
        applied.commit()
        said = outcome_of_files(group, after) if files else ""
        attempt = Attempt(finding=finding, repair=plan.repair, plan=plan, ending="repaired", reason=said)
        return attempt, _with_deeper(after, state)

    def _situation(self, finding: Finding) -> RepairContext:
        model = next((m for m in select(self.request).models if m.name == finding.subject), None)
        if model is None:
            raise RepairRefused(f"{printable(finding.subject)} is no model of this run any more")
        base = self._base_for(finding, model) if finding.fix.repair == NAME_BASE else None
        return RepairContext(finding=finding, model=model, write_config=self.wishes.write_config, base=base)

    def _base_for(self, finding: Finding, model: Model) -> str | None:
        """Return what a person says the adapter's base is: on the command line, or asked now where several may be."""
        said = self._answer(finding)
        if said is None and not self.wishes.dry_run and len(choices := base_choices(model)) > 1:
            chosen = self.audience.choose(model.name, choices)
            return None if chosen is None else str(chosen)
        if said is not None and finding.subject not in self.wishes.bases and len(self.asking) > 1:
            raise RepairRefused(
                f"--base {printable(said)} does not say for which adapter, and {len(self.asking)} ask for one. "
                f"Say --base {shell_quote(model.name)}={shell_quote(said)}."
            )
        return said


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.fix.repair or "", finding.subject, finding.code


def _with_deeper(after: Report, state: Report) -> Report:
    """Return the newer report with what only the older one looked for, because it went deeper."""
    deeper = {(c.id, c.subject) for c in state.checks if not at_least(after.level, c.level)}
    kept = tuple(f for f in state.findings if (f.check, f.subject) in deeper)
    return dataclasses.replace(after, findings=(*after.findings, *kept))
