"""`sage-doctor setup`: set up this machine: its entry in the manifest, what its roles lack, the gate, and a check.

Each step is one of the other commands (init, sync, fix, install, check) and can be run by itself. A second run finds
done what was done; after an interrupt, run it again.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.cli.dialogue import agreed, say
from sage_doctor.cli.options import add_manifest, add_outputs
from sage_doctor.errors import DoctorError, ManifestError, UsageError
from sage_doctor.report import EXIT_HEALTHY, LEVELS
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.init.new_machine import Known, NewMachine
    from sage_doctor.manifest import Manifest
    from sage_doctor.manifest.specs import MachineSpec

EXAMPLES = (
    ("setup", "ask what is not known, then do it step by step"),
    ("setup --dry-run", "what would be done"),
    ("setup --yes --role raising --from sprout --gate systemd", "without questions"),
)
_HEADING = "# Written by `sage-doctor setup`.\n"
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
    from sage_doctor.manifest import find_manifest, load_for_host  # noqa: PLC0415 - --help needs none of it

    path = Path(options.manifest) if options.manifest else find_manifest(Path.cwd(), os.environ)
    if path is None:
        code = _do("init", *_consent(options))
        path = find_manifest(Path.cwd(), os.environ)
        if path is None:
            if options.dry_run and code == EXIT_HEALTHY:
                return None
            raise UsageError("there is no manifest yet; write one with `sage-doctor init`, or name one with -m")
    known = _known(path)
    if options.source is not None and options.source not in known.hosts:
        machines = join_limited(list(known.machines)) or "none"
        raise UsageError(f"--from {printable(options.source)}: not a machine of the manifest (machines: {machines})")
    if options.machine in known.machines:
        _be(options.machine)
    try:
        manifest = load_for_host(path)
    except ManifestError:
        if not known.machines:
            raise
        return _with_machine(options, path, known)
    machine = manifest.machine
    if known.machines and (machine is None or options.machine not in (None, machine.name)):
        return _with_machine(options, path, known, twin=machine)
    name = f"machine {machine.name}" if machine is not None else "one manifest for every host"
    _require_same(options, machine, f"{printable(str(path))}: {printable(name)}")
    say(f"{printable(str(path))}: {printable(name)}")
    return manifest


def _be(machine: str) -> None:
    """Take this host for a machine that its hostname does not tell, and say so."""
    os.environ["SAGE_MACHINE"] = machine
    say(f"this is {printable(machine)}; set SAGE_MACHINE={shell_quote(machine)} for sessions as well")


def _require_same(options: argparse.Namespace, machine: MachineSpec | None, where: str) -> None:
    """Raise `UsageError` for an answer that is not what the manifest says: what is there, a person changes."""
    said = dict(text.partition("=")[::2] for text in options.var)
    differs = {
        "--machine": options.machine is not None and machine is None,
        "--role": bool(options.role) and (machine is None or set(options.role) != set(machine.roles)),
        "--python": options.python is not None and (machine is None or Path(options.python) != machine.python),
        "--var": any(machine is None or machine.vars.get(name) != value for name, value in said.items()),
    }
    odd = [option for option, is_other in differs.items() if is_other]
    if odd:
        raise UsageError(f"{where} is there already, and says something else than {join_limited(odd)}; edit it")


def _known(path: Path) -> Known:
    from sage_doctor.init.new_machine import read_known  # noqa: PLC0415
    from sage_doctor.manifest import load_for_host  # noqa: PLC0415
    from sage_doctor.manifest.load import read_manifest_text  # noqa: PLC0415

    try:
        return read_known(read_manifest_text(path))
    except ValueError:
        load_for_host(path)  # says what is wrong, with its line
        raise


def _with_machine(
    options: argparse.Namespace, path: Path, known: Known, twin: MachineSpec | None = None
) -> Manifest | None:
    """Append this host's table, once it was shown and agreed to, and return the manifest with it.

    `twin` is another machine that this host's name fits: then `SAGE_MACHINE` alone tells the new one.
    """
    from sage_doctor.init.additions import appended, read_text  # noqa: PLC0415
    from sage_doctor.manifest import load_for_host  # noqa: PLC0415

    quiet = options.yes or options.dry_run
    new = _asked(options, path, known, quiet=quiet)
    if twin is not None:
        new = dataclasses.replace(new, hostname=None)
        say(f"machine {printable(twin.name)} has this hostname too")
        _be(new.name)
    addition = appended(path, read_text(path), [new.table()], _HEADING)
    say(f"{printable(str(path))} has {join_limited(list(known.machines), most=8)}, and not this host:", "")
    say(*addition.diff())
    if options.dry_run:
        return None
    if not quiet:
        if not sys.stdin.isatty():
            raise UsageError("nothing was written: there is no terminal to ask at; --yes consents")
        if not agreed(f"Write this to {printable(str(path))}?"):
            raise UsageError("nothing was written; SAGE_MACHINE=NAME says that this host is a machine that is there")
    addition.write()
    return load_for_host(path)


def _asked(options: argparse.Namespace, path: Path, known: Known, *, quiet: bool) -> NewMachine:
    """Return this host's table: what options say, else what a person answers, else the proposal."""
    from sage_doctor.init.new_machine import proposed  # noqa: PLC0415

    home = Path(os.environ.get("HOME") or os.path.expanduser("~"))
    new = proposed(known, path, os.environ, home)
    said = dict(text.partition("=")[::2] for text in options.var)
    odd = [name for name in said if name not in new.variables]
    if odd:
        raise UsageError(
            f"--var {printable(odd[0])}: no machine sets it; they set {join_limited(list(new.variables)) or 'none'}"
        )
    roles = options.role or _answer("its roles", " ".join(new.roles), quiet=quiet).split()
    wrong = [role for role in roles if role not in known.roles]
    if wrong:
        raise UsageError(f"--role {printable(wrong[0])}: roles are {join_limited(list(known.roles))}")
    variables = {
        name: said.get(name) or _answer(f"where {name} is here", value, quiet=quiet)
        for name, value in new.variables.items()
    }
    return dataclasses.replace(
        new,
        name=options.machine or _answer("the name of this machine", new.name, quiet=quiet),
        roles=tuple(roles),
        python=options.python
        or _answer("the Python of its sessions, if not this one", new.python or "", quiet=quiet)
        or None,
        variables=variables,
    )


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
        else _answer("the gate: systemd, cron, launchd or none", "none", quiet=False)
    )
    if choice == "none":
        say("not scheduled; `sage-doctor gate ROLE -- CMD …` works without, `sage-doctor install` schedules it")
        return
    _do("install", choice, *_consent(options))


def _answer(question: str, proposal: str, *, quiet: bool) -> str:
    """Return what a person answers; an empty line, or nobody to ask, takes the proposal."""
    if quiet or not sys.stdin.isatty():
        return proposal
    sys.stderr.write(f"{question} [{printable(proposal, limit=200)}]: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() or proposal
