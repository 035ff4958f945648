"""`sage-doctor fix`: repair findings: show each plan, ask, apply, verify; a change that fails is rolled back.

Exits with the code of the report after. Without a terminal, nothing is changed unless --yes is given.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.cli.dialogue import chosen, say
from sage_doctor.cli.options import add_manifest, add_outputs
from sage_doctor.cli.outputs import outputs_of, write_outputs
from sage_doctor.cli.plan_dialogue import confirmed, show_attempt, width
from sage_doctor.errors import UsageError
from sage_doctor.render.progress import live_progress
from sage_doctor.report import LEVELS
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.repairs.backup import Backup
    from sage_doctor.repairs.journal import Journal
    from sage_doctor.repairs.repair import Plan
    from sage_doctor.repairs.repair_report import Attempt, RepairReport
    from sage_doctor.subjects.selection import Request

EXAMPLES = (
    ("fix --dry-run", "what would be done, and what needs an option"),
    ("fix MODEL", "repair one model, asking before each change"),
    ("fix ADAPTER --base BASE", "name the base of an adapter, or replace it"),
    ("fix --rewrite-paths", "make scripts work on every machine"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="models or roles of the manifest, directories, hf:org/name; with --rewrite-paths also scripts",
    )
    add_manifest(parser)
    parser.add_argument(
        "-l", "--level", choices=LEVELS, help="level of the final check (default: generate; static for directories)"
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="show the plans, change nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    bases = parser.add_argument_group("bases of adapters")
    bases.add_argument(
        "--write-config",
        action="store_true",
        help="set an adapter's base in adapter_config.json instead of the manifest (the old file is kept)",
    )
    bases.add_argument(
        "--base",
        action="append",
        default=[],
        metavar="[ADAPTER=]BASE",
        help="the base of an adapter, in place of one that is there: a model of the manifest, a directory, or "
        "hf:org/name (repeatable)",
    )
    allowed = parser.add_argument_group("permissions")
    allowed.add_argument(
        "--rewrite-paths",
        action="store_true",
        help="rewrite paths of other machines in scripts to work on every machine (shows the change first)",
    )
    allowed.add_argument(
        "--allow-dirty", action="store_true", help="rewrite paths although the work tree has uncommitted changes"
    )
    allowed.add_argument(
        "--allow-delete",
        action="store_true",
        help="merge although the old directory contains what cannot be carried over; the plan lists it",
    )
    add_outputs(parser)


def run(options: argparse.Namespace) -> int:
    """Repair, show the result, and return the exit code of the report after."""
    outputs = outputs_of(options)
    from sage_doctor.cli.fix_summary import summary  # noqa: PLC0415
    from sage_doctor.repairs.asked_bases import SET_BASE  # noqa: PLC0415 - --help needs no pytest
    from sage_doctor.repairs.repair import RepairOptions  # noqa: PLC0415
    from sage_doctor.repairs.repair_session import RepairCallbacks, journal_of, run_repairs  # noqa: PLC0415
    from sage_doctor.subjects.directories import refuse_crowds  # noqa: PLC0415
    from sage_doctor.subjects.selection import Request  # noqa: PLC0415

    targets, files = _with_files(options.targets, rewrite_paths=options.rewrite_paths)
    request = Request(targets=targets, manifest=options.manifest, level=options.level, cwd=os.getcwd())
    refuse_crowds(request.targets, manifest=options.manifest, cwd=Path.cwd(), environ=os.environ)
    journal = journal_of(os.environ)
    backups = [] if options.dry_run else _report_unfinished(journal)
    with live_progress() as progress:

        def consent(plan: Plan) -> bool:
            progress.close()
            say(*plan.lines(width(), os.getcwd()))
            return options.yes or confirmed(plan)

        def on_outcome(attempt: Attempt) -> None:
            progress.close()
            who = f"{attempt.repair}: {printable(attempt.title, limit=200)}"
            show_attempt(who, attempt.plan, attempt.status, attempt.reason)

        def choose(adapter: str, choices: Sequence[Path]) -> Path | None:
            progress.close()
            return None if options.yes else _chosen(adapter, choices)

        callbacks = RepairCallbacks(consent=consent, choose=choose, on_outcome=on_outcome, on_progress=progress.update)
        allowed = RepairOptions(
            dry_run=options.dry_run,
            write_config=options.write_config,
            rewrite_paths=options.rewrite_paths,
            files=files,
            allow_dirty=options.allow_dirty,
            allow_delete=options.allow_delete,
            bases=_bases(options.base),
        )
        result = run_repairs(request, callbacks, options=allowed, journal=journal)
    if options.base and not any(a.repair == SET_BASE for a in result.attempts):
        sys.stderr.write("--base was not used: name the adapter it is for, --base ADAPTER=BASE\n")
    if options.rewrite_paths:
        _show_suggestions(request, result, files)
    say(*summary(result, width()))
    _discard_backups(backups, result, journal)
    write_outputs(result.after, outputs)
    return result.after.exit_code


def _with_files(targets: Sequence[str], *, rewrite_paths: bool) -> tuple[tuple[str, ...], frozenset[Path]]:
    """Return the targets that are models, roles or directories, and the scripts among them.

    Raises `UsageError` for a script if its paths may not be rewritten: nothing else could be done with it.
    """
    files = [t for t in targets if os.path.isfile(t)]
    if files and not rewrite_paths:
        raise UsageError(
            f"{printable(files[0])} is a file; repairs are for models. To rewrite the paths in a script: "
            f"sage-doctor fix --rewrite-paths {shell_quote(files[0])}"
        )
    return tuple(t for t in targets if t not in files), frozenset(Path(os.path.abspath(f)) for f in files)


def _show_suggestions(request: Request, result: RepairReport, files: frozenset[Path]) -> None:
    """Show the suggested changes of scripts, unless a plan has shown them already."""
    if any(a.plan is not None and a.plan.suggests for a in result.attempts):
        return
    from sage_doctor.paths.rewrite.patch import how_to_take, suggestions_of  # noqa: PLC0415
    from sage_doctor.repairs.repair import suggested_lines  # noqa: PLC0415
    from sage_doctor.subjects.selection import select  # noqa: PLC0415

    for found in suggestions_of(select(request).host, only=sorted(files) or None):
        if found.patch:
            say(f"rewrite-paths: {join_limited([os.path.relpath(p, found.top) for p in found.files], most=5)}")
            say(*suggested_lines(found.lines, how_to_take(found, request.manifest), width(), after=False), "")


def _bases(values: Sequence[str]) -> dict[str, str]:
    """Return the values of `--base` by adapter. A directory may have a `=` in its name."""
    found: dict[str, str] = {}
    for text in values:
        adapter, mark, base = text.partition("=")
        name, value = (adapter, base) if mark and not os.path.isdir(text) else ("", text)
        if not value or name in found:
            what = f"{printable(name) or 'the adapter'} has two bases" if value else "names no base"
            raise UsageError(f"--base {printable(text)}: {what}")
        found[name] = value
    return found


def _chosen(adapter: str, choices: Sequence[Path]) -> Path | None:
    """Ask which of several directories is an adapter's base. Without a terminal the answer is None."""
    question = f"Which base was {printable(adapter, limit=200)} trained on? Matching shapes do not prove it."
    said = chosen(question, [str(path) for path in choices])
    return Path(said) if said is not None else None


