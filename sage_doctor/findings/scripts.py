"""The scripts that start sessions: how each one starts, and which paths it names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.report import NOTHING_TO_DO, Finding, Fix, Severity
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.paths.find import ClassifiedPath, PathReference
    from sage_doctor.paths.rewrite import FileEdits, RewriteContext
    from sage_doctor.paths.scan import ScannedFile

TITLE = "Runners and scripts"
DECLARATIONS = declare(
    Declaration(
        code="runner-missing",
        severity="error",
        title="A session runner was not found",
        cause="A role of this machine names a script that does not exist here: not pulled, renamed, or relative to "
        "another directory.",
        remediation="Update the checkout, or correct `runners` in the manifest.",
        shows=(r"can't open file '.{1,300}?\.py': \[Errno 2\]",),
    ),
    Declaration(
        code="runner-unverified",
        severity="info",
        title="The runner's paths could not be checked",
        cause="The script builds its model path at run time, or cannot be parsed, so reading it does not show which "
        "model it asks for.",
        remediation="Nothing to do. With `sage_doctor.resolve` in the runner, the manifest decides the path.",
    ),
    Declaration(
        code="runner-hardcoded-path",
        severity="error",
        title="A runner has a hard-coded path of another machine",
        cause="The script works on the machine it was written on and fails on every other.",
        remediation="`sage-doctor fix --rewrite-paths` shows how it can be rewritten to work on every machine, and "
        'does it. By hand: `resolve("MODEL")` from sage_doctor, or `sage-doctor where MODEL` in a shell script.',
        may_show=(r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/(home|Users)/",),
    ),
    Declaration(
        code="runner-path-missing",
        severity="error",
        title="A runner needs a path that does not exist",
        cause="What was there was moved, renamed, deleted or never brought to this machine or container, or its disk "
        "is not mounted; the program still asks for it.",
        remediation="Write the path that is right now, or bring the files there. In the checkout, a path relative to "
        'the file (`Path(__file__).resolve().parents[N] / "…"`) survives a renamed directory.',
        may_show=(
            r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/(home|Users)/",
            r"\[WinError [23]\] The system cannot find the (file|path) specified",
            *(r": line \d{1,6}: /\S{1,300}: No such file or directory", r"No such file or directory: '/(home|Users)/"),
            *(r"\[Errno 2\] No such file or directory: ['\x22]", r"cd: /\S{1,300}: No such file or directory"),
            r"No such file or directory \(os error 2\)",
        ),
    ),
    Declaration(
        code="runner-path-here-only",
        severity="info",
        title="A runner has a path that only this machine has",
        cause="Often another machine's path was replaced by hand, and the script now fails there.",
        remediation="`sage-doctor fix --rewrite-paths` rewrites it to work on every machine.",
    ),
    Declaration(
        code="script-interpreter-missing",
        severity="warning",
        title="The script's interpreter was not found",
        cause="The shebang line names a program that this machine does not have, often in another machine's "
        "environment. The script fails at once when it is started directly.",
        remediation="Write `#!/usr/bin/env python3` (or bash), or name the interpreter in the command that starts it.",
        shows=(*(r"cannot execute: required file not found", r"env: [^'\\\r]{1,100}: No such file"),),
    ),
    Declaration(
        code="script-crlf",
        severity="error",
        title="The script has Windows line endings",
        cause="The kernel takes the carriage return for a part of the interpreter's name. Timers report only a failed "
        "start.",
        remediation="Convert the line endings (`sed -i 's/\\r$//' FILE`) and add `*.sh text eol=lf` to .gitattributes.",
        shows=(
            *(r"env: '?(bash|sh|python3?)\\r'?: No such file", r"\^M: (bad interpreter|No such file)"),
            r"\$'\\r': command not found",
        ),
    ),
)


REWRITE = "rewrite-paths"
COMMAND = "sage-doctor fix --rewrite-paths"
_SHOWN = 50


def form_findings(seen: ScannedFile, environ: Mapping[str, str], started: Collection[str] = ()) -> Iterator[Finding]:
    """Yield what keeps the system from starting a script: its line ends, and its interpreter.

    `started` are the programs that units start. An interpreter that is given the script by name does not read its first
    line, and Python takes every line end; only a shell stumbles over the others.
    """
    script = seen.script
    if seen.owner:
        return
    by_unit = str(script.path) in started
    shell = script.crlf_lines
    if shell or (script.crlf and (script.executable or by_unit)):
        yield finding(
            "script-crlf",
            "its lines end in CR LF, and a shell takes the CR for a part of each command"
            if shell
            else "its first line ends in CR LF: it cannot be started by its own name, only as `python FILE`",
            subject=seen.subject,
            severity="error" if (seen.roles and shell) or by_unit else "warning",
            evidence={"file": str(script.path), "count": 1},
            fix=Fix(
                summary="Convert its line endings, and add `* text=auto eol=lf` to .gitattributes to keep them.",
                commands=(f"sed -i.crlf 's/\\r$//' {shell_quote(script.path)}",),
            ),
        )
    missing = _missing_interpreter(seen, environ)
    if missing:
        yield finding(
            "script-interpreter-missing",
            f"its shebang line names {printable(missing, limit=300)}, which does not exist",
            subject=seen.subject,
            evidence={"file": str(script.path), "interpreter": missing, "count": 1},
            fix=Fix(summary="Write `#!/usr/bin/env python3` (or bash) there, or install what the line names."),
        )


def _missing_interpreter(seen: ScannedFile, environ: Mapping[str, str]) -> str:
    """Return the program of the first line where it is not there. Only of a file that may be started by itself."""
    script = seen.script
    if script.crlf or not script.executable or script.interpreter is None or seen.owner:
        return ""
    if inspect_path(script.interpreter).kind == "missing":
        return script.interpreter
    asked = script.env_program
    path = environ.get("PATH", os.defpath)
    return asked if asked is not None and "/" not in asked and shutil.which(asked, path=path) is None else ""


def unverified(seen: ScannedFile) -> Iterator[Finding]:
    """Yield that a runner's paths are not known for certain."""
    if seen.script.problem and not (seen.script.crlf or seen.script.crlf_lines or seen.owner):
        yield finding(
            "runner-unverified",
            f"the paths in it could not be determined: {printable(seen.script.problem, limit=300)}",
            subject=seen.subject,
            evidence={"file": str(seen.script.path), "language": seen.script.language},
            fix=Fix(summary=f"{NOTHING_TO_DO}."),
        )


