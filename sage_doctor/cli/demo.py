"""`sage-doctor demo`: the whole way from an incident to a healthy machine, on a real model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    directory: Annotated[
        Path | None, typer.Option(help="Where the incident is laid out; kept afterwards. Default: a temporary one.")
    ] = None,
) -> int:
    """Lay out a broken machine in a scratch directory, diagnose it, cure it, and let the model answer."""
    from sage_doctor.demo.walk import main  # noqa: PLC0415 - needs the demo extra

    return main([str(directory)] if directory is not None else [])
