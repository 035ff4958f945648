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
    name, colon, path = text.partition(":")
    if not colon or not path:
        raise UsageError(f"--output {printable(text)} is not FORMAT:PATH, for instance json:report.json")
    if name not in FORMATS:
        raise UsageError(f"--output {printable(text)}: {printable(name)} is not one of {', '.join(FORMATS)}")
    if not Path(path).parent.is_dir():
        raise UsageError(f"--output {printable(text)}: {printable(str(Path(path).parent))} is not a directory")
    return name, Path(path)
