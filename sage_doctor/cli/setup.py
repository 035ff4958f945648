"""`sage-doctor setup`: set up this machine: its entry in the manifest, what its roles lack, the gate, and a check.

Each step is one of the other commands (init, sync, fix, install, check) and can be run by itself. A second run finds
done what was done; after an interrupt, run it again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.cli.dialogue import agreed, say
from sage_doctor.cli.options import add_manifest, add_outputs
from sage_doctor.cli.setup_machine import answer, machine_of
from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.report import EXIT_HEALTHY, LEVELS
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.manifest.specs import Manifest

EXAMPLES = (
    ("setup", "ask what is not known, then do it step by step"),
    ("setup --dry-run", "what would be done"),
    ("setup --yes --role raising --from sprout --gate systemd", "without questions"),
)
_STEPS = ("machine", "models", "gate", "check")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_manifest(parser)
    machine = parser.add_argument_group("this machine, where the manifest does not know it")
    machine.add_argument("--machine", metavar="NAME", help="its name (default: the hostname), or one that is there")
    machine.add_argument(
        "--role", action="append", default=[], metavar="ROLE", help="what it runs (default: every role)"
    )
    machine.add_argument("--python", metavar="PATH", help="the Python of its sessions")
    machine.add_argument("--var", action="append", default=[], metavar="NAME=PATH",
                         help="where something is here, such as zoo=/data/models")  # fmt: skip
    parser.add_argument(
        "--from", dest="source", metavar="MACHINE", help="copy models from this machine first, over ssh"
    )
    parser.add_argument("--gate", choices=("systemd", "cron", "launchd", "none"), help="schedule the gate of the roles")
    parser.add_argument("-l", "--level", choices=LEVELS, help="level of the check at the end (default: generate)")
    parser.add_argument("-n", "--dry-run", action="store_true", help="show what would be done, change nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    add_outputs(parser)


def run(options: argparse.Namespace) -> int:
    """Do the steps in order, and return the exit code of the check at the end. Raises `DoctorError`."""
    step = ""
    try:
        step = _step("machine")
        manifest = _manifest(options)
        if manifest is None:  # a dry run of a machine that is not there yet ends here
            return EXIT_HEALTHY
        step = _step("models")
        _models(options, manifest)
        step = _step("gate")
        _gate(options, manifest)
        step = _step("check")
        level = ["-l", options.level] if options.level else []
        return _do("check", *_named(options), *level, *(w for text in options.output for w in ("-o", text)))
    except KeyboardInterrupt:
        again = " ".join(["sage-doctor setup", *map(shell_quote, _named(options))])
        sys.stderr.write(f"sage-doctor: interrupted in step {step}; what was done before stays. Go on: {again}\n")
        raise


def _step(name: str) -> str:
    say("", f"{_STEPS.index(name) + 1}/{len(_STEPS)} {name}")
    return name


def _do(*words: str) -> int:
    """Run another command as a person would, and return its exit code."""
    from sage_doctor.cli.app import run as run_command  # noqa: PLC0415 - the commands are modules beside this one

    say(f"$ sage-doctor {' '.join(map(shell_quote, words))}")
    return run_command(list(words))


def _named(options: argparse.Namespace) -> list[str]:
    return ["-m", options.manifest] if options.manifest else []


def _consent(options: argparse.Namespace) -> list[str]:
    return [*_named(options), *(["--dry-run"] if options.dry_run else ["--yes"] if options.yes else [])]


def _manifest(options: argparse.Namespace) -> Manifest | None:
    """Return the manifest in which this host is a machine, written first where there is none or it is not in it."""
    from sage_doctor.manifest.load import find_manifest  # noqa: PLC0415 - --help needs none of it

    path = Path(options.manifest) if options.manifest else find_manifest(Path.cwd(), os.environ)
    if path is None:
        code = _do("init", *_consent(options))
        path = find_manifest(Path.cwd(), os.environ)
        if path is None:
            if options.dry_run and code == EXIT_HEALTHY:
                return None
            raise UsageError("there is no manifest yet; write one with `sage-doctor init`, or name one with -m")
    return machine_of(options, path)


def _places(options: argparse.Namespace, manifest: Manifest) -> set[Path]:
    """Make the directories that models will be in, once agreed, and return those that were made.

    None is made on a disk that is declared and not mounted.
    """
    paths = [manifest.models[name].path.path for name in manifest.required() if name in manifest.models]
    missing = [place for place in sorted({p.parent for p in paths if p is not None}) if not place.exists()]
    made: set[Path] = set()
    if not missing:
        return made
    from sage_doctor.cli.this_host import this_host  # noqa: PLC0415
    from sage_doctor.findings.volumes import lacking_volume  # noqa: PLC0415

    host = this_host(options.manifest)
    for place in missing:
        lacking = lacking_volume(host, str(place))
        if lacking is not None:
            say(f"{printable(str(place))}: {lacking.message}")
        elif options.dry_run:
            say(f"would make the directory {printable(str(place))}")
        elif options.yes or agreed(f"Make the directory {printable(str(place))}?"):
            try:
                place.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = os.strerror(error.errno or 0).lower()
                raise DoctorError(f"{printable(str(place))} cannot be made: {why}") from error
            say(f"made the directory {printable(str(place))}")
            made.add(place)
    return made


def _models(options: argparse.Namespace, manifest: Manifest) -> None:
    """Bring what the roles lack: copied from the machine that was named, then by the repairs, in their own order."""
    from sage_doctor.manifest.other_machines import elsewhere  # noqa: PLC0415

    made = _places(options, manifest)
    wanted: dict[str, list[str]] = defaultdict(list)  # what is copied from which machine
    if options.source:
        wanted[options.source] += manifest.machine.roles if manifest.machine is not None else manifest.roles
    else:  # the repairs bring nothing into an empty directory, which may be a mount point; those here are none
        for name in manifest.required():
            place = next(elsewhere(manifest, name), None)
            path = manifest.models[name].path.path if name in manifest.models else None
            if place is not None and path is not None and path.parent in made:
                wanted[place.machine].append(name)
    for machine, names in wanted.items():
        _do("sync", *names, "--from", machine, *_consent(options))
    _do("fix", *_consent(options), "-l", "static")


def _gate(options: argparse.Namespace, manifest: Manifest) -> None:
    if not manifest.roles:
        say("no role is declared: there is nothing to let in")
        return
    choice = options.gate or (
        "none"
        if options.yes or options.dry_run
        else answer("the gate: systemd, cron, launchd or none", "none", quiet=False)
    )
    if choice == "none":
        say("not scheduled; `sage-doctor gate ROLE -- CMD …` works without, `sage-doctor install` schedules it")
        return
    _do("install", choice, *_consent(options))
