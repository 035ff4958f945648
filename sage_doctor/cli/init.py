"""`sage-doctor init`: find the models, scripts and machines below directories, and write or complete the manifest.

Shows the change first. Without a terminal to ask at, nothing is written unless --yes says so.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.cli.dialogue import agreed, chosen, say
from sage_doctor.cli.options import working_directory
from sage_doctor.errors import NothingSelected, UsageError
from sage_doctor.system.mounts import why_not_written
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.init.additions import Addition
    from sage_doctor.init.inventory import Inventory


EXAMPLES = (
    ("init", "find what is below this directory, and ask"),
    ("init --dry-run ~/models ~/project", "what would be written"),
    ("init --yes", "do not ask; guesses become comments"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("targets", nargs="*", metavar="DIR", help="where to look (default: the working directory)")
    parser.add_argument(
        "-m",
        "--manifest",
        metavar="FILE",
        help="the manifest to write or complete (default: the one in use here, else ./sage-doctor.toml)",
    )
    parser.add_argument(
        "-a", "--all", action="store_true", help="add every model that is found, not only those that scripts load"
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="show what would be written and write nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask; write guesses as marked comments")


def run(options: argparse.Namespace) -> int:
    """Search, show, ask and write. Raises `ManifestError`, `UsageError` and `NothingSelected`."""
    from sage_doctor.init.additions import added, read_text, target_of  # noqa: PLC0415 - --help needs none of it
    from sage_doctor.init.inventory import take_inventory  # noqa: PLC0415
    from sage_doctor.manifest.load import FILE_NAME, load_for_host, nearest_manifest  # noqa: PLC0415

    cwd = working_directory()
    roots = [_root(cwd, text) for text in options.targets or ["."]]
    named = os.environ.get("SAGE_DOCTOR_MANIFEST")
    in_use = nearest_manifest(cwd) or (cwd / named if named else None)
    path = target_of(options.manifest, in_use, cwd, FILE_NAME)
    if not path.parent.is_dir():
        raise UsageError(f"no manifest can be written: {printable(str(path.parent))} is not a directory")
    old = read_text(path)
    manifest = load_for_host(path) if old is not None and old.strip() else None
    quiet = options.yes or options.dry_run
    ask = (lambda _text, _options: None) if quiet else chosen
    inventory = take_inventory(roots, path, manifest, os.environ, ask, everything=options.all)
    if inventory.is_new and not inventory.new:
        _remark(inventory)
        where = ", ".join(printable(t) for t in options.targets) or "."
        hint = next(filter(None, map(why_not_written, roots)), "") or (
            "name the directories that hold your models: sage-doctor init DIR"
        )
        raise NothingSelected(f"no model directory at or below {where}; {printable(hint)}")
    addition = added(inventory, path, old)
    if addition.is_empty:
        _remark(inventory)
        sys.stdout.write(f"nothing to add: {printable(str(path))} already has everything that was found\n")
        return 0
    say(*addition.diff(), "")
    _remark(inventory)
    if options.dry_run:
        return 0
    return _written(addition, yes=options.yes)


def _root(cwd: Path, text: str) -> Path:
    path = Path(os.path.normpath(cwd / os.path.expanduser(text)))
    if not path.is_dir():
        raise UsageError(f"{printable(text)} is not a directory")
    return path


def _written(addition: Addition, *, yes: bool) -> int:
    shown = printable(str(addition.path))
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nothing was written: there is no terminal to ask at; --yes consents")
        if not agreed(f"Write this to {shown}?"):
            sys.stderr.write("nothing was written\n")
            return 0
    addition.write()
    marks = addition.new.count("check this") - (addition.old or "").count("check this")
    say(f"written  {shown}")
    if marks > (addition.old is None):
        say(f"next     review what is marked `check this` in {shell_quote(addition.path)}, then run: sage-doctor check")
    else:
        say("next     sage-doctor check")
    return 0


def _remark(inventory: Inventory) -> None:
    for text in inventory.remarks:
        sys.stderr.write(f"note     {printable(text, limit=500)}\n")
