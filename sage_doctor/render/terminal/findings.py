"""The findings on the screen: each cause once, with its fix, however many subjects it concerns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sage_doctor.findings import catalogue
from sage_doctor.render.terminal.wording import counted
from sage_doctor.render.terminal.writer import Writer
from sage_doctor.report import NOTHING_TO_DO, SEVERITIES, Finding, Report
from sage_doctor.report.next_step import commands_of
from sage_doctor.report.subjects import Subject
from sage_doctor.text import MOST_COMMAND, join_limited, printable

_STYLE = {"error": "bold red", "warning": "bold yellow", "info": "cyan"}
_MOST_CANDIDATES = 5
_FEW_CANDIDATES = 2
_MOST_EVIDENCE = 3  # lists beside the candidates
_MOST_SUBJECTS = 3  # of one finding that are told one by one
_MOST_NAMES = 8
_ROOM_FOR_REST = 3  # lines: that there are more findings
_MOST_SUMMARIES = 3  # likewise
_MOST_COMMANDS = 3  # of one finding about many subjects

_FIX_ALL = {"rewrite-paths": "sage-doctor fix --rewrite-paths"}  # repairs that must be asked for

Found = tuple[Subject, Finding]


def draw_findings(out: Writer, subjects: list[Subject], *, room: int) -> None:
    """Write errors, then checks that failed to run, then warnings, each once and as many as `room` lines hold.

    Where they do not all fit they do not say why (`explain` does), and at least one is written. With `-v` all are, with
    what is information only.
    """
    drafts = _drafts(out, subjects, brief=False)
    if not out.verbose and sum(len(draft) + 1 for _, draft in drafts) > room:
        drafts = _drafts(out, subjects, brief=True)
    for n, (_, draft) in enumerate(drafts):
        left = len(drafts) - n
        room -= len(draft) + 1
        if n and not out.verbose and room < (0 if left == 1 else _ROOM_FOR_REST):
            codes = join_limited([code for code, _ in drafts[n:]], most=3)
            out.blank()
            out.text(f"and {counted(left, 'more finding')}: {codes} (-v shows all)", style="dim", after=4)
            return
        out.add(draft)


def _drafts(out: Writer, subjects: list[Subject], *, brief: bool) -> list[tuple[str, Writer]]:
    """Return each finding's code, or the id of the check that failed to run, with its text."""
    drafts: list[tuple[str, Writer]] = []
    for severity in SEVERITIES:
        groups: dict[str, list[Found]] = {}
        for subject in subjects:
            for finding in subject.findings if severity != "info" or out.verbose else ():
                if finding.severity == severity:
                    groups.setdefault(finding.code, []).append((subject, finding))
        for code, found in groups.items():
            drafts.append((code, out.draft()))
            _draw(drafts[-1][1], found, brief=brief)
        if severity == "error":
            drafts += _inconclusive(out, subjects)
    return drafts


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


def _inconclusive(out: Writer, subjects: list[Subject]) -> Iterator[tuple[str, Writer]]:
    """Give which checks failed to run, and why."""
    failed: dict[tuple[str, str], list[str]] = {}
    for subject in subjects:
        for check in subject.checks:
            if check.status == "error":
                reason = check.reason or "it did not complete"
                failed.setdefault((check.id, reason), []).append(subject.title)
    for (check_id, reason), titles in failed.items():
        draft = out.draft()
        of = printable(titles[0], limit=300) if len(titles) == 1 else f"{len(titles)} times"
        draft.text(f"inconclusive: {check_id}{out.dot}{of}", style="bold magenta", after=4)
        draft.text(printable(reason, keep="\n"), indent=4)
        _names(draft, titles)
        yield check_id, draft


def _names(out: Writer, titles: list[str]) -> None:
    """Write whom something concerns that is told once for several."""
    if len(titles) > 1:
        most = len(titles) if out.verbose else _MOST_NAMES
        out.text(join_limited(titles, most=most), head="in: ", indent=4, after=4)


def _draw(out: Writer, found: list[Found], *, brief: bool) -> None:
    subject, finding = found[0]
    code = printable(finding.code, limit=100)
    of = printable(subject.title, limit=300) if len(found) == 1 else f"{len(found)} times"
    out.text(f"{finding.severity}: {code}{out.dot}{of}", style=_STYLE[finding.severity], after=4)
    if len({each.message for _, each in found}) == 1:
        out.text(printable(finding.message, keep="\n"), indent=4)
        _names(out, [s.title for s, _ in found])
    else:
        shown = found if out.verbose else found[: 1 if brief else _MOST_SUBJECTS]
        for subject, each in shown:
            head = f"{printable(subject.title, limit=300)}: "
            out.text(printable(each.message, keep="\n"), head=head, indent=4, after=4)
        rest = [s.title for s, _ in found[len(shown) :]]
        if rest:
            out.text(f"and {len(rest)} more: {join_limited(rest, most=4)}", indent=4, after=4, style="dim")
    known = catalogue.find(finding.code)
    if known is not None and finding.severity != "info" and not brief:
        out.text(_first_sentence(known.cause), head="why: ", indent=4, after=5)
    for _, each in found if out.verbose else found[:1]:
        _evidence(out, each.evidence, most=_FEW_CANDIDATES if brief else _MOST_CANDIDATES)
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


def draw_commands(out: Writer, commands: list[str] | tuple[str, ...], *, indent: int) -> None:
    """Write commands, each on its own line and ready to be copied."""
    for command in commands:
        out.command(printable(command, limit=MOST_COMMAND), indent=indent)


def _evidence(out: Writer, evidence: Mapping[str, Any], *, most: int) -> None:
    """Write the candidates; with `-v` also the other lists of the evidence, such as missing and present files."""
    lists = {k: v for k, v in evidence.items() if isinstance(v, (list, tuple)) and v and k != "candidates"}
    for key, values in list(lists.items())[: _MOST_EVIDENCE if out.verbose else 0]:
        label = printable(str(key).replace("_", " "), limit=40)
        out.text(join_limited([_plain(v) for v in values]), head=f"{label}: ", indent=4, after=5)
    candidates = evidence.get("candidates")
    if isinstance(candidates, (list, tuple)) and candidates:
        out.text("candidates:", indent=4, style="bold")
        for candidate in candidates[:most]:
            out.entry(*_path_and_why(candidate), indent=8)
        rest = len(candidates) - most
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
