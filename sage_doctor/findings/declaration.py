"""What is said once about a finding code, and the register of all codes whose family has been imported."""

from __future__ import annotations

from sage_doctor.report import Severity
from sage_doctor.system.frozen import frozen


@frozen
class Declaration:
    """One finding code: a contract that scripts match on, so a code is never renamed.

    `severity` is the default; a check may judge otherwise when it knows more. `title` names the condition, `cause`
    says why it arises and what follows from it (a screen shows its first sentence), `remediation` what to do.
    `shows` holds regular expressions (matched without case, any run of white space matching any other) of the
    messages under which people meet the condition in a log; it is empty if nothing is printed. `may_show` holds
    messages that have likelier causes as well.
    """

    code: str
    severity: Severity
    title: str
    cause: str
    remediation: str
    shows: tuple[str, ...] = ()
    may_show: tuple[str, ...] = ()


# Every declaration of the families imported so far, by code.
DECLARED: dict[str, Declaration] = {}


def declare(*declarations: Declaration) -> tuple[Declaration, ...]:
    """Register the declarations of a family and return them. Raises `ValueError` for a code that is already taken."""
    for one in declarations:
        if one.code in DECLARED:
            raise ValueError(f"finding code {one.code!r} is declared twice")
        DECLARED[one.code] = one
    return declarations
