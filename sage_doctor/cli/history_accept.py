"""`sage-doctor history accept`: accept a state's counter that was reset on purpose.

Reads the state again, shows both values, and asks. Exits with 0 if the recorded highest value is the current one.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.cli.dialogue import agreed
from sage_doctor.cli.options import add_manifest
from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.history.watermarks import Counter, Mark, Watermarks
    from sage_doctor.manifest.specs import Manifest
    from sage_doctor.manifest.watched import StateSpec


EXAMPLES = (("history accept STATE", "the counter was reset on purpose"),)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("state", metavar="STATE", help="a state of the manifest, the NAME of [state.NAME]")
    add_manifest(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace) -> int:
    """Record the current value. Raises `DoctorError` if it cannot be read or recorded, or without consent."""
    from sage_doctor.facts.session_state import read_session_state  # noqa: PLC0415 - --help needs none of this
    from sage_doctor.history.watermarks import Counter, Watermarks  # noqa: PLC0415
    from sage_doctor.system.state_directory import state_directory  # noqa: PLC0415

    manifest, spec, counter = _state_of(options)
    state = read_session_state(spec.path, counter)
    if state.counter is None:
        raise DoctorError(f"{printable(str(spec.path))}: {state.problem}")
    store = Watermarks(directory=state_directory(os.environ))
    key = Counter(str(manifest.path), spec.name, counter)
    before = store.read().marks.get(key)
    what, now = f"{printable(counter)} in {printable(str(spec.path))}", _number(state.counter)
    if before is not None and before.value == state.counter:
        sys.stdout.write(f"{what} is {now}, which is the recorded highest value\n")
    else:
        recorded = "none" if before is None else f"{_number(before.value)} ({printable(before.at, limit=40)})"
        sys.stdout.write(f"{what} is {now}; recorded highest value: {recorded}\n")
        sys.stdout.flush()
        if before is not None and state.counter < before.value and not options.yes:
            _ask()
        _record(store, key, state.counter, before)
        sys.stdout.write(f"accepted: {now} is now the recorded highest value\n")
    _warn_of_higher_file(manifest, spec, state.counter)
    return 0


def _state_of(options: argparse.Namespace) -> tuple[Manifest, StateSpec, str]:
    from sage_doctor.manifest.load import find_manifest, load_for_host  # noqa: PLC0415 - likewise

    path = Path(options.manifest) if options.manifest is not None else find_manifest(Path.cwd(), os.environ)
    if path is None:
        raise UsageError("no sage-doctor.toml in this directory or above; name one with --manifest")
    manifest = load_for_host(path)
    name = options.state.removeprefix("state:")
    spec = manifest.states.get(name)
    if spec is None:
        known = join_limited(list(manifest.states)) or "none"
        raise UsageError(
            f"state {shell_quote(name)} of this machine not found in {printable(str(path))}; states: {known}"
        )
    if spec.counter is None:
        raise UsageError(f"[state.{printable(name)}] has no counter to accept")
    return manifest, spec, spec.counter


def _ask() -> None:
    if not sys.stdin.isatty():
        raise DoctorError("nothing was changed: no terminal to ask at; use --yes")
    if not agreed("Accept the lower value?"):
        raise DoctorError("nothing was changed")


def _record(store: Watermarks, key: Counter, value: float, before: Mark | None) -> None:
    from sage_doctor.repairs.journal import FILE_NAME, Journal  # noqa: PLC0415 - likewise

    journal = Journal(path=store.directory / FILE_NAME)
    begun = journal.begin(
        repair="accept",
        subject=f"state:{key.state}",
        manifest=key.manifest,
        counter=key.counter,
        before=before.value if before is not None else None,
        value=value,
    )
    try:
        aside = store.accept(key, value, instead_of=before)
    except DoctorError as error:
        journal.append("failed", begun, reason=str(error))
        raise
    journal.append("repaired", begun)
    if aside:
        sys.stderr.write(f"the record was damaged; it was moved to {printable(aside)}\n")


def _warn_of_higher_file(manifest: Manifest, spec: StateSpec, value: float) -> None:
    """Warn if a numbered file still contradicts the state: the record does not change that."""
    from sage_doctor.facts.traces import read_numbers  # noqa: PLC0415 - likewise

    if spec.min_from_glob is None:
        return
    files = read_numbers(spec.min_from_glob, manifest.directory)
    if files.number is not None and files.number > value:
        sys.stderr.write(
            f"{printable(files.path or '')} still has a higher number: move it away, or correct the state\n"
        )


def _number(value: float) -> str:
    return printable(str(value), limit=40)
