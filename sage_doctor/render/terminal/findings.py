"""One finding on the screen: message, cause, evidence and fix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sage_doctor.findings import catalogue
from sage_doctor.render.terminal.writer import Writer
from sage_doctor.report import NOTHING_TO_DO, Finding
from sage_doctor.text import MOST_COMMAND, join_limited, printable, shell_operand

_STYLE = {"error": "bold red", "warning": "bold yellow", "info": "cyan"}
_MOST_CANDIDATES = 5
_MOST_EVIDENCE = 3  # lists beside the candidates


def draw_finding(out: Writer, finding: Finding) -> None:
    """Write one finding; one of severity info in short form."""
    code, message = printable(finding.code, limit=100), printable(finding.message, keep="\n")
    style = _STYLE[finding.severity]
    if finding.severity == "info":
        unneeded = " (no role here needs it)" if finding.evidence.get("needed_here") is False else ""
        out.text(message, head=f"info: {code}{unneeded}: ", head_style=style, indent=4, after=6)
    else:
        out.blank()
        out.text(f"{finding.severity}: {code}", indent=4, style=style)
        out.text(message, indent=4)
        known = catalogue.find(finding.code)
        if known is not None:
            out.text(_first_sentence(known.cause), head="why: ", indent=4, after=5)
        _evidence(out, finding.evidence)
    if finding.fix.summary and not finding.fix.summary.startswith(NOTHING_TO_DO):
        out.text(printable(finding.fix.summary, keep="\n"), head="fix: ", indent=4, after=5)
    draw_commands(out, commands_of(finding), indent=8)


def commands_of(finding: Finding) -> tuple[str, ...]:
    """Return the finding's commands, or the command that runs its repair."""
    if finding.fix.commands:
        return finding.fix.commands
    return (f"sage-doctor fix {shell_operand(finding.subject)}",) if finding.fix.repair else ()


def draw_commands(out: Writer, commands: tuple[str, ...], *, indent: int) -> None:
    """Write commands, each on its own line and ready to be copied."""
    for command in commands:
        out.command(printable(command, limit=MOST_COMMAND), indent=indent)


def _evidence(out: Writer, evidence: Mapping[str, Any]) -> None:
    """Write the lists of the evidence: missing and present files, candidates."""
    lists = {k: v for k, v in evidence.items() if isinstance(v, (list, tuple)) and v and k != "candidates"}
    for key, values in list(lists.items())[:_MOST_EVIDENCE]:
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
