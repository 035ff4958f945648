"""`sage-doctor check`: check models: those that this machine's roles need, or the given ones.

Prints the report and exits with its code: 0 healthy, 1 unhealthy, 3 unknown.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from sage_doctor.cli.options import add_history, add_manifest, add_open, add_outputs, duration, number_to
from sage_doctor.cli.outputs import deliver, outputs_of
from sage_doctor.errors import DoctorError
from sage_doctor.render import FORMATS
from sage_doctor.render.progress import live_progress
from sage_doctor.report import EXIT_HEALTHY, EXIT_UNKNOWN, LEVELS, Report, nagios_status

EXAMPLES = (
    ("check", "what this machine's roles need, down to generating"),
    ("check -l static", "names, headers and configurations only: about a second"),
    ("check MODEL ./directory", "some models, by name or directory"),
    ("check hf:org/name", "a repository in the Hugging Face cache"),
    ("check -o junit:report.xml", "write a report for CI as well"),
    ("check -l integrity --jobs 4", "hash and scan all weights, four at a time"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help="models or roles of the manifest, directories, hf:org/name"
    )
    add_manifest(parser)
    parser.add_argument(
        "-l", "--level", choices=LEVELS, help="how deep to check (default: generate; static for directories)"
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "-f",
        "--format",
        choices=FORMATS,
        default="terminal",
        metavar="FORMAT",
        help=f"format on standard output: {', '.join(FORMATS)} (default: terminal)",
    )
    add_outputs(output)
    add_open(output)
    detail = output.add_mutually_exclusive_group()
    detail.add_argument(
        "-v", "--verbose", action="store_true", help="show every subject, skipped checks, information and evidence"
    )
    detail.add_argument("-q", "--quiet", action="store_true", help="show the verdict only")
    output.add_argument(
        "--fail-on", choices=("error", "warning", "never"), default="error", help="what exits with 1 (default: error)"
    )
    limits = parser.add_argument_group("how it runs")
    limits.add_argument(
        "-j",
        "--jobs",
        type=number_to(256, "a number of workers"),
        default=1,
        metavar="N",
        help="parallel workers (default: 1)",
    )
    limits.add_argument(
        "--timeout",
        type=duration,
        metavar="TIME",
        help="deadline of the whole run (default: 10m for level static, 4h for all others)",
    )
    for option, what in (("--select", "report only these"), ("--ignore", "do not report these")):
        output.add_argument(
            option,
            action="extend",
            type=_codes,
            default=[],
            metavar="CODE[,CODE]",
            help=f"{what}: finding codes, or the words that codes begin with",
        )
    add_history(limits)


def run(options: argparse.Namespace) -> int:
    """Run the checks, write the report, and return its exit code. Raises `DoctorError`."""
    try:
        return _check(options)
    except DoctorError as error:
        if options.format != "nagios":
            raise
        from sage_doctor.render.nagios import no_answer  # noqa: PLC0415 - only where there is no report to render

        sys.stdout.write(no_answer(str(error)))
        return EXIT_UNKNOWN


def _check(options: argparse.Namespace) -> int:
    outputs = outputs_of(options)
    from sage_doctor.cli.bounded_check import examine_in_time  # noqa: PLC0415 - --help needs none of it
    from sage_doctor.subjects.selection import Request  # noqa: PLC0415

    request = Request(
        targets=tuple(options.targets),
        manifest=options.manifest,
        level=options.level,
        cwd=os.getcwd(),
        deadline=time.monotonic() + options.timeout if options.timeout is not None else None,
        history=options.history and not (options.select or options.ignore),  # such a run compares with no other
        select_codes=tuple(options.select),
        ignore_codes=tuple(options.ignore),
    )
    unwritten = EXIT_HEALTHY
    with live_progress() as progress:

        def show(report: Report) -> None:
            nonlocal unwritten
            progress.close()
            unwritten = deliver(report, options, outputs)

        report = examine_in_time(
            request,
            jobs=options.jobs,
            fail_on=options.fail_on,
            timeout_s=options.timeout,
            on_progress=progress.update,
            on_subject=progress.add_result if progress.enabled else None,
            on_report=show,
        )
    return (nagios_status(report) if options.format == "nagios" else report.exit_code) or unwritten


def _codes(text: str) -> list[str]:
    codes = [code.strip() for code in text.split(",") if code.strip()]
    if not codes:
        raise argparse.ArgumentTypeError(f"{text!r} names no finding code")
    return codes
