"""`sage-doctor lock`: record each model's files and hashes, and later report which models have changed.

Exits with 0 if nothing differs, 1 if something differs or is missing. Loads no model.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.cli.dialogue import say
from sage_doctor.cli.help_page import Renamed
from sage_doctor.cli.options import add_manifest, working_directory
from sage_doctor.errors import UsageError
from sage_doctor.render.progress import live_progress
from sage_doctor.render.table import Row, write_table
from sage_doctor.report import EXIT_HEALTHY, EXIT_UNHEALTHY, EXIT_UNKNOWN
from sage_doctor.text import printable

if TYPE_CHECKING:
    from sage_doctor.lock.comparison import Comparison
    from sage_doctor.lock.differences import Difference
    from sage_doctor.lock.entry import LockedModel
    from sage_doctor.lock.scope import LockScope

Entries = Mapping[str, "LockedModel"]


EXAMPLES = (
    ("lock", "record what this machine's roles need"),
    ("lock --check", "what has changed since?"),
    ("lock MODEL", "record one model again, after a change on purpose"),
    ("lock --diff other/sage-doctor.lock", "compare with another machine's"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="models (by name, directory or hf:org/name) or roles; default: what this machine's roles need",
    )
    add_manifest(parser)
    parser.add_argument(
        "--check", action="store_true", help="compare with the lock and print differences; change nothing"
    )
    parser.add_argument("--diff", metavar="OTHER", help="compare this lock with another one; reads no model")
    parser.add_argument("--prune", action="store_true", help="remove models that are not here or not in the manifest")
    parser.add_argument(
        "--lock-file", metavar="FILE", help="the lock file (default: sage-doctor.lock beside the manifest)"
    )
    parser.add_argument("-o", "--output", dest="lock_file", action=Renamed, new="--lock-file")


def run(options: argparse.Namespace) -> int:
    """Record, check or compare. Raises `UsageError` for a broken manifest or lock."""
    from sage_doctor.lock.scope import read_scope  # noqa: PLC0415 - --help needs none of it

    if options.check and (options.diff or options.prune):
        raise UsageError("--check cannot be combined with --diff or --prune")
    if options.diff and (options.prune or options.targets):
        raise UsageError("--diff compares two whole locks and cannot be combined with names or --prune")
    choice = read_scope(options.targets, options.manifest, options.lock_file, working_directory(), os.environ)
    if options.diff:
        return _diff(choice, Path(options.diff))
    return _check(choice) if options.check else _record(choice, prune=options.prune)


def _needed(entries: Entries | None, path: Path) -> Entries:
    if entries is None:
        raise UsageError(f"{printable(str(path))} not found; `sage-doctor lock` writes it")
    return entries


def _compare(choice: LockScope, old: Entries) -> list[Comparison]:
    from sage_doctor.lock.comparison import compare  # noqa: PLC0415

    with live_progress() as progress:
        return compare(choice.models, old, cache=choice.cache, on_progress=progress.update)


def _record(choice: LockScope, *, prune: bool) -> int:
    from sage_doctor.lock.entry import lock_text  # noqa: PLC0415
    from sage_doctor.system.atomic_write import atomic_write  # noqa: PLC0415

    old = choice.locked or {}
    results = _compare(choice, old)
    entries = dict(old)
    for found in results:
        if found.now is not None:
            entries[found.name] = found.now
    absent = {found.name for found in results if found.state == "absent"}
    unseen = [n for n in old if n in absent or n in choice.elsewhere or n not in choice.known]
    unseen = [n for n in unseen if not choice.named or n in choice.named]
    for name in unseen if prune else ():
        del entries[name]
    rows = [_state(f, recording=True, kept=f.name in entries and f.now is None) for f in results]
    for name in unseen:
        if prune:
            rows.append(_row("removed", name, "by --prune"))
        elif name not in absent:
            why = choice.elsewhere.get(name, "not in the manifest any more")
            rows.append(_row("kept", name, f"{printable(why, limit=300)}; --prune removes it"))
    write_table(rows)
    text = lock_text(entries)
    if not entries and choice.locked is None:
        say("no model could be recorded; nothing was written")
    elif entries == choice.locked:
        say(f"{printable(str(choice.lock))} is up to date")
    else:
        atomic_write(choice.lock, text)
        say(f"written  {printable(str(choice.lock))}: {len(entries)} model{'' if len(entries) == 1 else 's'}")
    missing = [f for f in results if f.now is None and not (prune and f.name in unseen)]
    return EXIT_UNHEALTHY if missing else EXIT_HEALTHY


def _check(choice: LockScope) -> int:
    locked = _needed(choice.locked, choice.lock)
    results = _compare(choice, locked)
    rows = [_state(f, recording=False, kept=f.name in locked) for f in results]
    for name, why in choice.elsewhere.items():
        if name in locked and (not choice.named or name in choice.named):
            rows.append(_row("not here", name, printable(why, limit=300)))
    write_table(rows)
    states = {f.state for f in results}
    drifted = [f for f in results if f.state not in ("same", "unreadable")]
    same = sum(f.state == "same" for f in results)
    say(f"{same} of {len(results)} models match {printable(choice.lock.name)}")
    return EXIT_UNHEALTHY if drifted else EXIT_UNKNOWN if "unreadable" in states else EXIT_HEALTHY


def _diff(choice: LockScope, other: Path) -> int:
    from sage_doctor.lock.differences import Sides, changes_between  # noqa: PLC0415
    from sage_doctor.lock.parse import read_lock  # noqa: PLC0415

    path = choice.lock
    ours, theirs = _needed(choice.locked, path), _needed(read_lock(other), other)
    sides = Sides(old=f"in {printable(path.name, limit=60)}", new=f"in {printable(other.name, limit=60)}")
    if path.name == other.name:
        sides = Sides(old="here", new="there")
    rows: list[Row] = []
    same = 0
    for name in sorted({*ours, *theirs}):
        if name not in theirs or name not in ours:
            rows.append(_row("only one", name, f"only {sides.old if name in ours else sides.new}"))
            continue
        changes = changes_between(ours[name], theirs[name], sides)
        same += not changes
        if changes:
            rows.append(_changes("differs", name, changes))
    write_table(rows)
    say(f"{same} of {len({*ours, *theirs})} models are the same in both locks")
    return EXIT_HEALTHY if same == len({*ours, *theirs}) else EXIT_UNHEALTHY


_WORDS = {"same": "same", "new": "new", "absent": "not here", "broken": "broken", "unreadable": "unreadable"}
_STYLE = {"same": "green", "new": "cyan", "changed": "cyan", "drifted": "red", "broken": "red", "differs": "red"}


def _state(found: Comparison, *, recording: bool, kept: bool) -> Row:
    """Return the state of one model, and what happens to its entry if it cannot be recorded."""
    if found.state == "changed":
        return _changes("changed" if recording else "drifted", found.name, found.changes)
    words = found.why
    if found.state == "new":
        words = "" if recording else "not locked; `sage-doctor lock` records it"
    elif found.now is None and recording:
        words += "; its entry is kept" if kept else "; not recorded"
    return _row(_WORDS[found.state], found.name, words)


def _changes(word: str, name: str, changes: Sequence[Difference]) -> Row:
    return _row(word, name, "\n".join(change.words for change in changes))


def _row(word: str, name: str, words: str) -> Row:
    return (word, _STYLE.get(word, "yellow")), printable(name, limit=200), words
