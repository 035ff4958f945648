"""Every finding code: severity, title, cause, cure. One file a family, in the order a diagnosis goes.

The codes are a contract that scripts match on: add to them freely, never rename one. The page `docs/findings.md`
is written from here (`catalogue.page`), and `catalogue.recognition` finds the entry for an error text.
"""

from __future__ import annotations

import difflib
from typing import Final

from sage_doctor.findings import (
    adapters,
    environment,
    hub,
    integrity,
    merge,
    paths,
    runners,
    running,
    sessions,
    tokenizers,
    weights,
)
from sage_doctor.findings.entry import Entry

__all__ = ["FAMILIES", "Entry", "entries", "entry", "find"]

FAMILIES: Final[tuple[tuple[str, tuple[Entry, ...]], ...]] = (
    ("Paths and configuration", paths.ENTRIES),
    ("Weights", weights.ENTRIES),
    ("Tokenizer", tokenizers.ENTRIES),
    ("Adapters", adapters.ENTRIES),
    ("Hugging Face cache", hub.ENTRIES),
    ("Integrity", integrity.ENTRIES),
    ("Environment", environment.ENTRIES),
    ("Loading and generating", running.ENTRIES),
    ("Merging", merge.ENTRIES),
    ("Runners, scripts and units", runners.ENTRIES),
    ("Sessions and services", sessions.ENTRIES),
)

_ENTRIES: Final = tuple(e for _, family in FAMILIES for e in family)
_BY_CODE: Final = {e.code: e for e in _ENTRIES}


def entries() -> tuple[Entry, ...]:
    """Return every entry in catalogue order."""
    return _ENTRIES


def find(code: str) -> Entry | None:
    """Return the entry of a finding code, or None where the catalogue has no such code (a user's own check)."""
    return _BY_CODE.get(code)


def entry(code: str) -> Entry:
    """Return the entry of a finding code. Raises `ValueError` with a suggestion where there is no such code."""
    known = find(code)
    if known is None:
        near = difflib.get_close_matches(code, _BY_CODE, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no finding code {code!r} in the catalogue{hint}")
    return known
