"""`sage-doctor where MODEL`: the path of a model on this machine, for shell scripts."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from sage_doctor.cli.check import Manifest
from sage_doctor.errors import DoctorError
from sage_doctor.text import printable


def where(
    model: Annotated[str, typer.Argument(help="A model of the manifest.")],
    manifest: Manifest = None,
) -> int:
    """Print where a model lies on this machine. Fails where there is no such directory."""
    from sage_doctor.selection import Request, select  # noqa: PLC0415 - --help needs no manifest

    selection = select(Request(targets=(model,), manifest=manifest, level="static", cwd=os.getcwd()))
    found = next(m for m in selection.models if m.name == model)
    if not found.found:
        shown = printable(str(found.path))
        raise DoctorError(f"{printable(model)} should lie at {shown}, and does not; run `sage-doctor check {model}`")
    sys.stdout.buffer.write(os.fsencode(found.path) + b"\n")
    return 0
