"""How a plan is shown at a terminal and agreed to: the same for `fix` and `sync`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sage_doctor.cli.dialogue import agreed, say
from sage_doctor.render import screen_of
from sage_doctor.text import printable, wrap

if TYPE_CHECKING:
    from sage_doctor.repairs.repair import Plan

_WIDEST = 100
_RESULTS = {
    "planned": "planned",
    "here": "here already, with the same hashes",
    "declined": "skipped",
    "refused": "not possible",
    "failed": "failed",
    "rolled-back": "rolled back",
    "repaired": "fixed (verified)",
    "copied": "copied (verified)",
}


def width() -> int:
    """Return the columns that plans are shown in."""
    return max(40, min(screen_of(sys.stdout).width, _WIDEST))


def confirmed(plan: Plan) -> bool:
    """Ask whether a plan is to be applied. Without a terminal the answer is no."""
    return agreed(f"Apply {plan.repair}?")


def show_attempt(who: str, plan: Plan | None, status: str, reason: str) -> None:
    """Print the plan of what is only planned, else how it ended; `who` is named where no plan was shown before."""
    if status == "planned" and plan is not None:
        say(*plan.lines(width(), os.getcwd()), "")
        return
    if plan is None:
        say(who)
    if status == "declined":
        reason = "declined" if sys.stdin.isatty() else "no terminal to ask at; --yes applies it"
    word = _RESULTS[status]
    for line in (f"{word}: {reason}" if reason else word).splitlines():
        say(*wrap(printable(line, limit=1000), width(), first="  ", after="    "))
    say("")
