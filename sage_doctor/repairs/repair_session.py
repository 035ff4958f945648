"""Findings → plans → consent → changes → verification by the checks: a change that fails it is rolled back."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sage_doctor.errors import DoctorError
from sage_doctor.findings.base_options import known_bases
from sage_doctor.findings.many import about, each_file
from sage_doctor.repairs.application import apply_plan
from sage_doctor.repairs.asked_bases import SET_BASE, asked_bases, bases_by_name
from sage_doctor.repairs.journal import FILE_NAME, Journal
from sage_doctor.repairs.registry import RENAMED, all_repairs
from sage_doctor.repairs.repair import FileRepairContext, Plan, Repair, RepairContext, RepairOptions, RepairRefused
from sage_doctor.repairs.repair_report import Attempt, RepairReport, is_problem
from sage_doctor.repairs.verification import (
    files_failure,
    files_outcome,
    group_by_repository,
    verification_failure,
)
from sage_doctor.report import EXIT_UNHEALTHY, Finding, Level, Report, at_least
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.selection import Request, select
from sage_doctor.suite.examine import examine
from sage_doctor.system.activity import OnProgress, ignore
from sage_doctor.system.frozen import frozen
from sage_doctor.system.state_directory import state_directory
from sage_doctor.text import printable, shell_quote

Consent = Callable[[Plan], bool]

# Few repairs fix what only a load shows: models are loaded only at the end, unless a level was asked for.
DEEPEST_BEFORE: Level = "integrity"
MERGE = "merge"


@frozen
class RepairCallbacks:
    """The caller's part: `consent` decides about each plan, `on_outcome` receives each attempt.

    `choose` gets an adapter's name and the directories that may be its base, and returns one, or None for no answer.
    """

    consent: Consent
    choose: Callable[[str, Sequence[Path]], Path | None] = lambda _adapter, _choices: None
    on_outcome: Callable[[Attempt], None] = lambda _attempt: None
    on_progress: OnProgress = ignore


def journal_of(environ: Mapping[str, str]) -> Journal:
    """Return this user's journal."""
    return Journal(path=state_directory(environ) / FILE_NAME)


def _is_problem_where_needed(finding: Finding) -> bool:
    return finding.evidence.get("severity_where_needed") in ("error", "warning")


def run_repairs(
    request: Request, callbacks: RepairCallbacks, *, options: RepairOptions, journal: Journal
) -> RepairReport:
    """Examine, repair one finding after the other, and examine again. Raises like `suite.examine`.

    The report after goes to the level of the request. If nothing was changed and the report before has an error
    already, it is the report before.
    """
    return _RepairSession(request, callbacks, options, journal).run()


