"""The units that start scripts, and what shows only where all scripts are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.findings.scripts import COMMAND
from sage_doctor.report import Finding, Fix
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.paths.scan import ScannedFile, ScanResult

TITLE = "Units, and scripts taken together"
DECLARATIONS = declare(
    Declaration(
        code="unit-path-missing",
        severity="error",
        title="A unit names a path that does not exist",
        cause="A systemd unit, launchd job or crontab line refers to a program, directory or environment file that is "
        "not on this machine. It fails at every start, and only its own log says so.",
        remediation="Correct the path in the unit, reload it (`systemctl daemon-reload`), and start it once by hand.",
        shows=(
            r"status=20[09]/(CHDIR|STDOUT)|Changing to the requested working directory failed",
            r"Failed to load environment files",
            r"Failed to locate executable|Failed at step (EXEC|CHDIR)|status=203/EXEC",
        ),
    ),
    Declaration(
        code="script-not-executable",
        severity="error",
        title="The script is not executable",
        cause="A unit or timer starts the file directly, and its mode does not allow that: copying over a file share "
        "or an archive loses the mode.",
        remediation="`chmod +x FILE`, and `git update-index --chmod=+x FILE` so that it stays.",
        shows=(r"status=203/EXEC", r"(\.sh|\.py): Permission denied", r"Failed to (execute|spawn).{0,200}?Permission"),
    ),
    Declaration(
        code="runner-path-gone",
        severity="warning",
        title="A script names a file that was removed",
        cause="The path lies in this checkout, git knows that it was once there, and it is not any more: it was moved "
        "or deleted, and the script was left behind.",
        remediation="Name what took its place, or bring it back from the commit before the one that is named.",
    ),
    Declaration(
        code="runner-roots-disagree",
        severity="warning",
        title="Scripts call one directory by several machines' paths",
        cause="Some scripts name the checkout by one machine's path and some by another's, so that no machine can run "
        "all of them. It happens where they are mended by hand, one after the other.",
        remediation="`sage-doctor fix --rewrite-paths`, or let each script start from its own place: "
        "`Path(__file__).resolve().parents[N]`.",
    ),
)


_SHOWN = 50
_MOST_ASKED = 20


def unit_findings(seen: ScannedFile, survey: ScanResult) -> Iterator[Finding]:
    """Yield what a unit or crontab needs and this machine lacks. A unit that names another machine is that one's."""
    from sage_doctor.paths.find.unit_file import NEEDED, STARTED  # noqa: PLC0415 - only where units are read

    if seen.script.language not in ("unit", "crontab", "plist") or _of_another(seen, survey):
        return
    lacking = [o for o, _ in seen.placed if o.key in NEEDED and o.context == "use" and _lacks(o.text)]
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
    for occurrence, _ in seen.placed:
        node = inspect_path(occurrence.text) if occurrence.key in STARTED else None
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
    return bool(words & {n.lower() for n in survey.elsewhere})


def _lacks(path: str) -> bool:
    return inspect_path(path).kind in ("missing", "dangling", "loop")


def disagreement(survey: ScanResult) -> Iterator[Finding]:
    """Yield that files call one directory by the names of several machines: mended by hand, one after the other."""
    names: dict[Path, dict[str, list[str]]] = {}
    for seen in survey.seen:
        for _, placed in (*seen.misplaced, *seen.ours):
            if placed.base is not None and placed.root:
                names.setdefault(placed.base, {}).setdefault(placed.root, []).append(seen.subject)
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
    from sage_doctor.paths.find.files import once_tracked  # noqa: PLC0415 - only where scripts are read

    asked = 0
    for seen in survey.seen:
        lost = []
        for occurrence, placed in seen.placed:
            if not occurrence.used or placed.place != "gone" or placed.target is None or asked >= _MOST_ASKED:
                continue
            asked += 1
            commit = once_tracked(survey.directory, placed.target)
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
