"""`sage-doctor check`: examine models, all that this machine's roles need or the given ones.

Prints the report and exits with what it says: 0 healthy, 1 unhealthy, 3 unknown.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.errors import UsageError
from sage_doctor.files import write_atomically
from sage_doctor.render import FORMATS, render, write
from sage_doctor.render.progress import Progress
from sage_doctor.report import LEVELS, Report
from sage_doctor.text import printable

if TYPE_CHECKING:
    from sage_doctor.history import Chronicle
    from sage_doctor.selection import Request, Selection


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="models or roles of the manifest, or directories")
    add_manifest(parser)
    parser.add_argument(
        "-l", "--level", choices=LEVELS, help="how deep to look (default: generate; static for directories)"
    )
    parser.add_argument("-f", "--format", choices=FORMATS, default="terminal", help="what goes to standard output")
    add_outputs(parser)
    parser.add_argument(
        "--fail-on", choices=("error", "warning", "never"), default="error", help="what exits with 1 (default: error)"
    )
    parser.add_argument("-j", "--jobs", type=_jobs, default=1, metavar="N", help="parallel workers (default: 1)")
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="deadline of the whole run")
    parser.add_argument(
        "--no-history",
        dest="history",
        action="store_false",
        help="neither ask earlier runs nor write this one down (SAGE_DOCTOR_HISTORY=0)",
    )


def add_manifest(parser: argparse.ArgumentParser) -> None:
    """Declare the option that names the manifest."""
    parser.add_argument(
        "-m",
        "--manifest",
        metavar="FILE",
        help="the manifest (default: the nearest sage-doctor.toml upwards, else $SAGE_DOCTOR_MANIFEST)",
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Declare the option that names files for the report."""
    parser.add_argument(
        "-o", "--output", metavar="FORMAT:PATH", action="append", default=[], help="write the report to a file as well"
    )


def outputs_of(options: argparse.Namespace) -> list[tuple[str, Path]]:
    """Return formats and paths of the files asked for. Raises `UsageError`."""
    return [_output(text) for text in options.output]


def run(options: argparse.Namespace) -> int:
    """Examine, deliver the report, and return its exit code."""
    outputs = outputs_of(options)
    from sage_doctor.selection import Request  # noqa: PLC0415 - --help and wrong words need no pytest
    from sage_doctor.suite import examine  # noqa: PLC0415

    request = Request(
        targets=tuple(options.targets),
        manifest=options.manifest,
        level=options.level,
        cwd=os.getcwd(),
        deadline=time.time() + options.timeout if options.timeout is not None else None,
        history=options.history,
    )
    seen: list[Selection] = []
    # pytest captures the standard descriptors while it runs; progress goes to a copy of the real one.
    with open(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="replace") as copy, Progress(copy) as progress:
        report = examine(
            request, jobs=options.jobs, fail_on=options.fail_on, tell=progress.update, selected=seen.append
        )
    remembered = seen[0].host.history_file is not None
    chronicle = None
    if remembered and report.verdict != "healthy":
        chronicle = _chronicle(seen[0], request, options.jobs)
        report = chronicle.explained(report)
    try:
        _deliver(report, options.format, outputs)
    finally:  # nobody waits for the history before the report is seen
        if remembered:
            for notice in (chronicle or _chronicle(seen[0], request, options.jobs)).record(report):
                sys.stderr.write(f"sage-doctor: {notice}; --no-history leaves it out\n")
    return report.exit_code


def _chronicle(selection: Selection, request: Request, jobs: int) -> Chronicle:
    from sage_doctor.history import Chronicle  # noqa: PLC0415 - a run without a manifest needs no SQLite

    return Chronicle(selection, request, verb="check", jobs=jobs)


def _deliver(report: Report, format: str, outputs: list[tuple[str, Path]]) -> None:  # noqa: A002 - the option's name
    for name, path in outputs:
        write_atomically(path, render(report, name))
    write(report, format, sys.stdout)


def _output(text: str) -> tuple[str, Path]:
    name, colon, path = text.partition(":")
    if not colon or not path:
        raise UsageError(f"--output {printable(text)} is not FORMAT:PATH, for instance json:report.json")
    if name not in FORMATS:
        raise UsageError(f"--output {printable(text)}: {printable(name)} is not one of {', '.join(FORMATS)}")
    if not Path(path).parent.is_dir():
        raise UsageError(f"--output {printable(text)}: {printable(str(Path(path).parent))} is not a directory")
    return name, Path(path)


def _jobs(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers from 1 to 256")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value
