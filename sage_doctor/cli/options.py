"""Options that several commands share."""

from __future__ import annotations

import argparse
import math

from sage_doctor.manifest.durations import EXPECTED
from sage_doctor.manifest.durations import seconds as read_seconds


def add_manifest(parser: argparse.ArgumentParser) -> None:
    """Declare the option that names the manifest."""
    parser.add_argument(
        "-m",
        "--manifest",
        metavar="FILE",
        help="the manifest (default: the nearest sage-doctor.toml upwards, else $SAGE_DOCTOR_MANIFEST)",
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Declare the option that names files for the report."""
    parser.add_argument(
        "-o", "--output", metavar="FORMAT:PATH", action="append", default=[], help="write the report to a file as well"
    )


def add_history(parser: argparse.ArgumentParser) -> None:
    """Declare the option that leaves the history out."""
    parser.add_argument(
        "--no-history",
        dest="history",
        action="store_false",
        help="neither ask earlier runs nor write this one down (SAGE_DOCTOR_HISTORY=0)",
    )


def seconds(text: str) -> float:
    """Return a number of seconds above 0. Raises `argparse.ArgumentTypeError`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def length_of_time(text: str) -> float:
    """Return the seconds that a length of time such as 90s or 12h stands for. Raises `argparse.ArgumentTypeError`."""
    value = read_seconds(text)
    if value is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not {EXPECTED}")
    return value
