"""Where a missing model may be found on this machine, as evidence and as a sentence of a fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sage_doctor.facts.bases import SIMILAR, Candidate
from sage_doctor.manifest.quoting import header
from sage_doctor.text import printable, shell_quote


def as_candidates(candidates: Iterable[Candidate]) -> list[dict[str, Any]]:
    """Return candidates as evidence, best first: `{"path", "why", "likely"}`; likely ones have provenance or a name."""
    return [{"path": str(c.path), "why": c.why, "likely": c.rank <= SIMILAR} for c in candidates]


def where_it_may_be(candidates: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence that names the best candidate, or one that says there is none; it starts with a space."""
    if not candidates:
        return " No local model is known to be it: copy it from a machine that has it."
    best = candidates[0]
    if not best.get("likely", True):
        shown, why = printable(best["path"]), printable(best["why"])
        return f" No local model is known to be it; {shown} is a complete model ({why})."
    rest = f"; {len(candidates) - 1} more listed" if len(candidates) > 1 else ""
    return f" Best candidate: {printable(best['path'])} ({printable(best['why'])}{rest})."


def table(name: str) -> str:
    """Return the head of a model's table in the manifest."""
    return header("models", name)


def copy_commands(candidates: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return a command that examines the best candidate before anybody relies on it."""
    return (f"sage-doctor check {shell_quote(candidates[0]['path'])}",) if candidates else ()