def _report_unfinished(journal: Journal) -> list[Backup]:
    """Report repairs that an earlier run was killed in: once, or while a backup exists. Return the backups."""
    from sage_doctor.repairs.backup import backup_of  # noqa: PLC0415 - --help needs none of it

    backups = []
    for entry in journal.unfinished():
        backup = backup_of(entry)
        where = f" Backup: {shell_quote(backup.path)}." if backup is not None else ""
        what = f"{printable(str(entry.get('repair')), limit=60)} of {printable(str(entry.get('subject')), limit=200)}"
        sys.stderr.write(
            f"an earlier fix was killed during {what} (started {printable(str(entry.get('at')), limit=40)}); "
            f"the files are in the old or the new state and are checked again.{where}\n"
        )
        if backup is None:
            journal.append("noted", entry["key"])
        else:
            backups.append(backup)
    return backups


def _discard_backups(backups: list[Backup], result: RepairReport, journal: Journal) -> None:
    """Delete the backups of killed runs whose new state is verified, and report each."""
    from sage_doctor.system.state_directory import hash_cache  # noqa: PLC0415 - hardly ever needed

    cache = hash_cache(os.environ)
    for backup in backups:
        why = backup.discard(result.after.findings, cache)
        if why is None:
            journal.append("noted", backup.key)
        deleted = f"deleted {printable(str(backup.path))}: backup of an earlier fix, no longer needed"
        sys.stderr.write(f"{deleted if why is None else backup.kept_message(why)}\n")
