"""`sage-doctor demo`: lay out a broken machine, diagnose it, cure it, and let its model answer.

Everything is real: the model, the sessions, the errors. It happens in a scratch directory.
"""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--directory", metavar="DIR", help="where to lay it out; kept afterwards (default: a temporary one)"
    )


def run(options: argparse.Namespace) -> int:
    """Play the demo and return its exit code: 0 where everything it claims came true."""
    from sage_doctor.demo.walk import main  # noqa: PLC0415 - needs the demo extra

    return main([options.directory] if options.directory is not None else [])
