"""Package requirements as pip takes them (PEP 508): held to the grammar here, and compared elsewhere."""

from __future__ import annotations

from sage_doctor.manifest.tables import Table
from sage_doctor.text import printable

MOST_LENGTH = 1000


def read_requires(table: Table) -> tuple[str, ...]:
    """Return the requirements listed as `requires`, as they are written. What is none is noted by its line."""
    found = table.texts("requires") or ()
    if not found:
        return ()
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - most manifests list none

    for index, text in table.items("requires"):
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
