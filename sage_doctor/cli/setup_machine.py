"""This host's table in the manifest, for `setup`: found, or asked for, shown and appended. What is there stays."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.cli.dialogue import agreed, say
from sage_doctor.errors import ManifestError, UsageError
from sage_doctor.system.state_directory import home_of
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.init.new_machine import Known, NewMachine
    from sage_doctor.manifest.specs import MachineSpec, Manifest

_HEADING = "# Written by `sage-doctor setup`.\n"


def machine_of(options: argparse.Namespace, path: Path) -> Manifest | None:
    """Return the manifest in which this host is a machine, written first where it is not; None after a dry run of that.

    Raises `UsageError`, `ManifestError` and `DoctorError`.
    """
    from sage_doctor.manifest.load import load_for_host  # noqa: PLC0415 - --help needs none of it
    from sage_doctor.manifest.names import not_a_machine  # noqa: PLC0415

    known = _known(path)
    if options.source is not None and options.source not in known.hosts:
        raise UsageError(f"--from {printable(options.source)}: {not_a_machine(options.source, known.machines)}")
    if options.machine is None and os.environ.get("SAGE_MACHINE", "") not in ("", *known.machines):
        options.machine = os.environ.pop("SAGE_MACHINE")  # a new name, for a hostname that another machine may have
    if options.machine in known.machines:
        _act_as(options.machine)
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


def _act_as(machine: str) -> None:
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
    from sage_doctor.manifest.load import load_for_host, read_manifest_text  # noqa: PLC0415

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
    from sage_doctor.manifest.load import load_for_host  # noqa: PLC0415

    quiet = options.yes or options.dry_run
    new = _asked(options, path, known, quiet=quiet)
    if twin is not None:
        new = dataclasses.replace(new, hostname=None)
        say(f"machine {printable(twin.name)} has this hostname too")
        _act_as(new.name)
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

    new = proposed(known, path, os.environ, home_of(os.environ))
    said = dict(text.partition("=")[::2] for text in options.var)
    odd = [name for name in said if name not in new.variables]
    if odd:
        raise UsageError(
            f"--var {printable(odd[0])}: no machine sets it; they set {join_limited(list(new.variables)) or 'none'}"
        )
    roles = options.role or answer("its roles", " ".join(new.roles), quiet=quiet).split()
    wrong = [role for role in roles if role not in known.roles]
    if wrong:
        raise UsageError(f"--role {printable(wrong[0])}: roles are {join_limited(list(known.roles))}")
    variables = {
        name: said.get(name) or answer(f"where {name} is here", value, quiet=quiet)
        for name, value in new.variables.items()
    }
    return dataclasses.replace(
        new,
        name=options.machine or answer("the name of this machine", new.name, quiet=quiet),
        roles=tuple(roles),
        python=options.python
        or answer("the Python of its sessions, if not this one", new.python or "", quiet=quiet)
        or None,
        variables=variables,
    )


def answer(question: str, proposal: str, *, quiet: bool) -> str:
    """Return what a person answers; an empty line, or nobody to ask, takes the proposal."""
    if quiet or not sys.stdin.isatty():
        return proposal
    sys.stderr.write(f"{question} [{printable(proposal, limit=200)}]: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() or proposal
