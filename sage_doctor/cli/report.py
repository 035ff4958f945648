"""`sage-doctor report`: show one saved report in another format, or those of several machines side by side.

Side by side, it exits with 0 where each role runs on one of the machines now, 1 where one runs on none, and 3 where
that is not known. With one report it exits with that report's code.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from sage_doctor.cli.options import add_open, add_outputs, duration
from sage_doctor.cli.outputs import deliver, outputs_of, refuse_single
from sage_doctor.render import FORMATS
from sage_doctor.report import Report
from sage_doctor.report.comparison import Comparison

EXAMPLES = (
    ("report thor.json sprout.json", "which machine can run which role now"),
    ("report thor.json sprout.json -f html", "the same as a page"),
    ("report thor.json -f markdown", "one saved report in another format"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("targets", nargs="+", metavar="FILE", help="reports that `check -o json:FILE` wrote")
    parser.add_argument("-f", "--format", choices=FORMATS, default="terminal", help="format on standard output")
    add_outputs(parser)
    add_open(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="show everything")
    parser.add_argument(
        "--max-age",
        type=duration,
        default=86400.0,
        metavar="TIME",
        help="a report older than this is stale: it does not prove that something runs now (default: 24h)",
    )


def run(options: argparse.Namespace) -> int:
    """Show one report, or several side by side. Raises `UsageError` for what is not a report."""
    outputs = outputs_of(options)
    from sage_doctor.cli.saved_reports import read_reports  # noqa: PLC0415 - --help needs no JSON Schema

    read = read_reports([Path(p) for p in options.targets])
    shown: Report | Comparison = read[0][1]
    if len(read) > 1:
        from sage_doctor.report.comparison import compare  # noqa: PLC0415

        refuse_single(options, outputs)
        shown = compare(read, now=time.time(), max_age_s=options.max_age)
    unwritten = deliver(shown, options, outputs)
    return shown.exit_code or unwritten
