"""`sage-doctor check`: examine, render, exit with what the report says."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, cast

import typer

from sage_doctor.errors import UsageError
from sage_doctor.files import write_atomically
from sage_doctor.render import FORMATS, render, write
from sage_doctor.render.progress import Progress
from sage_doctor.report import LEVELS, FailOn, Level, Report
from sage_doctor.text import printable

Targets = Annotated[
    list[str] | None,
    typer.Argument(help="Models or roles of the manifest, or directories.", metavar="[TARGET]...", show_default=False),
]
Manifest = Annotated[
    str | None,
    typer.Option(
        "--manifest",
        "-m",
        help="The manifest. Default: the nearest sage-doctor.toml upwards, else $SAGE_DOCTOR_MANIFEST.",
    ),
]


def check(
    targets: Targets = None,
    manifest: Manifest = None,
    level: Annotated[
        str | None,
        typer.Option(
            "--level",
            "-l",
            envvar="SAGE_DOCTOR_LEVEL",
            help=f"How deep: {', '.join(LEVELS)}. Default: generate; static for directories.",
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        str,
        typer.Option("--format", "-f", envvar="SAGE_DOCTOR_FORMAT", help=f"What goes to stdout: {', '.join(FORMATS)}."),
    ] = "terminal",
    output: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", envvar="SAGE_DOCTOR_OUTPUT", help="FORMAT:PATH, may be given several times."),
    ] = None,
    fail_on: Annotated[
        str, typer.Option(envvar="SAGE_DOCTOR_FAIL_ON", help="What exits with 1: error, warning or never.")
    ] = "error",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, envvar="SAGE_DOCTOR_JOBS", help="Parallel workers.")] = 1,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.001, envvar="SAGE_DOCTOR_TIMEOUT", help="Deadline of the whole run, in seconds."),
    ] = None,
) -> int:
    """Examine models: all that this machine's roles need, or the given ones."""
    _one_of("--level", level, (*LEVELS, None))
    _one_of("--format", format, FORMATS)
    _one_of("--fail-on", fail_on, ("error", "warning", "never"))
    outputs = [_output(text) for text in output or []]
    from sage_doctor.selection import Request  # noqa: PLC0415 - --help and wrong words need no pytest
    from sage_doctor.suite import examine  # noqa: PLC0415

    request = Request(
        targets=tuple(targets or ()),
        manifest=manifest,
        level=cast("Level | None", level),
        cwd=os.getcwd(),
        deadline=time.time() + timeout if timeout is not None else None,
    )
    # pytest captures the standard descriptors while it runs; progress goes to a copy of the real one.
    with open(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="replace") as copy, Progress(copy) as progress:
        report = examine(request, jobs=jobs, fail_on=cast("FailOn", fail_on), tell=progress.update)
    _deliver(report, format, outputs)
    return report.exit_code


def _deliver(report: Report, format: str, outputs: list[tuple[str, Path]]) -> None:  # noqa: A002
    for name, path in outputs:
        write_atomically(path, render(report, name))
    write(report, format, sys.stdout)


def _output(text: str) -> tuple[str, Path]:
    name, colon, path = text.partition(":")
    if not colon or not path:
        raise UsageError(f"--output {printable(text)} is not FORMAT:PATH, for instance json:report.json")
    _one_of("--output", name, FORMATS)
    if not Path(path).parent.is_dir():
        raise UsageError(f"--output {printable(text)}: {printable(str(Path(path).parent))} is not a directory")
    return name, Path(path)


def _one_of(option: str, value: str | None, allowed: tuple[str | None, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(a for a in allowed if a is not None)
        raise UsageError(f"{option} {printable(str(value))} is not one of {choices}")
