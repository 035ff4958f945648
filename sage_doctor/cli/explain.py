"""`sage-doctor explain`: explain a finding code, or find in a log every cause that is known."""

from __future__ import annotations

import argparse
import codecs
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.findings import catalogue
from sage_doctor.findings.declaration import Declaration
from sage_doctor.render import screen_of
from sage_doctor.render.terminal.writer import Writer
from sage_doctor.text import join_limited, printable

if TYPE_CHECKING:
    from sage_doctor.findings.recognition import Recognised

_PART = 1 << 20
MOST_ENTRIES = 10
_MOST_SHOWN = 400


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "code",
        nargs="?",
        default="-",
        metavar="CODE|FILE",
        help="a finding code, a log to read, or - to read one from standard input",
    )


def run(options: argparse.Namespace) -> int:
    """Print why and fix. Raises `UsageError` for an unknown code, `DoctorError` for a text that is not recognised."""
    out = Writer(screen_of(sys.stdout))
    known = catalogue.find(options.code)
    if known is not None:
        _entry(out, known)
    else:
        _explain(out, _parts(options.code))
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(out.read().encode(encoding, "backslashreplace").decode(encoding))
    return 0


def _parts(name: str) -> Iterator[bytes]:
    """Yield a log in parts: what stops a session may stand anywhere in it, and no log is too long."""
    if name == "-":
        if sys.stdin.isatty():
            sys.stderr.write("Paste the error text, then press Ctrl-D.\n")
        yield from _read(sys.stdin.buffer)
        return
    try:
        with open(name, "rb") as stream:
            yield from _read(stream)
    except (OSError, ValueError) as error:
        _refuse(name, error)


def _refuse(name: str, error: Exception) -> None:
    if "/" in name or not isinstance(error, FileNotFoundError):
        why = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)
        raise UsageError(f"{printable(name)} cannot be read: {why}") from error
    try:
        catalogue.get(name)
    except ValueError as unknown:
        raise UsageError(f"{printable(str(unknown))}, and no such file here") from error


def _read(stream: BinaryIO) -> Iterator[bytes]:
    decoder = None
    for number, part in enumerate(iter(lambda: stream.read(_PART), b"")):
        if number == 0 and part.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes logs
            decoder = codecs.getincrementaldecoder("utf-16")("replace")
        yield part if decoder is None else decoder.decode(part).encode("utf-8", "replace")


def _explain(out: Writer, parts: Iterator[bytes]) -> None:
    from sage_doctor.cli.named_models import models_of  # noqa: PLC0415 - explaining a code looks at no model
    from sage_doctor.findings.recognition import recognise  # noqa: PLC0415 - compiles hundreds of patterns

    found = recognise(parts)
    if not found:
        raise DoctorError(
            "no known error recognised in this text. `sage-doctor check` examines the files and the machine "
            "themselves. If that finds nothing either, report it with the log from its first error on, the versions "
            "of the programs in it, and the output of `sage-doctor check --format json`"
        )
    models = models_of(Path.cwd(), os.environ)
    causes, others = _causes(found)
    for cause, also in causes[:MOST_ENTRIES]:
        out.blank()
        _entry(out, cause.known, cause, also, models)
    if len(causes) > MOST_ENTRIES:
        out.blank()
        out.text(
            f"and {len(causes) - MOST_ENTRIES} more: {join_limited([c.known.code for c, _ in causes[MOST_ENTRIES:]])}"
        )
    if others:
        out.blank()
        out.text(
            "Also in the text, and perhaps only a consequence: "
            + join_limited([f"{o.known.code} (line {o.number})" for o in others])
        )


def _causes(found: list[Recognised]) -> tuple[list[tuple[Recognised, list[str]]], list[Recognised]]:
    """Return each line's likeliest cause with the codes that it may also mean, and what else was recognised.

    A line with several possible causes counts only where no line in the text is sure.
    """
    lines: dict[int, tuple[Recognised, list[str]]] = {}
    for one in found:
        if one.number in lines:
            lines[one.number][1].append(one.known.code)
        else:
            lines[one.number] = (one, [])
    causes = [entry for entry in lines.values() if entry[0].sure]
    unsure = [entry for entry in lines.values() if not entry[0].sure]
    return (causes, [one for one, _ in unsure]) if causes else (unsure, [])


def _entry(
    out: Writer,
    known: Declaration,
    cause: Recognised | None = None,
    also: list[str] | None = None,
    models: Mapping[str, Path] | None = None,
) -> None:
    out.text(f"{known.code} ({known.severity}): {known.title}")
    out.blank()
    if cause is not None:
        out.text(printable(cause.line, limit=_MOST_SHOWN), head=f"line {cause.number}: ", indent=2, after=5)
    out.text(known.cause, head="why: ", indent=2, after=5)
    out.text(known.remediation, head="fix: ", indent=2, after=5)
    if cause is not None:
        _looked_at(out, cause, models or {})
    if also:
        out.text(join_limited(also), head="or: ", indent=2, after=5)


def _looked_at(out: Writer, cause: Recognised, models: Mapping[str, Path]) -> None:
    from sage_doctor.cli.named_models import looked_up  # noqa: PLC0415 - only where a log was read

    home = Path(os.environ.get("HOME") or os.path.expanduser("~"))
    said, command = looked_up(cause.line, cause.around, models, home=home)
    for sentence in said:
        out.text(sentence, head="here: ", indent=2, after=5)
    if command:
        out.command(command, indent=7)
