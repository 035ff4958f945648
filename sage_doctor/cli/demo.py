"""`sage-doctor demo`: set up a broken machine, diagnose it, repair it, and run its model.

Everything is real: the model, the sessions, the errors. It happens in a scratch directory.
"""

from __future__ import annotations

import argparse

EXAMPLES = (
    ("demo", "takes a minute or two; needs the extra `demo`"),
    ("demo --directory /tmp/demo", "keep what it makes"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--directory", metavar="DIR", help="create it here and keep it (default: a temporary directory)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the demo and return its exit code: 0 if every step had the expected result."""
    from sage_doctor.demo.walk import main  # noqa: PLC0415 - needs the demo extra

    return main([options.directory] if options.directory is not None else [])
