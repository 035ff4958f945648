"""`sage-doctor explain`: explain a finding code, or find in a log or an error text every cause that is known.

What a log shows is told newest first, each with the line that was recognised; what merely follows from another line
comes last. Exits with 3 if nothing is recognised.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import json
import os
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.findings import catalogue
from sage_doctor.findings.declaration import Certainty, Declaration
from sage_doctor.render import screen_of
from sage_doctor.render.terminal.writer import Writer
from sage_doctor.system.state_directory import home_of
from sage_doctor.text import join_limited, printable

if TYPE_CHECKING:
    from sage_doctor.findings.log_window import Recognised

EXAMPLES = (
    ("explain weights-truncated", "what a finding means, and what to do"),
    ("explain session.log", "what a log shows"),
    ('explain "CUDA out of memory"', "an error message"),
    ("explain < session.log", "standard input"),
    ("explain --list", "every finding code"),
)
# A log from a mail or an issue, with a mark before each of its lines: a log all the same.
_FORWARDED = re.compile(rb"^>+ ?", re.MULTILINE)
_PART = 1 << 20
_GZIP, _GZIP_BITS = b"\x1f\x8b", 31
MOST_ENTRIES = 10
_MOST_SHOWN = 400
_SHORTLY = 40  # lines
_LEAST_MESSAGE = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "code",
        nargs="?",
        default="-",
        metavar="CODE|FILE|TEXT",
        help="a finding code, a log to read, an error message in quotes, or - for standard input (the default)",
    )
    parser.add_argument("--list", dest="list_codes", action="store_true", help="list every finding code")
    parser.add_argument(
        "-f", "--format", dest="explain_format", choices=("terminal", "json"), default="terminal", help="text or JSON"
    )


def run(options: argparse.Namespace) -> int:
    """Print why and fix. Raises `UsageError` for an unknown code, `DoctorError` for a text that is not recognised."""
    as_json = options.explain_format == "json"
    if options.list_codes:
        if options.code != "-":
            raise UsageError("--list lists all finding codes and takes no CODE, FILE or TEXT")
        _list_codes(as_json=as_json)
        return 0
    known = catalogue.find(options.code)
    causes, others = ([], []) if known is not None else _causes(_recognised(options.code))
    if as_json:
        said = _json(known) if known is not None else {"recognised": [_cause_json(c) for c in (*causes, *others)]}
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
        return 0
    out = Writer(screen_of(sys.stdout))
    if known is not None:
        _entry(out, known)
    else:
        _show(out, causes, others)
    sys.stdout.write(out.read())
    return 0


Cause = list["Recognised"]  # what a line of a log may mean, the likeliest first


def _cause_json(cause: Cause) -> dict[str, Any]:
    first, *others = cause
    return {
        **_json(first.known),
        "sure": first.sure,
        "line": first.number,
        "text": printable(first.line, limit=_MOST_SHOWN),
        "alternatives": [o.known.code for o in others],
    }


def _json(known: Declaration) -> dict[str, Any]:
    return {
        "code": known.code,
        "severity": known.severity,
        "title": known.title,
        "why": known.cause,
        "fix": known.remediation,
    }


def _list_codes(*, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"findings": [_json(d) for d in catalogue.declarations()]}, indent=2) + "\n")
        return
    from sage_doctor.render.table import write_table  # noqa: PLC0415 - only here

    for number, (title, family) in enumerate(catalogue.families()):
        sys.stdout.write(("\n" if number else "") + f"{title}\n")
        write_table([(f"  {d.code}", d.severity, d.title) for d in family])


def _recognised(text: str) -> list[Recognised]:
    """Return what is recognised in a file, a text or standard input. Raises `DoctorError` where that is nothing."""
    from sage_doctor.findings.recognition import recognise, shortened  # noqa: PLC0415 - compiles hundreds of patterns

    is_text = text != "-" and any(c.isspace() for c in text) and not os.path.exists(text)
    parts = [text.encode("utf-8", "surrogateescape")] if is_text else _parts(text)
    found = recognise(parts) or (shortened(text) if is_text else [])
    if not found:
        raise DoctorError(
            "no known error recognised in this text. `sage-doctor check` examines the files and the machine "
            "themselves. If that finds nothing either, report it with the log from its first error on and the output "
            "of `sage-doctor env` and `sage-doctor check --format json`"
        )
    return found


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
        raise UsageError(f"{printable(str(unknown))}, and no such file here; --list lists the codes") from error


def _read(stream: BinaryIO) -> Iterator[bytes]:
    forwarded = False
    for number, part in enumerate(_decoded(stream)):
        if number == 0:
            lines = [line for line in part.splitlines() if line.strip()]
            forwarded = all(line.startswith(b">") for line in lines)
        yield _FORWARDED.sub(b"", part) if forwarded else part


def _decoded(stream: BinaryIO) -> Iterator[bytes]:
    decoder = None
    for number, part in enumerate(_unpacked(stream)):
        if number == 0 and part.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes logs
            decoder = codecs.getincrementaldecoder("utf-16")("replace")
        elif number == 0 and part[1:8:2] == bytes(4):  # the same, appended to by another program, or cut off
            decoder = codecs.getincrementaldecoder("utf-16-le")("replace")
        yield part if decoder is None else decoder.decode(part).encode("utf-8", "replace")


def _unpacked(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what logrotate has compressed as it was, as far as that goes: a log that is cut off says something too."""
    start = stream.read(_PART)
    if not start.startswith(_GZIP):
        yield from chain([start], iter(lambda: stream.read(_PART), b""))
        return
    unpacker = zlib.decompressobj(wbits=_GZIP_BITS)
    packed = start
    with contextlib.suppress(zlib.error):
        while packed:
            yield unpacker.decompress(packed, _PART)
            packed = unpacker.unconsumed_tail or unpacker.unused_data or stream.read(_PART)
            if unpacker.eof:
                unpacker = zlib.decompressobj(wbits=_GZIP_BITS)


