"""`sage-doctor explain`: explain a finding code, or recognise the error text of a session on standard input."""

from __future__ import annotations

import argparse
import sys

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.findings import catalogue
from sage_doctor.findings.declaration import Declaration
from sage_doctor.text import printable

MOST_BYTES = 4_000_000
MOST_ENTRIES = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "code", nargs="?", default="-", metavar="CODE", help="a finding code, or - for a text on standard input"
    )


def run(options: argparse.Namespace) -> int:
    """Print why, and the fix. Raises `UsageError` for an unknown code, `DoctorError` for a text nobody recognises."""
    if options.code == "-":
        found = _recognised()
    else:
        try:
            found = (catalogue.get(options.code),)
        except ValueError as error:
            raise UsageError(printable(str(error))) from error
    sys.stdout.write("\n".join(_text(e) for e in found[:MOST_ENTRIES]))
    return 0


def _recognised() -> tuple[Declaration, ...]:
    from sage_doctor.findings.recognition import search  # noqa: PLC0415 - compiles a hundred patterns

    if sys.stdin.isatty():
        sys.stderr.write("Paste the error text, then press Ctrl-D.\n")
    text = sys.stdin.buffer.read(MOST_BYTES).decode("utf-8", "replace")
    found = search(text)
    if not found:
        raise DoctorError("no known error in this text; `sage-doctor check` looks at the files themselves")
    return found


def _text(known: Declaration) -> str:
    return f"{known.code} ({known.severity}): {known.title}\n\n  Why: {known.cause}\n  Fix: {known.remediation}\n"