def path_findings(seen: ScannedFile, world: RewriteContext, *, shared: bool) -> Iterator[Finding]:
    """Yield what is wrong with the paths that a run would take.

    `shared` says that other machines run this script as well: then a path that works only here is a finding too.
    """
    from sage_doctor.paths.rewrite import plan_edits  # noqa: PLC0415 - only where something is wrong

    if seen.broken_paths:
        yield _hardcoded(seen, plan_edits(seen, world))
    elif shared and seen.local_paths and seen.roles:
        yield _here_only(seen, plan_edits(seen, world))


def _hardcoded(seen: ScannedFile, planned: FileEdits) -> Finding:
    used = [(o, p) for o, p in seen.broken_paths if o.usage == "use"]
    certain = surely_used([o for o, _ in used])
    first, placed = next(((o, p) for o, p in used if o is certain), (*used, *seen.broken_paths)[0])
    sure = bool(seen.roles) and certain is not None and not seen.script.problem
    severity: Severity = "error" if sure else "warning"
    more = f" ({len(seen.broken_paths)} such paths)" if len(seen.broken_paths) > 1 else ""
    kind = "hard-coded default path" if first.usage == "fallback" else "hard-coded path"
    lies = f"; here it is {printable(str(placed.target), limit=300)}" if placed.exists else ""
    root = printable(placed.root, limit=200)
    return finding(
        "runner-hardcoded-path",
        f"line {first.line}: {kind} {printable(first.text, limit=300)} of another machine ({root}){more}{lies}"
        + ("" if certain else used_only(first))
        + whose(seen),
        subject=seen.subject,
        severity=severity,
        evidence={
            **_evidence(seen, seen.broken_paths),
            "path": first.text,
            "candidates": [{"path": str(placed.target), "why": _why(placed)}] if placed.exists else [],
        },
        fix=_fix(seen, planned),
    )


def _why(placed: ClassifiedPath) -> str:
    """Return why a directory is said to be the place of another machine's path."""
    if not placed.certain:
        return "the same trailing path"
    return f"{printable(placed.root, limit=200)} is {printable(str(placed.local_root), limit=200)} here"


def surely_used(references: Sequence[PathReference]) -> PathReference | None:
    """Return the first of these that a run comes to in any case: under no condition, or in both branches of one."""
    return next((r for r in references if not r.condition or any(map(r.complements, references))), None)


def used_only(reference: PathReference) -> str:
    """Return what else a sentence says of a path that a run may not come to."""
    return f"; it is used only where {printable(reference.condition)}" if reference.condition else ""


def whose(seen: ScannedFile) -> str:
    """Return which runner a file belongs to that is none itself."""
    return f" ({printable(seen.reached_by)} runs this file)" if seen.reached_by else ""


def _here_only(seen: ScannedFile, planned: FileEdits) -> Finding:
    first, _ = seen.local_paths[0]
    more = f" ({len(seen.local_paths)} such paths)" if len(seen.local_paths) > 1 else ""
    return finding(
        "runner-path-here-only",
        f"line {first.line}: hard-coded path {printable(first.text, limit=300)} of this machine; other machines run "
        f"this script too{more}",
        subject=seen.subject,
        evidence=_evidence(seen, seen.local_paths),
        fix=_fix(seen, planned),
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


def _fix(seen: ScannedFile, planned: FileEdits) -> Fix:
    """Return the fix, which names the repair only if it can do something."""
    certain, suggested = len(planned.edits), len(planned.suggestions)
    if certain and not suggested and not planned.unresolved_count:
        summary = "It can be rewritten to work on every machine; the change is shown first."
        return Fix(summary=summary, commands=(COMMAND,), repair=REWRITE)
    if certain:
        rest = suggested + planned.unresolved_count
        need = "needs" if rest == 1 else "need"
        summary = f"{certain} of {certain + rest} can be rewritten automatically; {rest} {need} a manual edit."
        return Fix(
            summary=summary, commands=(COMMAND, f"sage-doctor paths {shell_quote(seen.script.path)}"), repair=REWRITE
        )
    where = (
        f"It might be rewritten to work on every machine: `{COMMAND} --dry-run` shows a patch to review."
        if suggested
        else ('Get the path from resolve("MODEL") of sage_doctor, or from `sage-doctor where MODEL` in a shell script.')
    )
    return Fix(summary=where, commands=(f"sage-doctor paths {shell_quote(seen.script.path)}",))
