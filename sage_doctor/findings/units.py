"""What is wrong with units, and with scripts taken together, as findings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sage_doctor.findings.making import finding
from sage_doctor.findings.scripts import COMMAND
from sage_doctor.paths.find.files import removal_commit
from sage_doctor.paths.find.unit_file import PROGRAM_DIRECTIVES, REQUIRED_DIRECTIVES
from sage_doctor.paths.scan import ScannedFile, ScanResult
from sage_doctor.report import Finding, Fix
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import join_limited, printable, shell_quote

_SHOWN = 50
_MOST_ASKED = 20


def unit_findings(seen: ScannedFile, survey: ScanResult) -> Iterator[Finding]:
    """Yield what a unit or crontab needs and this machine lacks. A unit that names another machine is that one's."""
    if seen.script.language not in ("unit", "crontab", "plist") or _of_another(seen, survey):
        return
    lacking = [o for o, _ in seen.classified if o.key in REQUIRED_DIRECTIVES and o.usage == "use" and _lacks(o.text)]
    if lacking:
        first = lacking[0]
        more = f" ({len(lacking)} such paths)" if len(lacking) > 1 else ""
        yield finding(
            "unit-path-missing",
            f"line {first.line}: {printable(first.key)} names {printable(first.text, limit=300)}, "
            f"which is not there{more}",
            subject=seen.subject,
            severity="error" if seen.roles else "warning",
            evidence={
                "file": str(seen.script.path),
                "paths": [{"line": o.line, "key": o.key, "path": o.text} for o in lacking[:_SHOWN]],
            },
            fix=Fix(summary="Correct the path in the unit, load it again, and start it once by hand."),
        )
    for occurrence, _ in seen.classified:
        node = inspect_path(occurrence.text) if occurrence.key in PROGRAM_DIRECTIVES else None
        if node is not None and node.kind == "file" and not node.mode & 0o111:
            yield finding(
                "script-not-executable",
                f"{printable(seen.subject)} starts it (line {occurrence.line}), and its mode does not allow that",
                subject=os.path.relpath(occurrence.text, survey.directory),
                severity="error" if seen.roles else "warning",
                evidence={"file": occurrence.text, "unit": str(seen.script.path), "mode": oct(node.mode)},
                fix=Fix(
                    summary="Give it the mode, and tell git, so that it stays.",
                    commands=(f"chmod +x {shell_quote(occurrence.text)}",),
                ),
            )


def _of_another(seen: ScannedFile, survey: ScanResult) -> bool:
    """Whether a unit's own path names a machine that is not this one."""
    words = set(seen.subject.lower().replace("/", " ").replace("-", " ").replace(".", " ").replace("_", " ").split())
    return bool(words & {n.lower() for n in survey.other_machines})


def _lacks(path: str) -> bool:
    return inspect_path(path).kind in ("missing", "dangling", "loop")


def disagreement(survey: ScanResult) -> Iterator[Finding]:
    """Yield that files call one directory by the names of several machines: mended by hand, one after the other."""
    names: dict[Path, dict[str, list[str]]] = {}
    for seen in survey.files:
        for _, placed in (*seen.broken_paths, *seen.local_paths):
            if placed.local_root is not None and placed.root:
                names.setdefault(placed.local_root, {}).setdefault(placed.root, []).append(seen.subject)
    for base, roots in sorted(names.items()):
        files = sorted({f for found in roots.values() for f in found})
        if len(roots) < 2 or len(files) < 2:
            continue
        counted = [f"{root} ({len(set(found))})" for root, found in sorted(roots.items())]
        yield finding(
            "runner-roots-disagree",
            f"{len(files)} files call {printable(str(base), limit=300)} by {len(roots)} names: {join_limited(counted)}",
            evidence={"directory": str(base), "roots": {r: sorted(set(f))[:_SHOWN] for r, f in roots.items()}},
            fix=Fix(summary="Let all of them start from their own place, not from a machine's.", commands=(COMMAND,)),
        )


def vanished(survey: ScanResult) -> Iterator[Finding]:
    """Yield scripts that take a file of ours which is not there any more: git knows that it once was."""
    asked = 0
    for seen in survey.files:
        lost = []
        for occurrence, placed in seen.classified:
            if not occurrence.used or placed.origin != "gone" or placed.target is None or asked >= _MOST_ASKED:
                continue
            asked += 1
            commit = removal_commit(survey.directory, placed.target)
            if commit:
                lost.append((occurrence, commit))
        if lost:
            first, commit = lost[0]
            more = f" ({len(lost)} such paths)" if len(lost) > 1 else ""
            yield finding(
                "runner-path-gone",
                f"line {first.line} names {printable(first.text, limit=300)}, which commit {commit} removed{more}",
                subject=seen.subject,
                evidence={
                    "file": str(seen.script.path),
                    "paths": [{"line": o.line, "path": o.text, "commit": c} for o, c in lost[:_SHOWN]],
                },
                fix=Fix(
                    summary="Name what took its place, or bring it back from that commit's parent.",
                    commands=(f"git -C {shell_quote(survey.directory)} show --stat {commit}",),
                ),
            )
