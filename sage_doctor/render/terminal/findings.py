"""The findings on the screen: each cause once, with its fix, however many subjects it concerns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sage_doctor.findings import catalogue
from sage_doctor.render.terminal.subjects import Subject
from sage_doctor.render.terminal.wording import counted
from sage_doctor.render.terminal.writer import Writer
from sage_doctor.report import NOTHING_TO_DO, SEVERITIES, Finding, Report
from sage_doctor.text import MOST_COMMAND, join_limited, printable, shell_operand

_STYLE = {"error": "bold red", "warning": "bold yellow", "info": "cyan"}
_MOST_CANDIDATES = 5
_MOST_EVIDENCE = 3  # lists beside the candidates
_MOST_SUBJECTS = 4  # of one finding that are told one by one
_MOST_SUMMARIES = 3  # likewise
_MOST_COMMANDS = 3  # of one finding about many subjects

_FIX_ALL = {"rewrite-paths": "sage-doctor fix --rewrite-paths"}  # repairs that must be asked for

Found = tuple[Subject, Finding]


def draw_findings(out: Writer, subjects: list[Subject]) -> None:
    """Write errors, then warnings, each code once; what is information only with `-v`."""
    groups: dict[tuple[str, str], list[Found]] = {}
    for subject in subjects:
        for finding in subject.findings:
            if finding.severity != "info" or out.verbose:
                groups.setdefault((finding.severity, finding.code), []).append((subject, finding))
    for _, found in sorted(groups.items(), key=lambda group: SEVERITIES.index(group[1][0][1].severity)):  # stable
        _draw(out, found)


def draw_suppressed(out: Writer, report: Report) -> None:
    """Write what was ignored or not selected, with `-v`."""
    if not out.verbose or not report.suppressed:
        return
    out.blank()
    out.text("suppressed (ignored, or not selected):", style="bold")
    for found in report.suppressed:
        title = printable(report.titles.get(found.subject, found.subject), limit=300)
        head = f"{found.severity}: {printable(found.code, limit=100)}{out.dot}{title}: "
        out.text(printable(found.message, keep="\n"), head=head, head_style="dim", indent=4, after=4)


def draw_inconclusive(out: Writer, subjects: list[Subject]) -> None:
    """Write which checks failed to run, and why."""
    failed: dict[tuple[str, str], list[str]] = {}
    for subject in subjects:
        for check in subject.checks:
            if check.status == "error":
                reason = check.reason or "it did not complete"
                failed.setdefault((check.id, reason), []).append(subject.title)
    for (check_id, reason), titles in failed.items():
        out.blank()
        of = printable(titles[0], limit=300) if len(titles) == 1 else f"{len(titles)} times"
        out.text(f"inconclusive: {check_id}{out.dot}{of}", style="bold magenta", after=4)
        out.text(printable(reason, keep="\n"), indent=4)
        if len(titles) > 1:
            out.text(join_limited(titles, most=len(titles) if out.verbose else 4), head="of: ", indent=4, after=4)


def _draw(out: Writer, found: list[Found]) -> None:
    subject, finding = found[0]
    code = printable(finding.code, limit=100)
    of = printable(subject.title, limit=300) if len(found) == 1 else f"{len(found)} times"
    out.blank()
    out.text(f"{finding.severity}: {code}{out.dot}{of}", style=_STYLE[finding.severity], after=4)
    if len(found) == 1:
        out.text(printable(finding.message, keep="\n"), indent=4)
    shown = found if out.verbose else found[:_MOST_SUBJECTS]
    if len(found) > 1:
        for subject, each in shown:
            head = f"{printable(subject.title, limit=300)}: "
            out.text(printable(each.message, keep="\n"), head=head, indent=4, after=4)
        rest = [s.title for s, _ in found[len(shown) :]]
        if rest:
            out.text(f"and {len(rest)} more (-v): {join_limited(rest, most=4)}", indent=4, after=4, style="dim")
    known = catalogue.find(finding.code)
    if known is not None and finding.severity != "info":
        out.text(_first_sentence(known.cause), head="why: ", indent=4, after=5)
    for _, each in found if out.verbose else found[:1]:
        _evidence(out, each.evidence)
    _fix(out, [each for _, each in found])


def _fix(out: Writer, findings: list[Finding]) -> None:
    """Write what to do: one summary where it is the same for all, and their commands."""
    summaries: dict[str, list[str]] = {}
    for each in findings:
        if each.fix.summary and not each.fix.summary.startswith(NOTHING_TO_DO):
            summaries.setdefault(each.fix.summary, []).append(printable(each.subject, limit=200))
    for summary, whose in list(summaries.items())[: None if out.verbose else _MOST_SUMMARIES]:
        head = "fix: " if len(summaries) == 1 else f"fix for {join_limited(whose, most=2)}: "
        out.text(printable(summary, keep="\n"), head=head, indent=4, after=5)
    commands = list(dict.fromkeys(c for f in findings for c in commands_of(f)))
    if len(findings) == 1 or out.verbose:
        draw_commands(out, commands, indent=8)
        return
    repairs = [f.fix.repair for f in findings]
    if len(commands) > _MOST_COMMANDS and all(repairs) and len(set(repairs)) == 1:
        commands = [_FIX_ALL.get(repairs[0] or "", "sage-doctor fix")]
    draw_commands(out, commands[:_MOST_COMMANDS], indent=8)
    if len(commands) > _MOST_COMMANDS:
        rest = counted(len(commands) - _MOST_COMMANDS, "more command")
        out.text(f"and {rest} (-v)", indent=8, style="dim")


def commands_of(finding: Finding) -> tuple[str, ...]:
    """Return the finding's commands, or the command that runs its repair."""
    if finding.fix.commands:
        return finding.fix.commands
    return (f"sage-doctor fix {shell_operand(finding.subject)}",) if finding.fix.repair else ()


def draw_commands(out: Writer, commands: list[str] | tuple[str, ...], *, indent: int) -> None:
    """Write commands, each on its own line and ready to be copied."""
    for command in commands:
        out.command(printable(command, limit=MOST_COMMAND), indent=indent)


def _evidence(out: Writer, evidence: Mapping[str, Any]) -> None:
    """Write the candidates; with `-v` also the other lists of the evidence, such as missing and present files."""
    lists = {k: v for k, v in evidence.items() if isinstance(v, (list, tuple)) and v and k != "candidates"}
    for key, values in list(lists.items())[: _MOST_EVIDENCE if out.verbose else 0]:
        label = printable(str(key).replace("_", " "), limit=40)
        out.text(join_limited([_plain(v) for v in values]), head=f"{label}: ", indent=4, after=5)
    candidates = evidence.get("candidates")
    if isinstance(candidates, (list, tuple)) and candidates:
        out.text("candidates:", indent=4, style="bold")
        for candidate in candidates[:_MOST_CANDIDATES]:
            out.entry(*_path_and_why(candidate), indent=8)
        rest = len(candidates) - _MOST_CANDIDATES
        if rest > 0:
            out.text(f"and {rest} more", indent=8, style="dim")


def _path_and_why(candidate: object) -> tuple[str, str]:
    if isinstance(candidate, Mapping) and "path" in candidate:
        return printable(str(candidate["path"])), printable(str(candidate.get("why") or ""), limit=300)
    return printable(_plain(candidate)), ""


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return str(value.get("path") or value.get("name") or ", ".join(f"{k} {v}" for k, v in value.items()))
    return str(value)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.?!])\s", text, maxsplit=1)[0]
