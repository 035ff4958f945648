"""Every finding code, looked up: severity, title, cause, remediation. Each family declares its own.

The codes are a contract that scripts match on: add to them freely, never rename one. Families are imported when a
code that none of the imported ones declares is looked up: a run that finds nothing pays for none of this.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Final

from sage_doctor.findings.declaration import DECLARED, Declaration

_MOST_NEAR: Final = 3
# The files that declare codes, in the order a diagnosis goes: of two equally likely entries the earlier one is shown.
_FAMILIES: Final = (
    "paths",
    "volumes",
    "weights",
    "tokenizers",
    "adapters",
    "hub",
    "integrity",
    "environment",
    "packages",
    "accelerator",
    "device",
    "memory",
    "running",
    "endings",
    "budgets",
    "merge",
    "scripts",
    "units",
    "sessions",
    "services",
    "logged",
)


def families() -> tuple[tuple[str, tuple[Declaration, ...]], ...]:
    """Return every family in order: its title and what it declares."""
    found = (importlib.import_module(f"sage_doctor.findings.{name}") for name in _FAMILIES)
    return tuple((f.TITLE, f.DECLARATIONS) for f in found)


def declarations() -> tuple[Declaration, ...]:
    """Return every declaration in catalogue order."""
    return tuple(d for _, family in families() for d in family)


def find(code: str) -> Declaration | None:
    """Return the declaration of a finding code, or None if there is none (a user's own check)."""
    if code not in DECLARED:
        families()
    return DECLARED.get(code)


def nearest_codes(word: str, codes: Iterable[str]) -> list[str]:
    """Return the codes that a word may be meant for: those that hold it (`base-missing`), else the one most like it."""
    known = list(codes)
    held = [code for code in known if f"-{word}-" in f"-{code}-"] if word else []
    return held[:_MOST_NEAR] or difflib.get_close_matches(word, known, n=1)


def get(code: str) -> Declaration:
    """Return the declaration of a finding code. Raises `ValueError` with a suggestion if there is none."""
    known = find(code)
    if known is None:
        near = nearest_codes(code, DECLARED)
        hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
        raise ValueError(f"no finding code {code!r} in the catalogue{hint}")
    return known
