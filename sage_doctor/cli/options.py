"""Options that several commands share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from sage_doctor.errors import UsageError
from sage_doctor.manifest import durations


def working_directory() -> Path:
    """Return it. Raises `UsageError` where it was deleted."""
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError("the working directory no longer exists; change to another one") from error


def add_manifest(parser: argparse._ActionsContainer) -> None:
    """Declare the option that names the manifest."""
    parser.add_argument(
        "-m",
        "--manifest",
        metavar="FILE",
        help="the manifest (default: the nearest sage-doctor.toml upwards, else $SAGE_DOCTOR_MANIFEST)",
    )


def add_outputs(parser: argparse._ActionsContainer) -> None:
    """Declare the option that names files for the report."""
    parser.add_argument(
        "-o", "--output", metavar="FORMAT:PATH", action="append", default=[], help="write the report to a file as well"
    )


def add_open(parser: argparse._ActionsContainer) -> None:
    """Declare the option that shows the page."""
    parser.add_argument("--open", action="store_true", help="show the page of `-o html:FILE` in a browser")


def add_hosts(parser: argparse._ActionsContainer) -> None:
    """Declare the options that name other machines."""
    parser.add_argument(
        "-i",
        "--inventory",
        required=True,
        metavar="INVENTORY",
        help="an Ansible inventory, or hosts as `thor,sprout`",
    )
    parser.add_argument("--limit", metavar="PATTERN", help="only hosts that match, as Ansible's --limit")


def add_history(parser: argparse._ActionsContainer) -> None:
    """Declare the option that leaves the history out."""
    parser.add_argument(
        "--no-history",
        dest="history",
        action="store_false",
        help="neither ask earlier runs nor write this one down (SAGE_DOCTOR_HISTORY=0)",
    )


def number_to(most: int, what: str) -> Callable[[str], int]:
    """Return what reads a whole number from 1 to `most`; `what` names it where it is none."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from 1 to {most}")
        return int(text)

    return read


def duration(text: str) -> float:
    """Return the seconds that a duration such as 90s, 12h or 90 stands for. Raises `argparse.ArgumentTypeError`."""
    value = durations.seconds(text)
    if value is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not {durations.EXPECTED}")
    if value > durations.MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 100 years")
    return value


def duration_or_zero(text: str) -> float:
    """Return the seconds of a duration that may be 0. Raises `argparse.ArgumentTypeError`."""
    return 0.0 if re.fullmatch(r"0+(\.0+)?\s*[smhdw]?", text.strip()) else duration(text)
