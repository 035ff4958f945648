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
from sage_doctor.text import join_limited, printable, shell_operand, shell_quote

if TYPE_CHECKING:
    from sage_doctor.paths.scan import ScannedFile, ScanResult

TITLE = "Units, and scripts taken together"
DECLARATIONS = declare(
    Declaration(
        code="unit-path-missing",
        severity="error",
        title="A unit names a path that does not exist",
        cause="The systemd unit, launchd job or crontab line needs this program, directory or environment file. It "
        "fails at every start, and only its own log says so.",
        remediation="Correct the path in the unit, reload it (`systemctl daemon-reload`), and start it once by hand.",
        shows=(
            *(r"Failed at step (EXEC|CHDIR) spawning .{1,400}?: No such file", r"Failed to load environment files"),
            *(r"Changing to the requested working directory failed", r"Failed to locate executable"),
        ),
        ends=(
            r"Main process exited, code=exited, status=(200/CHDIR|203/EXEC|209/STDOUT)",
            r"\(code=exited, status=(200/CHDIR|203/EXEC|209/STDOUT)\)",
        ),
    ),
    Declaration(
        code="script-not-executable",
        severity="error",
        title="The script is not executable",
        cause="Copying over a file share or from an archive loses the mode.",
        remediation="`chmod +x FILE`, and `git update-index --chmod=+x FILE` to keep it.",
        shows=(
            *(r"Failed at step EXEC spawning .{1,400}?: Permission denied", r"(\.sh|\.py): Permission denied"),
            r"Failed to (execute|spawn).{0,200}?Permission denied",
        ),
    ),
    Declaration(
        code="runner-path-gone",
        severity="warning",
        title="A script uses a file that was removed",
        cause="The path is in this checkout, and git knows that it existed: it was moved or deleted, and the script "
        "was not updated.",
        remediation="Name its replacement, or restore it from the parent of the commit that removed it.",
    ),
    Declaration(
        code="runner-roots-disagree",
        severity="warning",
        title="Scripts use different roots for one directory",
        cause="Some scripts name the checkout by the path of one machine and some by that of another, so that no "
        "machine can run all of them. It happens when they are edited by hand, one after the other.",
        remediation="`sage-doctor fix --rewrite-paths`, or let each script start from its own location: "
        "`Path(__file__).resolve().parents[N]`.",
    ),
)


_SHOWN = 50
_MOST_ASKED = 20


def unit_findings(seen: ScannedFile, survey: ScanResult) -> Iterator[Finding]:
    """Yield what a unit or crontab needs and this machine does not have. Units of other machines are left alone."""
    from sage_doctor.paths.find.unit_file import PROGRAM_DIRECTIVES, REQUIRED_DIRECTIVES  # noqa: PLC0415 - only where units are read

    if seen.script.language not in ("unit", "crontab", "plist") or seen.owner:
        return
    lacking = [o for o, _ in seen.classified if o.key in REQUIRED_DIRECTIVES and o.usage == "use" and _lacks(o.text)]
    if lacking:
        first = lacking[0]
        more = f" ({len(lacking)} such paths)" if len(lacking) > 1 else ""
        yield finding(
            "unit-path-missing",
            f"line {first.line}: {printable(first.key)} names {printable(first.text, limit=300)}, which does not "
            f"exist{more}",
            subject=seen.subject,
            severity="error" if seen.roles else "warning",
            evidence={
                "file": str(seen.script.path),
                "paths": [{"line": o.line, "key": o.key, "path": o.text} for o in lacking[:_SHOWN]],
            },
            fix=Fix(summary="Correct the path in the unit, reload it, and start it once by hand."),
        )
    for occurrence, _ in seen.classified:
        node = inspect_path(occurrence.text) if occurrence.key in PROGRAM_DIRECTIVES else None
        if node is not None and node.kind == "file" and not node.mode & 0o111:
            yield finding(
                "script-not-executable",
                f"{printable(seen.subject)} starts it (line {occurrence.line}), but it is not executable",
                subject=os.path.relpath(occurrence.text, survey.directory),
                severity="error" if seen.roles else "warning",
                evidence={"file": occurrence.text, "unit": str(seen.script.path), "mode": oct(node.mode)},
                fix=Fix(
                    summary="Make it executable, and commit the mode.",
                    commands=(f"chmod +x {shell_operand(occurrence.text)}",),
                ),
            )


def _lacks(path: str) -> bool:
    return inspect_path(path).kind in ("missing", "dangling", "loop")


def disagreement(survey: ScanResult) -> Iterator[Finding]:
    """Yield that files use the roots of several machines for one directory."""
    names: dict[Path, dict[str, list[str]]] = {}
    for seen in survey.files:
        for _, placed in (*seen.broken_paths, *seen.local_paths):
            if placed.local_root is not None and placed.root and placed.agreed:
                names.setdefault(placed.local_root, {}).setdefault(placed.root, []).append(seen.subject)
    for base, roots in sorted(names.items()):
        files = sorted({f for found in roots.values() for f in found})
        if len(roots) < 2 or len(files) < 2:
            continue
        counted = [f"{root} ({len(set(found))})" for root, found in sorted(roots.items())]
        yield finding(
            "runner-roots-disagree",
            f"{len(files)} files use {len(roots)} different roots for {printable(str(base), limit=300)}: "
            f"{join_limited(counted)}",
            evidence={"directory": str(base), "roots": {r: sorted(set(f))[:_SHOWN] for r, f in roots.items()}},
            fix=Fix(summary="Let each file start from its own location.", commands=(COMMAND,)),
        )


def vanished(survey: ScanResult) -> Iterator[Finding]:
    """Yield scripts that use a file of ours that was removed: git knows that it existed."""
    from sage_doctor.paths.find.files import removal_commit  # noqa: PLC0415 - only where scripts are read

    asked = 0
    for seen in survey.files:
        lost = []
        for occurrence, placed in seen.classified:
            if (occurrence, placed) in seen.missing_paths and seen.roles:
                continue  # told as `runner-path-missing`
            used = occurrence.used and not seen.owner and occurrence.need in ("needed", "unknown")
            if not used or placed.origin != "gone" or placed.target is None or asked >= _MOST_ASKED:
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
                    summary="Name its replacement, or restore it from that commit's parent.",
                    commands=(f"git -C {shell_quote(survey.directory)} show --stat {commit}",),
                ),
            )