class _RepairSession:
    """One run of `run_repairs`."""

    def __init__(self, request: Request, callbacks: RepairCallbacks, options: RepairOptions, journal: Journal) -> None:
        request = dataclasses.replace(request, cwd=request.cwd or os.getcwd())
        self.level: Level = request.level or select(request).level
        deep = request.level is None and at_least(self.level, DEEPEST_BEFORE)
        shallow: Level = DEEPEST_BEFORE if deep else self.level
        self.request = dataclasses.replace(request, level=shallow)
        self.callbacks, self.options, self.journal = callbacks, options, journal
        self.repairs: Mapping[str, Repair] = all_repairs()
        self.attempts: list[Attempt] = []

    def run(self) -> RepairReport:
        selection = select(self.request)
        models = selection.models if self.options.bases else ()
        self.bases = bases_by_name(models, self.options.bases)
        before = state = self._examine(self.request.level or "static")
        self.without_base = {f.subject for f in before.findings if f.code in self.repairs[SET_BASE].codes}
        tried: set[tuple[str, str, str]] = set()
        asked = asked_bases(models, self.bases, before, self.without_base)
        while (found := next(asked, None) or self._next(state, tried)) is not None:
            group = self._named(group_by_repository(found, state.findings, self._repair(found)))
            tried |= {_key(f) for f in group}
            attempt, state = self._attempt(found, state, group)
            self.attempts.append(attempt)
            self.callbacks.on_outcome(attempt)
        # Scripts are no models: after a change of theirs alone, none is loaded.
        changed = any(a.status == "repaired" and not self.repairs[a.repair].of_files for a in self.attempts)
        deeper = self.level != self.request.level and not (self.options.rewrite_paths and not changed)
        if changed or (deeper and not self.options.dry_run and before.exit_code != EXIT_UNHEALTHY):
            state = self._examine(self.level)
        return RepairReport(
            before=before,
            after=state,
            attempts=tuple(self.attempts),
            dry_run=self.options.dry_run,
            in_config=not any(m.spec is not None for m in selection.models),
        )

    def _examine(self, level: Level) -> Report:
        request = dataclasses.replace(self.request, level=level)
        return examine(request, on_progress=self.callbacks.on_progress)

    def _next(self, state: Report, tried: set[tuple[str, str, str]]) -> Finding | None:
        """Return the finding whose repair comes first, among those not tried yet."""
        order = list(self.repairs)
        findings = [self._with_current_repair(f) for f in state.findings]
        known = [f for f in findings if self._repair(f) is not None and _key(f) not in tried]
        inputs = self._merge_inputs(known)
        wanted = {f.subject for f in known if (made := self._repair(f)) is not None and made.of_files}
        wanted |= {f.subject for f in known if f.subject in inputs and _is_problem_where_needed(f)}
        waiting = [f for f in known if is_problem(f) or f.subject in wanted]
        return min(waiting, key=lambda f: order.index(f.fix.repair or ""), default=None)

    def _with_current_repair(self, finding: Finding) -> Finding:
        """Return the finding with its repair's current name; with `set-base` if `--base` names the adapter's base."""
        name = RENAMED.get(finding.fix.repair or "", finding.fix.repair)
        if finding.code in self.repairs[SET_BASE].codes and self._base_option(finding):
            name = SET_BASE
        return dataclasses.replace(finding, fix=dataclasses.replace(finding.fix, repair=name))

    def _base_option(self, finding: Finding) -> str | None:
        return self.bases.get(finding.subject, self.bases.get(""))

    def _merge_inputs(self, waiting: list[Finding]) -> set[str]:
        """Return the models that others are to be merged from: they must be healthy although no role needs them."""
        merged = {f.subject for f in waiting if is_problem(f) and f.fix.repair == MERGE}
        if not merged:
            return set()
        recipes = [m.spec.merge for m in select(self.request).models if m.name in merged and m.spec is not None]
        return {name for recipe in recipes if recipe is not None for name in (recipe.base, recipe.adapter)}

    def _repair(self, finding: Finding) -> Repair | None:
        made = self.repairs.get(finding.fix.repair or "")
        if made is not None and made.of_files and not self._may_rewrite(finding):
            return None
        if made is not None and not made.of_files and self.options.files and not self.request.targets:
            return None  # only scripts were named
        return made if made is not None and finding.code in made.codes else None

    def _may_rewrite(self, finding: Finding) -> bool:
        named = self.options.files
        return self.options.rewrite_paths and (not named or any(Path(e.file) in named for e in each_file(finding)))

    def _named(self, group: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Return the findings without those about files that were not named; what is about a model stays."""
        if (made := self._repair(group[0])) is not None and not made.of_files:
            return group
        return tuple(about(f, self.options.files) for f in group if not self.options.files or self._may_rewrite(f))

    def _attempt(self, finding: Finding, state: Report, group: tuple[Finding, ...]) -> tuple[Attempt, Report]:
        """Plan, ask, apply and verify. Return the attempt and the report that holds after it."""
        repair = self._repair(finding)
        assert repair is not None  # `_next` chose it
        title = state.titles.get(finding.subject, finding.subject)
        attempt = Attempt(finding=finding, repair=repair.name, status="refused", title=title)
        self.callbacks.on_progress(f"{printable(title, limit=60)}: planning {repair.name}")
        try:
            plan = self._plan(repair, finding, group, state)
        except (DoctorError, OSError) as error:
            return dataclasses.replace(attempt, reason=str(error)), state
        attempt = dataclasses.replace(attempt, plan=plan)
        if self.options.dry_run:
            return dataclasses.replace(attempt, status="planned"), state
        if not self.callbacks.consent(plan):
            return dataclasses.replace(attempt, status="declined"), state
        after = state

        def verify() -> str:
            nonlocal after
            after = self._examine(self._level_of(finding, state))
            if repair.of_files:
                return files_failure(group, state, after)
            return verification_failure(finding, state, after, repair.disproved_by)

        status, reason = apply_plan(plan, self.journal, self.callbacks.on_progress, verify)
        if status == "repaired":
            reason = files_outcome(group, after) if repair.of_files else ""
            state = _with_deeper(after, state)
        return dataclasses.replace(attempt, status=status, reason=reason), state

    def _plan(self, repair: Repair, finding: Finding, group: tuple[Finding, ...], state: Report) -> Plan:
        if repair.of_files:
            host = select(self.request).host
            plan = repair.plan(FileRepairContext(findings=group, host=host, options=self.options))
        else:
            plan = repair.plan(self._context(finding))
        subject = plan.subject or finding.subject
        code = "" if finding.evidence.get("asked") else finding.code
        return dataclasses.replace(
            plan, repair=repair.name, subject=subject, code=code, title=state.titles.get(subject, "")
        )

    def _level_of(self, finding: Finding, state: Report) -> Level:
        """Return how deep the check that found it went."""
        check = next((c for c in state.checks if c.id == finding.check and c.subject == finding.subject), None)
        return check.level if check is not None else self.request.level or "static"

    def _context(self, finding: Finding) -> RepairContext:
        model = next((m for m in select(self.request).models if m.name == finding.subject), None)
        if model is None:
            raise RepairRefused(f"{printable(finding.subject)} is no longer a model of this run")
        base = self._base_for(finding, model) if finding.fix.repair == SET_BASE else None
        return RepairContext(finding=finding, model=model, base=base, options=self.options)

    def _base_for(self, finding: Finding, model: Model) -> str | None:
        """Return the adapter's base as the user names it: by `--base`, or now if there are several candidates."""
        base = self._base_option(finding)
        if base is None and not self.options.dry_run and len(choices := known_bases(model)) > 1:
            chosen = self.callbacks.choose(model.name, choices)
            return None if chosen is None else str(chosen)
        if base is not None and finding.subject not in self.bases and len(self.without_base) > 1:
            raise RepairRefused(
                f"--base {printable(base)} is ambiguous: {len(self.without_base)} adapters need a base. "
                f"Write --base {shell_quote(model.name)}={shell_quote(base)}."
            )
        return base


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.fix.repair or "", finding.subject, finding.code


def _with_deeper(after: Report, state: Report) -> Report:
    """Return the newer report with the findings of deeper checks, which only the older one ran."""
    deeper = {(c.id, c.subject) for c in state.checks if not at_least(after.level, c.level)}
    kept = tuple(f for f in state.findings if (f.check, f.subject) in deeper)
    return dataclasses.replace(after, findings=(*after.findings, *kept))
