"""Files that the report is also written to: `-o FORMAT:PATH`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sage_doctor.errors import UsageError
from sage_doctor.render import FORMATS, render
from sage_doctor.report import Report
from sage_doctor.system.atomic_write import atomic_write
from sage_doctor.text import printable


def outputs_of(options: argparse.Namespace) -> list[tuple[str, Path]]:
    """Return the formats and paths of `-o`. Raises `UsageError`."""
    return [_output(text) for text in options.output]


def write_outputs(report: Report, outputs: list[tuple[str, Path]]) -> None:
    """Write the report to each of the files. Raises `DoctorError`."""
    for name, path in outputs:
        atomic_write(path, render(report, name))


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
