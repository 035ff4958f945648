"""Package requirements as pip takes them (PEP 508): held to the grammar here, and compared elsewhere."""

from __future__ import annotations

import re

from sage_doctor.text import printable

MOST_LENGTH = 1000

# What most requirements look like, each of them within the grammar: the library for the whole of it takes longer to
# import than a gate's other work takes.
_COMPARED = r"(?:==|!=|<=|>=|<|>) ?[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}"
_USUAL = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,80}}[A-Za-z0-9])?(?: ?{_COMPARED}(?:, ?{_COMPARED}){{0,5}})?")


def requirement_fault(text: str) -> str | None:
    """Return what is wrong with a requirement, None where it is one."""
    if _USUAL.fullmatch(text):
        return None
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - most manifests need none

    try:
        if len(text) > MOST_LENGTH:
            raise InvalidRequirement(f"longer than {MOST_LENGTH} characters")
        Requirement(text)
    except InvalidRequirement as error:
        why = printable((str(error).splitlines() or [""])[0].strip().rstrip("."), limit=200)
        shown = f"'{printable(text, limit=80)}' is not a requirement such as 'transformers>=4.45'"
        return f"{shown}: {why}" if why else shown
    return None