def _causes(found: list[Recognised]) -> tuple[list[Cause], list[Cause]]:
    """Return the causes, newest first, and what else was recognised and counts less.

    How a process ended counts less where a line shortly before it says why, and what may have other causes, or only
    follows from one, counts less where anything is surer.
    """
    lines: dict[int, Cause] = {}
    for one in found:
        lines.setdefault(one.number, []).append(one)
    newest = [
        [first, *(o for o in others if o.certainty > Certainty.FOLLOWS)]
        for _, (first, *others) in sorted(lines.items(), reverse=True)
    ]
    why = [first.number for first, *_ in newest if first.certainty == Certainty.SHOWS]

    def weight(cause: Cause) -> int:
        line = cause[0]
        if line.certainty != Certainty.ENDS:
            return line.certainty
        return Certainty.MAY if any(0 <= line.number - n < _SHORTLY for n in why) else Certainty.SHOWS

    most = max(map(weight, newest), default=Certainty.SHOWS)
    told = [c for c in newest if weight(c) == most]
    return told, [c for c in newest if weight(c) < most and not any(_same_message(c[0], t[0]) for t in told)]


def _same_message(one: Recognised, other: Recognised) -> bool:
    """Whether a line is another exception with the same message: raised again under another class."""
    message = one.line.partition(": ")[2]
    return len(message) >= _LEAST_MESSAGE and message in other.line


def _show(out: Writer, causes: list[Cause], others: list[Cause]) -> None:
    from sage_doctor.cli.named_models import models_of  # noqa: PLC0415 - explaining a code looks at no model

    models = models_of(Path.cwd(), os.environ)
    if len(causes) > 1:
        out.text(f"{len(causes)} known errors, the newest first:")
    for cause in causes[:MOST_ENTRIES]:
        out.blank()
        _entry(out, cause[0].known, cause, models)
    if len(causes) > MOST_ENTRIES:
        rest = [c[0].known.code for c in causes[MOST_ENTRIES:]]
        out.blank()
        out.text(f"and {len(rest)} more: {join_limited(rest)}")
    if others:
        out.blank()
        out.text(
            "Also in the text, and perhaps only a consequence: "
            + join_limited([f"{c[0].known.code} (line {c[0].number})" for c in others])
        )


def _entry(
    out: Writer, known: Declaration, cause: Cause | None = None, models: Mapping[str, Path] | None = None
) -> None:
    out.text(f"{known.code} ({known.severity}): {known.title}")
    out.blank()
    line, others = (cause[0], cause[1:]) if cause else (None, [])
    if line is not None:
        out.text(printable(line.line, limit=_MOST_SHOWN), head=f"line {line.number}: ", indent=2, after=5)
    out.text(known.cause, head="why: ", indent=2, after=5)
    out.text(known.remediation, head="fix: ", indent=2, after=5)
    if line is not None:
        _looked_at(out, line, models or {})
    if others:
        named = join_limited([f"{o.known.code} ({o.known.title})" for o in others])
        out.text(
            f"this line has {len(others) + 1} known causes, of which one applies; the others: {named}",
            head="or: ",
            indent=2,
            after=4,
        )


def _looked_at(out: Writer, line: Recognised, models: Mapping[str, Path]) -> None:
    from sage_doctor.cli.named_models import looked_up  # noqa: PLC0415 - only where a log was read

    said, command = looked_up(line.line, line.around, models, home=home_of(os.environ))
    for sentence in said:
        out.text(sentence, head="here: ", indent=2, after=5)
    if command:
        out.command(command, indent=7)
