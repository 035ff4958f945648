"""`sage-doctor gate`: decide in bounded time whether a session of a role may start, and start it.

The verdict is one line. Exits with 0 if sessions may start, 1 if something is wrong, 3 if the answer is unknown; with
`-- CMD` the command replaces this process, and its exit code counts.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_doctor.cli.help_page import Renamed
from sage_doctor.cli.options import add_history, add_manifest, add_outputs, duration, working_directory
from sage_doctor.cli.standard_streams import lost_output
from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.gate.output import GateOutput
from sage_doctor.gate.request import GateRequest
from sage_doctor.gate.supervision import decide_until_open
from sage_doctor.report import LEVELS

EXAMPLES = (
    ("gate ROLE", "may a session of this role start now?"),
    ("gate ROLE -- python run.py", "start it if so, in place of this process"),
    ("gate ROLE --wait 10m -- ./session.sh", "wait until it may start"),
    ("gate ROLE -q --on-change", "for cron: mail only what is news"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.usage = "%(prog)s [options] ROLE [-- CMD …]"
    parser.add_argument("role", metavar="ROLE", help="a role of this machine")
    add_manifest(parser)
    parser.add_argument("-l", "--level", choices=LEVELS, default="generate", help="how deep (default: generate)")
    limits = parser.add_argument_group("time and recorded results")
    limits.add_argument(
        "--timeout",
        type=duration,
        metavar="TIME",
        help="deadline of the whole decision (default: the manifest's, or 2m)",
    )
    limits.add_argument("--stage-timeout", type=duration, metavar="TIME", help="deadline of one stage of a load")
    limits.add_argument(
        "--max-age",
        type=duration,
        metavar="TIME",
        help="maximum age of a recorded result (default: the manifest's, or 24h)",
    )
    limits.add_argument("--no-cache", action="store_true", help="ignore recorded results and check again")
    limits.add_argument("--fresh", dest="no_cache", action=Renamed, new="--no-cache", nargs=0, default=False)
    limits.add_argument(
        "--wait", type=duration, metavar="TIME", help="if not open, ask again until it is, for this long"
    )
    parser.add_argument(
        "--fail-on", choices=("error", "warning"), default="error", help="what blocks sessions (default: error)"
    )
    parser.add_argument(
        "--on-blocked", metavar="CMD", help="run this if the gate is not open; does not change the exit code"
    )
    output = parser.add_argument_group("output")
    output.add_argument("-q", "--quiet", action="store_true", help="print nothing if the gate is open")
    output.add_argument(
        "--on-change", action="store_true", help="print nothing if the verdict is the same as last time"
    )
    output.add_argument("-f", "--format", choices=("line", "json"), default="line", help="format on standard output")
    add_outputs(output)
    add_history(limits)


def run(options: argparse.Namespace) -> int:
    """Decide, print the verdict, and start the command or return the exit code."""
    outputs = _outputs(options)
    program = _program(options)
    on_blocked = _on_blocked(options)
    output = GateOutput(quiet=options.quiet, aside=options.started is not None or options.format == "json")
    request = GateRequest(
        role=options.role,
        manifest=options.manifest,
        cwd=str(working_directory()),
        level=options.level,
        timeout_s=options.timeout,
        stage_s=options.stage_timeout,
        max_age_s=options.max_age,
        fresh=options.no_cache,
        fail_on=options.fail_on,
        on_change=options.on_change,
        history=options.history,
    )
    decision = decide_until_open(request, output, options.wait)
    output.verdict(decision)
    if decision.report is not None:
        output.note(_deliver(decision.report, options.format, outputs))
    output.note(lost_output())  # what was decided holds, whether it could be said or not
    if decision.state == "open" and options.started:
        from sage_doctor.gate.launch import start  # noqa: PLC0415 - only needed to start something

        start(program, options.started, os.environ, decision)
    if decision.state != "open" and on_blocked:
        from sage_doctor.gate.launch import run_on_blocked  # noqa: PLC0415

        output.note(run_on_blocked(on_blocked, os.environ, decision))
    return decision.exit_code


def _program(options: argparse.Namespace) -> str:
    """Return the program to start, empty without one. Raises `UsageError`."""
    if options.started is None:
        return ""
    if not options.started:
        raise UsageError("the command after -- is missing")
    from sage_doctor.gate.launch import find_command  # noqa: PLC0415

    return find_command(options.started, os.environ)


def _on_blocked(options: argparse.Namespace) -> list[str]:
    """Return the command to run if the gate is not open, empty without one. Raises `UsageError`."""
    if options.on_blocked is None:
        return []
    from sage_doctor.gate.launch import split_on_blocked  # noqa: PLC0415

    return split_on_blocked(options.on_blocked)


def _outputs(options: argparse.Namespace) -> list[tuple[str, Path]]:
    """Return the formats and paths of `-o`. A directory that is gone keeps no session out. Raises `UsageError`."""
    if not options.output:
        return []
    from sage_doctor.cli.outputs import format_and_path  # noqa: PLC0415 - brings the renderers

    return [format_and_path(text) for text in options.output]


def _deliver(report: Mapping[str, Any], format: str, outputs: list[tuple[str, Path]]) -> str | None:  # noqa: A002 - the option's name
    """Write the report where it was asked for, and return why a file could not be written, if so."""
    if format != "json" and not outputs:
        return None
    from sage_doctor.cli.outputs import write_outputs  # noqa: PLC0415
    from sage_doctor.render import write  # noqa: PLC0415
    from sage_doctor.report import Report  # noqa: PLC0415

    read = Report.from_json(report)
    if format == "json":
        write(read, "json", sys.stdout)
        sys.stdout.flush()
    try:
        write_outputs(read, outputs)
    except DoctorError as error:
        return f"the report cannot be written: {error}"
    return None
