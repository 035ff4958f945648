"""Which base an adapter was trained on, and what a merged model was made from: by recorded origin, never by shape.

A link is `sure` if it is recorded (in the adapter's own configuration or by the merge) and leads to one directory here.
Similar names are a guess: they are proposed, and a repair must never act on them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sage_doctor.facts.bases import SIMILAR
from sage_doctor.findings.repairability import base_choices
from sage_doctor.init.models import recorded_ingredients
from sage_doctor.init.names import identifying_tail
from sage_doctor.subjects.model import Model
from sage_doctor.system.location import same_tail
from sage_doctor.system.path_info import inspect_path

_COMMON = frozenset({"model", "models", "merged", "merge", "adapter", "lora", "final", "base", "fine", "tuned", "the"})


@dataclass(frozen=True, kw_only=True)
class BaseLink:
    """The name of the model that another is built on, and why. `others` are alternatives, best first."""

    name: str
    why: str
    sure: bool
    others: tuple[str, ...] = ()


def base_of(model: Model, models: Mapping[str, Model]) -> BaseLink | None:
    """Return the base of an adapter, None if there is no candidate on this machine."""
    real = {os.path.realpath(m.path): n for n, m in models.items() if m.kind != "adapter"}
    if model.base.model is not None and (model.base.place is None or model.base.place.beside is None):
        name = real.get(os.path.realpath(model.base.model.path))
        if name is not None:
            return BaseLink(name=name, why=f"named in its {model.base.source}", sure=True)
    choices = base_choices(model)
    if len(choices) == 1 and os.path.realpath(choices[0]) in real:
        return BaseLink(name=real[os.path.realpath(choices[0])], why="what its adapter_config.json leads to", sure=True)
    similar = [
        (n, c.why)
        for c in model.candidates(model.base.text or model.path.name)
        if c.rank <= SIMILAR and (n := real.get(os.path.realpath(c.path))) is not None
    ]
    return _best_guess(similar or _similar_names(model, models))


def _similar_names(model: Model, models: Mapping[str, Model]) -> list[tuple[str, str]]:
    """Return full models, best first, that share words with the adapter's directories; else the only full model."""
    words = _words("/".join(model.path.parts[-4:]))
    full = [m for m in models.values() if m.kind == "full" and m.found and m.weights.form != "none"]
    scored = [(len(words & _words(m.path.name if m.hub is None else m.reference.hub or "")), m) for m in full]
    alike = sorted((-score, m.name) for score, m in scored if score)
    if alike:
        return [(name, "its directories have similar names") for _, name in alike]
    return [(full[0].name, "the only full model here")] if len(full) == 1 else []


def _best_guess(found: list[tuple[str, str]]) -> BaseLink | None:
    names = list(dict(found))
    if not names:
        return None
    return BaseLink(name=names[0], why=dict(found)[names[0]], sure=False, others=tuple(names[1:4]))


def ingredients_of(
    model: Model, models: Mapping[str, Model], bases: Mapping[str, BaseLink | None]
) -> tuple[BaseLink, BaseLink] | None:
    """Return base and adapter of a merged model: from the record of its merge, else from the names around it."""
    named = recorded_ingredients(model.path)
    if named is not None:
        roots = [*model.host.roots, model.host.home]
        base_name, adapter_name = (_at(text, models, roots) for text in named)
        if base_name is not None and adapter_name is not None:
            why = "named in the record of its merge"
            return BaseLink(name=base_name, why=why, sure=True), BaseLink(name=adapter_name, why=why, sure=True)
    nearby = [m for m in models.values() if m.kind == "adapter" and _are_neighbours(model.path, m.path)]
    words = _words(identifying_tail(model.path)[0])
    scored = sorted((-len(words & _words(identifying_tail(m.path)[0])), m.name) for m in nearby)
    alike = [(n, s) for s, n in scored if s < 0] or ([(scored[0][1], 0)] if len(scored) == 1 else [])
    if not alike:
        return None
    adapter = BaseLink(
        name=alike[0][0],
        why="a similar name nearby" if alike[0][1] else "the only adapter nearby",
        sure=False,
        others=tuple(n for n, _ in alike[1:4]),
    )
    base = bases.get(adapter.name)
    return (base, adapter) if base is not None else None


def _at(text: str, models: Mapping[str, Model], roots: list[Path]) -> str | None:
    """Return the model at a recorded path, which may be of another machine."""
    real = {os.path.realpath(m.path): n for n, m in models.items()}
    if text.startswith("/") and os.path.realpath(text) in real:
        return real[os.path.realpath(text)]
    moved = [p for p in same_tail(Path(text), roots) if inspect_path(p).kind == "directory"]
    names = list(dict.fromkeys(real[r] for p in moved if (r := os.path.realpath(p)) in real))
    return names[0] if len(names) == 1 else None


def _are_neighbours(merged: Path, adapter: Path) -> bool:
    """Return whether an adapter lies in the directory of a merged model's own, or at most two levels below."""
    return adapter.is_relative_to(merged.parent) and len(adapter.relative_to(merged.parent).parts) <= 3


def _words(text: str) -> frozenset[str]:
    return frozenset(w for w in re.split(r"[^a-z0-9.]+", text.lower()) if len(w) > 1 and w not in _COMMON)
