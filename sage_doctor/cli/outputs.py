"""Files that the report is also written to: `-o FORMAT:PATH`. `--open` shows the page of one in a browser."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.errors import DoctorError, UsageError
from sage_doctor.render import COMPARING, FORMATS, Detail, prepare, render, write
from sage_doctor.report import EXIT_HEALTHY, EXIT_UNKNOWN, Report
from sage_doctor.system.atomic_write import atomic_write
from sage_doctor.text import join_limited, printable

if TYPE_CHECKING:
    from sage_doctor.report.comparison import Comparison

_PAGE = "report.html"  # in the cache directory, where --open has no file to write it to


def outputs_of(options: argparse.Namespace) -> list[tuple[str, Path]]:
    """Return the formats and paths of `-o`, and the page that `--open` asks for. Raises `UsageError`."""
    outputs = [_output(text) for text in options.output]
    if getattr(options, "open", False) and "html" not in dict(outputs):
        outputs.append(("html", _own_page()))
    for name in dict.fromkeys([*dict(outputs), getattr(options, "format", "json")]):
        if name in FORMATS:
            prepare(name)
    return outputs


def refuse_single(options: argparse.Namespace, outputs: list[tuple[str, Path]]) -> None:
    """Raise `UsageError` for a format that was asked for and cannot show several reports side by side."""
    refused = [name for name in (options.format, *dict(outputs)) if name not in COMPARING]
    if refused:
        raise UsageError(f"several reports are shown as {join_limited(list(COMPARING))}, not as {refused[0]}")


def write_outputs(report: Report | Comparison, outputs: list[tuple[str, Path]]) -> None:
    """Write the report to each of the files. Raises `DoctorError` for those that cannot be, once the others are."""
    failed = []
    for name, path in outputs:
        try:
            atomic_write(path, render(report, name))
        except DoctorError as error:
            failed.append(str(error))
    if failed:
        raise DoctorError("\n".join(failed))


def deliver(report: Report | Comparison, options: argparse.Namespace, outputs: list[tuple[str, Path]]) -> int:
    """Write the report to its files and to standard output; return 0, or 3 and say so where a file cannot be written.

    One that cannot be written takes nothing from the others.
    """
    problems = ""
    try:
        write_outputs(report, outputs)
    except DoctorError as error:
        problems = str(error)
    write(report, options.format, sys.stdout, detail_of(options))
    for problem in problems.splitlines():
        sys.stderr.write(f"sage-doctor: {problem}\n")
    if options.open and not problems:
        open_page(outputs)
    return EXIT_UNKNOWN if problems else EXIT_HEALTHY


def detail_of(options: argparse.Namespace) -> Detail:
    """Return how much is wanted."""
    return "verbose" if options.verbose else "quiet" if getattr(options, "quiet", False) else "normal"


def open_page(outputs: list[tuple[str, Path]]) -> None:
    """Show the page in this user's browser; say where it is where there is none."""
    import webbrowser  # noqa: PLC0415 - only for --open

    address = dict(outputs)["html"].resolve().as_uri()
    # Without a display, a browser for terminals would take this one over.
    seen = sys.platform == "darwin" or any(os.environ.get(v) for v in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if not (seen and webbrowser.open(address)):
        sys.stderr.write(f"sage-doctor: no browser here; the page is {printable(address)}\n")


def _output(text: str) -> tuple[str, Path]:
    name, path = format_and_path(text)
    if not path.parent.is_dir():
        raise UsageError(f"--output {printable(text)}: {printable(str(path.parent))} is not a directory")
    return name, path


def format_and_path(text: str) -> tuple[str, Path]:
    """Return the two parts of `FORMAT:PATH`; whether it can be written is not asked. Raises `UsageError`."""
    name, colon, path = text.partition(":")
    if not colon or not path:
        raise UsageError(f"--output {printable(text)} is not FORMAT:PATH, for instance json:report.json")
    if name not in FORMATS:
        raise UsageError(f"--output {printable(text)}: {printable(name)} is not one of {', '.join(FORMATS)}")
    return name, Path(path)


def _own_page() -> Path:
    from sage_doctor.system.state_directory import cache_directory  # noqa: PLC0415

    directory = cache_directory(os.environ)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise UsageError(f"--open: {printable(str(directory))}: {reason}; add -o html:FILE") from error
    return directory / _PAGE
