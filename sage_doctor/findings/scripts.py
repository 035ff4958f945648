"""What is wrong with a script, as findings: how it starts, and which paths it names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from sage_doctor.findings.making import finding
from sage_doctor.paths.find import ClassifiedPath, PathReference
from sage_doctor.paths.rewrite import FileEdits, RewriteContext, plan_edits
from sage_doctor.paths.scan import ScannedFile
from sage_doctor.report import NOTHING_TO_DO, Finding, Fix, Severity
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable, shell_quote

REWRITE = "rewrite-paths"
COMMAND = "sage-doctor fix --rewrite-paths"
_SHOWN = 50


def form_findings(seen: ScannedFile, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what keeps the system from starting a script: its line ends, and its interpreter."""
    script = seen.script
    if script.crlf:
        yield finding(
            "script-crlf",
            "its first line ends in CR LF, so the system looks for an interpreter with an invisible "
            "character in its name",
            subject=seen.subject,
            severity="error" if seen.roles else "warning",
            evidence={"file": str(script.path)},
            fix=Fix(
                summary="Convert its line ends, and add `* text=auto eol=lf` to .gitattributes so that they stay.",
                commands=(f"sed -i.crlf 's/\\r$//' {shell_quote(script.path)}",),
            ),
        )
    missing = _missing_interpreter(seen, environ)
    if missing:
        yield finding(
            "script-interpreter-missing",
            f"its first line starts {printable(missing, limit=300)}, which is not there",
            subject=seen.subject,
            evidence={"file": str(script.path), "interpreter": missing},
            fix=Fix(summary="Write `#!/usr/bin/env python3` (or bash) there, or install what the line names."),
        )


def _missing_interpreter(seen: ScannedFile, environ: Mapping[str, str]) -> str:
    """Return the program of the first line where it is not there. Only of a file that may be started by itself."""
    script = seen.script
    if script.crlf or not script.executable or script.interpreter is None:
        return ""
    if inspect_path(script.interpreter).kind == "missing":
        return script.interpreter
    asked = script.env_program
    path = environ.get("PATH", os.defpath)
    return asked if asked is not None and "/" not in asked and shutil.which(asked, path=path) is None else ""


def unverified(seen: ScannedFile) -> Iterator[Finding]:
    """Yield that a runner's paths are not known for certain."""
    if seen.script.problem and not seen.script.crlf:
        yield finding(
            "runner-unverified",
            f"the paths in it are not known for certain: {printable(seen.script.problem, limit=300)}",
            subject=seen.subject,
            evidence={"file": str(seen.script.path), "language": seen.script.language},
            fix=Fix(summary=f"{NOTHING_TO_DO}."),
        )


def path_findings(seen: ScannedFile, world: RewriteContext, *, shared: bool) -> Iterator[Finding]:
    """Yield what is wrong with the paths that a run would take.

    `shared` says that other machines run this script as well: then a path that holds here only is worth a word.
    """
    if seen.broken_paths:
        yield _hardcoded(seen, plan_edits(seen, world))
    elif shared and seen.local_paths and seen.roles:
        yield _here_only(seen, plan_edits(seen, world))


def _hardcoded(seen: ScannedFile, planned: FileEdits) -> Finding:
    first, placed = next(((o, p) for o, p in seen.broken_paths if o.usage == "use"), seen.broken_paths[0])
    sure = bool(seen.roles) and first.usage == "use" and not _doubtful(seen)
    severity: Severity = "error" if sure else "warning"
    more = f" ({len(seen.broken_paths)} such paths)" if len(seen.broken_paths) > 1 else ""
    default = ", as a default," if first.usage == "fallback" else ","
    lies = f"; here it is {printable(str(placed.target), limit=300)}" if placed.exists else ""
    whose = printable(placed.root, limit=200)
    return finding(
        "runner-hardcoded-path",
        f"line {first.line} names {printable(first.text, limit=300)}{default} which another machine has under {whose} "
        f"and this one does not{more}{lies}",
        subject=seen.subject,
        severity=severity,
        evidence={
            **_evidence(seen, seen.broken_paths),
            "path": first.text,
            "candidates": [{"path": str(placed.target), "why": "the same trailing path"}] if placed.exists else [],
        },
        fix=_cure(seen, planned),
    )


def _doubtful(seen: ScannedFile) -> bool:
    """Whether the file was not read for certain: then nothing in it is an error."""
    return bool(seen.script.problem)


def _here_only(seen: ScannedFile, planned: FileEdits) -> Finding:
    first, _ = seen.local_paths[0]
    more = f" ({len(seen.local_paths)} such paths)" if len(seen.local_paths) > 1 else ""
    return finding(
        "runner-path-here-only",
        f"line {first.line} names {printable(first.text, limit=300)}, which is right on this machine; "
        f"others run this script as well{more}",
        subject=seen.subject,
        evidence=_evidence(seen, seen.local_paths),
        fix=_cure(seen, planned),
    )


def _evidence(seen: ScannedFile, found: list[tuple[PathReference, ClassifiedPath]]) -> dict[str, Any]:
    other: dict[str, int] = {}
    for occurrence, placed in seen.classified:
        name = placed.origin if occurrence.used else occurrence.usage
        other[name] = other.get(name, 0) + 1
    return {
        "file": str(seen.script.path),
        "count": len(found),
        "lines": [o.line for o, _ in found[:_SHOWN]],
        "paths": [
            {"line": o.line, "path": o.text, "place": p.origin, **({"here": str(p.target)} if p.exists else {})}
            for o, p in found[:_SHOWN]
        ],
        "counts": other,
    }


def _cure(seen: ScannedFile, planned: FileEdits) -> Fix:
    """Return the fix, which promises the repair only where it can do something."""
    certain, suggested = len(planned.edits), len(planned.suggestions)
    if certain and not suggested and not planned.unresolved_count:
        summary = "It can be written so that it holds on every machine; the change is shown first."
        return Fix(summary=summary, commands=(COMMAND,), repair=REWRITE)
    if certain:
        rest = suggested + planned.unresolved_count
        summary = f"{certain} of {certain + rest} can be rewritten at once; the others are for you."
        return Fix(
            summary=summary, commands=(COMMAND, f"sage-doctor paths {shell_quote(seen.script.path)}"), repair=REWRITE
        )
    where = (
        f"It might be written so that it holds on every machine: `{COMMAND} --dry-run` shows a patch for you to judge."
        if suggested
        else ('Let the script ask: resolve("MODEL") from sage_doctor, or `sage-doctor where MODEL` in a shell.')
    )
    return Fix(summary=where, commands=(f"sage-doctor paths {shell_quote(seen.script.path)}",))
