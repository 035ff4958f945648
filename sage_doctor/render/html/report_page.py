"""What the page of one report shows, as values for its template."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sage_doctor.findings import catalogue
from sage_doctor.render.html.chart import HEIGHT, WIDTH, chart_of
from sage_doctor.report import LEVELS, MACHINE, NOTHING_TO_DO, SEVERITIES, CheckResult, Finding, Measurement, Report
from sage_doctor.report.next_step import commands_of, next_step
from sage_doctor.report.quantities import measured_name, quantity
from sage_doctor.report.readiness import answer
from sage_doctor.report.subjects import Subject, is_blocked, subjects_of
from sage_doctor.text import format_bytes, format_duration, printable

_MOST_ALIKE: Final = 20  # findings of one cause that are shown unfolded
_MOST_COMMANDS: Final = 20
_MOST_EVIDENCE: Final = 3_000  # characters
_ORDER: Final = ("unhealthy", "unknown", "warning", "info", "skipped", "healthy")
_WORDS: Final[Mapping[str, str]] = {
    "unhealthy": "broken",
    "unknown": "not known",
    "warning": "warning",
    "info": "not needed here",
    "skipped": "not examined",
    "healthy": "in order",
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """How the checks of one level ended for one subject."""

    state: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One subject of the table: a cell for each level, and its checks by how they ended."""

    subject: Subject
    word: str
    cells: tuple[Cell, ...]
    passed: tuple[str, ...]
    others: tuple[CheckResult, ...]


@dataclass(kw_only=True)
class Cause:
    """All findings of one code and severity."""

    code: str
    severity: str
    title: str
    why: str
    found: list[tuple[str, Finding]] = field(default_factory=list)

    @property
    def fixes(self) -> list[str]:
        """The distinct things to do."""
        told = (f.fix.summary for _, f in self.found)
        return [t for t in dict.fromkeys(told) if t and not t.startswith(NOTHING_TO_DO)][:_MOST_COMMANDS]

    @property
    def commands(self) -> list[str]:
        """The distinct commands that do them."""
        return list(dict.fromkeys(c for _, f in self.found for c in commands_of(f)))

    @property
    def evidence(self) -> list[tuple[str, str]]:
        """What was seen of the first findings, as JSON."""
        return [(title, _evidence(f)) for title, f in self.found[:_MOST_ALIKE] if f.evidence]


def report_page(report: Report) -> dict[str, Any]:
    """Return the values of `report.html.jinja`."""
    subjects = subjects_of(report)
    titles = {s.name: s.title for s in subjects}
    rows = [_row(s) for s in subjects]
    rows.sort(key=lambda r: (_ORDER.index(r.subject.state), r.subject.name != MACHINE))
    machine = report.machine
    facts = {
        "machine": machine.name,
        "roles": ", ".join(machine.roles),
        "accelerator": machine.accelerator or "",
        "memory": format_bytes(machine.memory_bytes) if machine.memory_bytes else "",
        "platform": machine.platform or "",
        "level": report.level,
        "took": format_duration(report.duration_s),
        "sage-doctor": report.doctor.get("version", ""),
    }
    return {
        "report": report,
        "answer": answer(report),
        "step": next_step(report),
        "started": report.started_at[:19].replace("T", " "),
        "facts": {name: value for name, value in facts.items() if value},
        "levels": LEVELS,
        "counts": Counter(r.word for r in rows),
        "rows": rows,
        "causes": _causes(report, titles),
        "stuck": [(titles[c.subject], c) for c in report.checks if c.status == "error"],
        "measured": [_measured(titles[m.subject], m) for m in report.measurements],
        "answers": {titles[name]: text for name, text in report.answers.items()},
        "most_alike": _MOST_ALIKE,
        "most_commands": _MOST_COMMANDS,
        "chart": (WIDTH, HEIGHT),
    }


def _row(subject: Subject) -> Row:
    return Row(
        subject=subject,
        word="suppressed" if subject.state == "info" and subject.ignored else _WORDS[subject.state],
        cells=tuple(_cell([c for c in subject.checks if c.level == level]) for level in LEVELS),
        passed=tuple(c.id for c in subject.checks if c.status == "pass"),
        others=tuple(c for c in subject.checks if c.status != "pass"),
    )


def _cell(checks: list[CheckResult]) -> Cell:
    ended = Counter("blocked" if is_blocked(c) else c.status for c in checks)
    words = {
        "fail": ("fail", "failed"),
        "error": ("error", "failed to run"),
        "warn": ("warn", "warned"),
        "blocked": ("skip", "not run"),
        "pass": ("pass", "passed"),
    }
    told = [f"{ended[status]} {word}" for status, (_, word) in words.items() if ended[status]]
    state = next((state for status, (state, _) in words.items() if ended[status]), "none")
    return Cell(state=state, words=", ".join(told) or "–")


def _causes(report: Report, titles: Mapping[str, str]) -> list[Cause]:
    causes: dict[tuple[str, str], Cause] = {}
    for finding in report.findings:
        known = catalogue.find(finding.code)
        cause = causes.setdefault(
            (finding.severity, finding.code),
            Cause(
                code=finding.code,
                severity=finding.severity,
                title=known.title if known is not None else "",
                why=known.cause if known is not None else "",
            ),
        )
        cause.found.append((titles[finding.subject], finding))
    return sorted(causes.values(), key=lambda c: SEVERITIES.index(c.severity))


def _evidence(finding: Finding) -> str:
    kept = {k: v for k, v in finding.evidence.items() if k not in ("needed_here", "severity_where_needed")}
    text = json.dumps(kept, indent=1, ensure_ascii=False, default=str)
    return printable(text[: _MOST_EVIDENCE + 1], limit=_MOST_EVIDENCE, keep="\n")


def _measured(title: str, measurement: Measurement) -> dict[str, Any]:
    budget = measurement.budget
    limit = "at least" if measurement.is_rate else "at most"
    return {
        "subject": title,
        "name": measured_name(measurement),
        "value": quantity(measurement.value, measurement.unit),
        "budget": f"{limit} {quantity(budget, measurement.unit)}" if budget is not None else "",
        "missed": measurement.misses_budget,
        "chart": chart_of(measurement),
    }
