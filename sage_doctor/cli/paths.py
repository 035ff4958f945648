"""`sage-doctor paths`: list hard-coded paths of other machines in scripts, units and configuration.

Exits with 1 if a run would use a path of another machine, else with 0. What could not be read is listed as unverified.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage_doctor.cli.options import add_manifest
from sage_doctor.errors import NothingSelected, UsageError
from sage_doctor.text import join_limited, printable, shell_operand

if TYPE_CHECKING:
    from sage_doctor.paths.rewrite import RewriteContext
    from sage_doctor.paths.scan import ScannedFile, ScanResult
    from sage_doctor.report import Finding
    from sage_doctor.subjects.host import Host

# How a path's class is shown; JSON has the class itself.
_SHOWN = {
    "mappable": "found here",
    "foreign": "not found here",
    "here": "of this machine",
    "gone": "missing",
    "unneeded": "missing and not needed",
    "of_other": "in files of other machines",
}


EXAMPLES = (
    ("paths", "those of runners and of [lint] paths"),
    ("paths script.py", "those of one script"),
    ("paths --patch | git apply", "apply what is suggested, after a look at it"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="files (default: the runners and [lint] paths)")
    add_manifest(parser)
    parser.add_argument(
        "-a", "--all", action="store_true", help="also list system paths, comments, tests for a machine, and data"
    )
    parser.add_argument(
        "--installed",
        action="store_true",
        help="also read this machine's systemd units and your crontab",
    )
    parser.add_argument("-f", "--format", choices=("terminal", "json"), default="terminal", help="output format")
    parser.add_argument(
        "--patch",
        action="store_true",
        help="print only the suggested changes, as a patch for `git apply`; exits with 0",
    )


def run(options: argparse.Namespace) -> int:
    """List what was found. Raises `UsageError` for a missing file."""
    from sage_doctor.cli.this_host import this_host  # noqa: PLC0415 - --help needs none of it
    from sage_doctor.paths.find.installed import find_installed  # noqa: PLC0415
    from sage_doctor.paths.rewrite import rewrite_context  # noqa: PLC0415
    from sage_doctor.paths.scan import scan  # noqa: PLC0415

    host = this_host(options.manifest)
    if host.manifest is None and not options.files and not options.installed:
        raise NothingSelected("no manifest names runners here; name the FILEs, or let `sage-doctor init` write one")
    files = [_file(name) for name in options.files] or None
    if options.patch:
        return _print_patch(host, files)
    installed = find_installed(host.home, host.environ) if options.installed else None
    found = scan(host, lint=True, only=files, include_system=options.all, installed=installed)
    missing = [f for seen in found.files if installed is not None for f in _missing(seen, found)]
    broken = any(seen.broken_paths for seen in found.files)
    wrong = bool(missing) or broken or any(seen.roles and seen.missing_paths for seen in found.files)
    world = rewrite_context(host) if broken or any(seen.local_paths for seen in found.files) else None
    if options.format == "json":
        rows = [row for seen in found.files for row in _rows(seen, world, everything=options.all)]
        said = {"files": len(found.files), "counts": found.counts, "paths": rows}
        if installed is not None:
            said["lacking"] = [{"file": f.subject, "code": f.code, "message": f.message} for f in missing]
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
    else:
        for finding in missing:
            sys.stdout.write(f"{printable(finding.subject, limit=300)}: {finding.code}: {finding.message}\n")
        _print(found, world, options.files, everything=options.all)
    return 1 if wrong else 0


def _file(name: str) -> Path:
    path = Path(os.path.abspath(name))
    if not path.is_file():
        raise UsageError(f"{printable(name)} is not a file")
    return path


def _missing(seen: ScannedFile, found: ScanResult) -> Iterator[Finding]:
    """Yield findings about what a unit or the crontab starts and that is missing or not executable."""
    from sage_doctor.findings.units import unit_findings  # noqa: PLC0415

    if os.path.isabs(seen.subject) or seen.script.language == "crontab":
        yield from unit_findings(seen, found)


def _print_patch(host: Host, files: list[Path] | None) -> int:
    """Print the suggested patch. Each repository has its own, so only one is printed at a time."""
    from sage_doctor.paths.rewrite.patch import how_to_take, suggestions_of  # noqa: PLC0415

    found = suggestions_of(host, only=files)
    for obstacle in (o for s in found for o in s.obstacles):
        sys.stderr.write(f"{printable(obstacle)}\n")
    found = [s for s in found if s.patch]
    if len(found) > 1:
        tops = join_limited([printable(str(s.top), limit=300) for s in found], most=10)
        raise UsageError(f"suggestions for several repositories ({tops}): name the FILEs of one")
    if not found:
        sys.stderr.write("no suggestions for these files\n")
        return 0
    sys.stdout.buffer.write(found[0].patch)
    sys.stdout.buffer.flush()
    if sys.stdout.isatty():
        sys.stderr.write(f"Nothing was changed. To apply it: {how_to_take(found[0])}\n")
    return 0


def _rows(seen: ScannedFile, world: RewriteContext | None, *, everything: bool) -> Iterator[dict[str, Any]]:
    from sage_doctor.paths.rewrite import plan_edits  # noqa: PLC0415

    wanted = {id(o) for o, _ in (*seen.broken_paths, *seen.local_paths)}
    planned = plan_edits(seen, world) if wanted and world is not None else None
    wanted |= {id(o) for o, _ in seen.missing_paths}
    written = {id(e.reference): e for e in (*planned.edits, *planned.suggestions)} if planned is not None else {}
    for occurrence, placed in seen.classified:
        if not everything and id(occurrence) not in wanted:
            continue
        edit = written.get(id(occurrence))
        place = seen.elsewhere.get(occurrence.text) if placed.origin == "gone" else placed.target
        yield {
            "file": seen.subject,
            "line": occurrence.line,
            "column": occurrence.column + 1,
            "path": occurrence.text,
            "class": placed.origin if occurrence.used else occurrence.usage,
            "form": occurrence.form,
            "here": str(place) if place is not None else None,
            "exists": placed.exists,
            "runs": list(seen.roles),
            "need": occurrence.need,
            "machine": seen.owner or None,
            "write": edit.source if edit is not None else None,
            "certain": edit.certain if edit is not None else None,
            "defines": list(edit.defines) if edit is not None else [],
        }


def _class_of(row: Mapping[str, Any]) -> str:
    """Return a path's class in words: what was mapped and is missing was not found."""
    name = "foreign" if row["class"] == "mappable" and not row["exists"] else row["class"]
    needless = {"created": ", made by the script", "optional": ", not needed"} if name == "gone" else {}
    return f"{_SHOWN.get(name, name)}{needless.get(row['need'], '')}"


