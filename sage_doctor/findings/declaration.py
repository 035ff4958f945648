"""What is said once about a finding code, and the register of all codes whose family has been imported."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from sage_doctor.report import Severity
from sage_doctor.system.frozen import frozen

RAISED: Final = "(?#raised)"  # what a pattern begins with that is any exception


class Certainty(IntEnum):
    """How surely a message in a log stands for a declaration."""

    FOLLOWS = 0  # the reason stands further up
    MAY = 1  # it has likelier causes as well
    ENDS = 2  # how a process ended, which is all there is to say if nothing before it says why
    SHOWS = 3


@frozen
class Declaration:
    """One finding code: a contract that scripts match on, so a code is never renamed.

    `severity` is the default; a check may judge otherwise when it knows more. `title` names the condition, `cause`
    says why it arises and what follows from it (a screen shows its first sentence), `remediation` what to do.
    `shows` holds regular expressions (matched without case, any run of white space matching any other) of the
    messages under which people meet the condition in a log; it is empty if nothing is printed. `may_show` holds
    messages that have likelier causes as well, `ends` those that only tell how a process ended, `follows` those whose
    reason stands further up.
    """

    code: str
    severity: Severity
    title: str
    cause: str
    remediation: str
    shows: tuple[str, ...] = ()
    may_show: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()

    @property
    def messages(self) -> tuple[tuple[Certainty, str], ...]:
        """Every pattern, and how surely what it matches stands for this declaration."""
        by_certainty = (
            (Certainty.FOLLOWS, self.follows),
            (Certainty.MAY, self.may_show),
            (Certainty.ENDS, self.ends),
            (Certainty.SHOWS, self.shows),
        )
        return tuple((certainty, text) for certainty, texts in by_certainty for text in texts)


# Every declaration of the families imported so far, by code.
DECLARED: dict[str, Declaration] = {}


def declare(*declarations: Declaration) -> tuple[Declaration, ...]:
    """Register the declarations of a family and return them. Raises `ValueError` for a code that is already taken."""
    for one in declarations:
        if one.code in DECLARED:
            raise ValueError(f"finding code {one.code!r} is declared twice")
        DECLARED[one.code] = one
    return declarations
