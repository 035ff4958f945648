"""What the catalogue knows about one finding code."""

from __future__ import annotations

from dataclasses import dataclass

from sage_doctor.report import Severity


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One finding code: a contract that scripts match on, so a code is never renamed.

    `severity` is the default; a check may judge otherwise where it knows more. `title` names the condition,
    `cause` says why it arises and what follows from it, `cure` what to do. `shows` holds regular expressions
    (matched without case, any run of white space matching any other) of the messages under which people meet the
    condition in a log; it is empty where nothing is printed. `may_show` holds messages it shares with likelier causes.
    """

    code: str
    severity: Severity
    title: str
    cause: str
    cure: str
    shows: tuple[str, ...] = ()
    may_show: tuple[str, ...] = ()
