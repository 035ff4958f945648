"""`sage-doctor explain`: explain a finding code, or recognise a session's error text on standard input."""

from __future__ import annotations

import argparse
import sys
from typing import BinaryIO

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.findings import catalogue
from sage_doctor.findings.declaration import Declaration
from sage_doctor.render import screen_of
from sage_doctor.render.terminal.writer import Writer
from sage_doctor.text import printable

MOST_BYTES = 4_000_000
MOST_ENTRIES = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "code",
        nargs="?",
        default="-",
        metavar="CODE",
        help="a finding code, or - to read an error text from standard input",
    )


def run(options: argparse.Namespace) -> int:
    """Print why and fix. Raises `UsageError` for an unknown code, `DoctorError` for an unrecognised text."""
    if options.code == "-":
        found = _recognised()
    else:
        try:
            found = (catalogue.get(options.code),)
        except ValueError as error:
            raise UsageError(printable(str(error))) from error
    text = "\n".join(_text(e) for e in found[:MOST_ENTRIES])
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    return 0


def _recognised() -> tuple[Declaration, ...]:
    from sage_doctor.findings.recognition import search  # noqa: PLC0415 - compiles a hundred patterns

    if sys.stdin.isatty():
        sys.stderr.write("Paste the error text, then press Ctrl-D.\n")
    found = search(_end_of(sys.stdin.buffer).decode("utf-8", "replace"))
    if not found:
        raise DoctorError("no known error recognised in this text; `sage-doctor check` checks the files themselves")
    return found


def _end_of(stream: BinaryIO) -> bytes:
    """Return the last bytes of a stream of any length: what stopped a session stands at the end of its log."""
    end = b""
    while part := stream.read(MOST_BYTES):
        end = (end + part)[-MOST_BYTES:]
    return end


def _text(known: Declaration) -> str:
    out = Writer(screen_of(sys.stdout))
    out.text(f"{known.code} ({known.severity}): {known.title}")
    out.blank()
    out.text(known.cause, head="why: ", indent=2, after=5)
    out.text(known.remediation, head="fix: ", indent=2, after=5)
    return out.read()
