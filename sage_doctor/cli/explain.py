"""`sage-doctor explain`: a finding code, or an error text on standard input."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sage_doctor import catalogue
from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.text import printable

MOST_BYTES = 4_000_000
MOST_ENTRIES = 3


def explain(
    code: Annotated[str, typer.Argument(help="A finding code, or - for an error text on standard input.")] = "-",
) -> int:
    """Explain a finding code, or recognise the error text of a session that failed."""
    if code == "-":
        found = _recognised()
    else:
        try:
            found = (catalogue.entry(code),)
        except ValueError as error:
            raise UsageError(printable(str(error))) from error
    sys.stdout.write("\n".join(_text(e) for e in found[:MOST_ENTRIES]))
    return 0


def _recognised() -> tuple[catalogue.Entry, ...]:
    from sage_doctor.catalogue.recognition import search  # noqa: PLC0415

    if sys.stdin.isatty():
        sys.stderr.write("Paste the error text, then press Ctrl-D.\n")
    text = sys.stdin.buffer.read(MOST_BYTES).decode("utf-8", "replace")
    found = search(text)
    if not found:
        raise DoctorError("no known error in this text; `sage-doctor check` looks at the files themselves")
    return found


def _text(entry: catalogue.Entry) -> str:
    return f"{entry.code} ({entry.severity}): {entry.title}\n\n  Cause: {entry.cause}\n  Cure:  {entry.cure}\n"
