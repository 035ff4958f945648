"""Names for models: from their directory, or its parent if it has a generic name; no two the same."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from sage_doctor.manifest.names import name_fault
from sage_doctor.text import printable

# Directory names that say what is in there, but not which model.
_GENERIC: Final = re.compile(
    r"(?:model|models|adapter|lora|peft|final|final[_-]model|merged|output|outputs|checkpoint|best|last|latest|hf|\.)\Z"
    r"|(?:checkpoint|step|epoch|global_step|run)[-_]?\d+\Z",
    re.IGNORECASE,
)
_MOST = 120


def identifying_tail(path: Path) -> tuple[str, ...]:
    """Return the last parts of a path from the one that identifies the model: `(Introspective-v2, model)`."""
    parts = path.parts[1:] if path.is_absolute() else path.parts
    start = len(parts) - 1
    while start > 0 and _GENERIC.match(parts[start]):
        start -= 1
    return parts[max(start, 0) :]


def is_distinctive(word: str) -> bool:
    """Return whether a word alone looks like a model's name, not like an ordinary word."""
    return len(word) > 3 and any(c in "-_.0123456789" for c in word)


def name_of(text: str) -> str:
    """Return a text as a name that a manifest takes: without slashes, control characters and odd beginnings."""
    shown = printable(text, limit=_MOST).replace("/", "-").replace("\\", "-").strip()
    while shown and name_fault(shown, reserved=True):
        shorter = shown[1:].strip()
        if not shorter:
            break
        shown = f"{shown}-model" if shown == "machine" else shorter
    return shown if shown and name_fault(shown, reserved=True) is None else "model"


def name_all(places: Collection[Path], taken: Collection[str]) -> Mapping[Path, str]:
    """Return a name for each place, the same on every run over the same places; `taken` names are not given again.

    If two would be the same, both get their parents' names as a prefix; if that does not help, a number.
    """
    depth = dict.fromkeys(places, 0)
    for _ in range(8):
        wanted = {p: _named(p, d) for p, d in depth.items()}
        held: dict[str, list[Path]] = {}
        for path, name in wanted.items():
            held.setdefault(name.lower(), []).append(path)
        lower = {t.lower() for t in taken}
        alike = [p for name, ps in held.items() if len(ps) > 1 or name in lower for p in ps]
        alike = [p for p in alike if _named(p, depth[p] + 1) != wanted[p]]
        if not alike:
            break
        for path in alike:
            depth[path] += 1
    found: dict[Path, str] = {}
    used = {t.lower() for t in taken}
    for path in sorted(places):
        found[path] = free(_named(path, depth[path]), used)
        used.add(found[path].lower())
    return found


def named_after(path: Path) -> str:
    """Return the name of a single model, by its directory."""
    return _named(path, 0)


def _named(path: Path, above: int) -> str:
    tail = identifying_tail(path)
    parts = path.parts[1:] if path.is_absolute() else path.parts
    start = max(len(parts) - len(tail) - above, 0)
    # A generic part is in a name only if two must be told apart.
    ahead = parts[start : len(parts) - len(tail)]
    behind = tail[1:] if above else ()
    return name_of("-".join((*ahead, *tail[:1], *behind)))


def free(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number appended if it is taken in any letter case."""
    lower = {t.lower() for t in taken}
    if name.lower() not in lower:
        return name
    number = 2
    while f"{name}-{number}".lower() in lower:
        number += 1
    return f"{name}-{number}"
