"""How much is to be fetched where weights are missing or cut, and which other machine has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sage_doctor.report import Fix
from sage_doctor.text import format_bytes, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.subjects.model import Model

# The other machine's shell may read a path once more: only what it takes as it is.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_@%+,./][A-Za-z0-9_@%+,./=-]*")
_MOST_NAMES: Final = 20


def size_to_fetch(model: Model, names: Sequence[str]) -> int | None:
    """Return the bytes of these files of a model, as an index, their own headers or the hub say; None if unknown."""
    listed = model.hub.expected if model.hub is not None else None
    sizes = {n: f.size for n, f in (listed or {}).items()}
    for file in model.weights.files:
        problem = file.header.problem if file.header is not None else None
        known = problem.evidence if problem is not None else {}
        size = known.get("expected_bytes", known.get("size"))
        if isinstance(size, int) and not isinstance(size, bool):
            sizes.setdefault(file.name, size)
    if all(n in sizes for n in names):
        return sum(sizes[n] for n in names)
    index = model.weights.index
    whole = [f for f in model.weights.files if f.name not in names]
    if index is None or index.total_size is None or not set(names) >= set(index.files) - {f.name for f in whole}:
        return None
    left = index.total_size - sum(f.node.size for f in whole)
    return left if left > 0 else None


def how_much(model: Model, names: Sequence[str]) -> str:
    """Return ` (about 3.1 GB)`, or nothing where it is not known."""
    size = size_to_fetch(model, names)
    return f" (about {format_bytes(size)})" if size else ""


def copy_from_elsewhere(model: Model, names: Sequence[str]) -> Fix | None:
    """Return the fix that copies a model from another machine of the manifest, None where none is said to have it.

    Files that are known by name are copied alone; else the whole directory is.
    """
    manifest = model.host.manifest
    if manifest is None or model.spec is None or model.hub is not None:
        return None
    from sage_doctor.manifest.other_machines import elsewhere  # noqa: PLC0415 - only where something is missing

    found = next(elsewhere(manifest, model.name), None)
    if found is None:
        return None
    summary = (
        f"Copy it from {printable(found.machine, limit=80)}, where the manifest has it at "
        f"{printable(str(found.path))}{how_much(model, names)}."
    )
    if not all(_PLAIN.fullmatch(w) for w in (found.host, str(found.path), *names)):
        return Fix(summary=summary)
    index = model.weights.index
    known = {n for n in names if model.tree.has(n) or (index is not None and n in index.files)}
    single = 0 < len(known) == len(names) <= _MOST_NAMES
    sources = [f"{found.path}/{n}" for n in names] if single else [f"{found.path}/"]
    words = [f"{found.host}:{sources[0]}", *(f":{s}" for s in sources[1:]), f"{model.path}/"]
    parent = model.location.existing not in (model.path, model.path.parent)
    make = f"mkdir -p {shell_quote(model.path.parent)} && " if parent else ""
    quoted = " ".join(shell_quote(w) for w in words)
    copy = f"rsync -a --partial {quoted}"
    return Fix(summary=summary, commands=(make + copy,))
