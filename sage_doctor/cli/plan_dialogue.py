"""How a plan is shown at a terminal and agreed to: the same for `fix` and `sync`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sage_doctor.render import screen_of
from sage_doctor.text import printable, wrap

if TYPE_CHECKING:
    from sage_doctor.repairs.repair import Plan

_WIDEST = 100


def say(*lines: str) -> None:
    """Print lines, whatever the terminal's encoding."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


def width() -> int:
    """Return the columns that plans are shown in."""
    return max(40, min(screen_of(sys.stdout).width, _WIDEST))


def confirmed(plan: Plan) -> bool:
    """Ask whether a plan is to be applied. Without a terminal the answer is no."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"Apply {plan.repair}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def say_result(word: str, reason: str, *, declined: bool = False) -> None:
    """Print how it ended, indented, and an empty line."""
    if declined:
        reason = "declined" if sys.stdin.isatty() else "no terminal to ask at; --yes applies it"
    for line in (f"{word}: {reason}" if reason else word).splitlines():
        say(*wrap(printable(line, limit=1000), width(), first="  ", after="    "))
    say("")