def _print(found: ScanResult, world: RewriteContext | None, named: list[str], *, everything: bool) -> None:
    suggested = 0
    for seen in found.files:
        rows = list(_rows(seen, world, everything=everything))
        for row in rows:
            place = f"{printable(row['file'], limit=300)}:{row['line']}:{row['column']}"
            whose = f" (in a file of {printable(row['machine'], limit=80)})" if row["machine"] else ""
            sys.stdout.write(f"{place}: {_class_of(row)}: {printable(row['path'], limit=300)}{whose}\n")
            if row["here"] and row["class"] in ("mappable", "gone"):
                missing = row["class"] == "mappable" and not row["exists"]
                sys.stdout.write(
                    f"    here       {printable(row['here'], limit=300)}{' (missing)' if missing else ''}\n"
                )
            if row["write"]:
                word = "write    " if row["certain"] else "suggested"
                sys.stdout.write(f"    {word}  {printable(row['write'], limit=300)}\n")
                suggested += not row["certain"]
            for line in row["defines"]:
                sys.stdout.write(f"    with       {printable(line, limit=300)}\n")
        if seen.script.problem and (rows or everything or seen.roles):
            sys.stdout.write(f"{printable(seen.subject, limit=300)}: unverified: {printable(seen.script.problem)}\n")
    lost = sum(
        reference.used and path.origin == "mappable" and not path.exists
        for seen in found.files
        for reference, path in (() if seen.owner else seen.classified)
    )
    counts = Counter(found.counts) + Counter(foreign=lost) - Counter(mappable=lost)
    counted = ", ".join(f"{count} {_SHOWN.get(name, name)}" for name, count in sorted(counts.items())) or "none"
    sys.stdout.write(f"{len(found.files)} file{'' if len(found.files) == 1 else 's'} read; paths: {counted}\n")
    if suggested:
        command = " ".join(["sage-doctor paths --patch", *map(shell_operand, named)])
        sys.stdout.write(f"{suggested} suggested: `{command}` prints a patch for `git apply`\n")
    if not found.complete:
        sys.stdout.write("unverified: too many files to read all; narrow [lint] paths\n")
