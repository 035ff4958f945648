"""What commands say at a terminal and what they ask there: lines, and a yes or no."""

from __future__ import annotations

import sys


def say(*lines: str) -> None:
    """Print lines, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def agreed(question: str) -> bool:
    """Ask a question that `y` or `yes` agrees to. Without a terminal to ask at, the answer is no."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
