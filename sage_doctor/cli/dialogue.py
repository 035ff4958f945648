"""What commands say at a terminal and what they ask there: lines, a choice, and a yes or no."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sage_doctor.text import printable


def say(*lines: str) -> None:
    """Print lines, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def chosen(question: str, options: Sequence[str]) -> str | None:
    """Ask for one of the options, by its number or as it is; None for an empty line, or if nobody answers rightly."""
    if not sys.stdin.isatty():
        return None
    sys.stderr.write(f"{question}\n")
    sys.stderr.write("".join(f"  {number}) {printable(o, limit=1000)}\n" for number, o in enumerate(options, 1)))
    for _ in range(3):
        sys.stderr.write(f"Which one? [1-{len(options)}, Enter to skip] ")
        sys.stderr.flush()
        said = sys.stdin.readline().strip()
        if said.isdecimal() and said.isascii() and 1 <= int(said) <= len(options):
            return options[int(said) - 1]
        if not said or said in options:
            return said or None
    return None


def agreed(question: str) -> bool:
    """Ask a question that `y` or `yes` agrees to. Without a terminal to ask at, the answer is no."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
