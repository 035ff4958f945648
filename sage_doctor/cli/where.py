"""`sage-doctor where`: print the path of a model on this machine, or the URL of a service, for shell scripts."""

from __future__ import annotations

import argparse
import os
import sys

from sage_doctor.cli.options import add_manifest
from sage_doctor.errors import ModelNotFound, UsageError
from sage_doctor.text import printable, shell_quote


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", metavar="MODEL", help="a model of the manifest")
    add_manifest(parser)


def run(options: argparse.Namespace) -> int:
    """Print the path as raw bytes. Raises `ModelNotFound` (exit 1) if the model is not all there."""
    from sage_doctor.subjects.completeness import why_not_loadable  # noqa: PLC0415 - --help needs no manifest
    from sage_doctor.subjects.selection import Request, select  # noqa: PLC0415

    wanted = options.model
    request = Request(targets=(wanted,), manifest=options.manifest, level="static", cwd=os.getcwd())
    selection = select(request)
    service = next((s for s in selection.services if s.name == wanted), None)
    if service is not None:
        sys.stdout.write(f"{service.spec.url}\n")
        return 0
    found = next((m for m in selection.models if m.name == wanted and m.spec is not None), None)
    if found is None:
        raise UsageError(f"model {printable(wanted)} not found in a manifest; name one with --manifest")
    missing = why_not_loadable(found)
    if missing:
        what = printable(missing, limit=600)
        raise ModelNotFound(
            f"{printable(wanted)} cannot be used: {what}; run `sage-doctor check {shell_quote(wanted)}`"
        )
    sys.stdout.buffer.write(os.fsencode(found.path) + b"\n")
    return 0
