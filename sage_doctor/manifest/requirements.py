"""Package requirements as pip takes them (PEP 508): held to the grammar here, and compared elsewhere."""

from __future__ import annotations

import re

from sage_doctor.manifest.tables import Table
from sage_doctor.text import printable

MOST_LENGTH = 1000

# What most requirements look like, each of them within the grammar: the library for the whole of it takes longer to
# import than a gate's other work takes.
_COMPARED = r"(?:==|!=|<=|>=|<|>) ?[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}"
_USUAL = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,80}}[A-Za-z0-9])?(?: ?{_COMPARED}(?:, ?{_COMPARED}){{0,5}})?")


def read_requires(table: Table) -> tuple[str, ...]:
    """Return the requirements listed as `requires`, as they are written. What is none is noted by its line."""
    found = table.texts("requires") or ()
    unusual = [(index, text) for index, text in table.items("requires") if not _USUAL.fullmatch(text)]
    if not unusual:
        return found
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - most manifests need none

    for index, text in unusual:
        try:
            if len(text) > MOST_LENGTH:
                raise InvalidRequirement(f"longer than {MOST_LENGTH} characters")
            Requirement(text)
        except InvalidRequirement as error:
            why = (str(error).splitlines() or [""])[0].strip().rstrip(".")
            table.problems.add(
                (*table.path, "requires", index),
                f"{table.field('requires')}: '{printable(text, limit=80)}' is no requirement such as "
                f"'transformers>=4.45'{f': {printable(why, limit=200)}' if why else ''}",
            )
    return found
