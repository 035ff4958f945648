"""`sage-doctor where`: print the path of a model on this machine, or the URL of a service, for shell scripts."""

from __future__ import annotations

import argparse
import os
import sys

from sage_doctor.cli.options import add_manifest
from sage_doctor.errors import ModelNotFound
from sage_doctor.text import printable, shell_quote

EXAMPLES = (
    ("where MODEL", "its directory, if it is all there"),
    ("where hf:org/name", "its snapshot in the Hugging Face cache"),
)
SEE = "Exits with 1 if the model is not complete: `path=$(sage-doctor where MODEL) || exit` is safe in a script."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", metavar="MODEL", help="a model of the manifest, a directory, or hf:org/name")
    add_manifest(parser)


def run(options: argparse.Namespace) -> int:
    """Print the path as raw bytes. Raises `ModelNotFound` (exit 1) if the model is not all there."""
    from sage_doctor.cli.this_host import this_host  # noqa: PLC0415 - --help needs no manifest
    from sage_doctor.subjects.completeness import why_not_loadable  # noqa: PLC0415
    from sage_doctor.subjects.named import find_named  # noqa: PLC0415

    wanted = options.model
    host = this_host(options.manifest, wanted)
    service = host.manifest.services.get(wanted) if host.manifest is not None else None
    if service is not None:
        sys.stdout.write(f"{service.url}\n")
        return 0
    found = find_named(wanted, host)
    missing = why_not_loadable(found)
    if missing:
        what = printable(missing, limit=600)
        raise ModelNotFound(
            f"{printable(wanted)} cannot be used: {what}; run `sage-doctor check {shell_quote(wanted)}`"
        )
    sys.stdout.buffer.write(os.fsencode(found.path) + b"\n")
    return 0
