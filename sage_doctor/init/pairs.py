"""Which base an adapter was trained on, and what a merged model was made from: by recorded origin, never by shape.

A link is `sure` if it is recorded (in the adapter's own configuration or by the merge) and leads to one directory here.
Similar names are a guess: they are proposed, and a repair must never act on them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sage_doctor.facts.adapters import lora_tensors
from sage_doctor.facts.base_fit import could_be_base
from sage_doctor.findings.base_options import known_bases
from sage_doctor.init.models import recorded_ingredients
from sage_doctor.init.names import identifying_tail
from sage_doctor.subjects.directories import is_merged
from sage_doctor.subjects.model import Model
from sage_doctor.system.frozen import frozen
from sage_doctor.system.location import same_tail
from sage_doctor.system.path_info import inspect_path
from sage_doctor.text import printable

MOST_QUESTIONS = 6
NOT_SURE = "not sure: write it as a comment"
NONE_OF_THEM = "none of them"

_COMMON = frozenset({"model", "models", "merged", "merge", "adapter", "lora", "final", "base", "fine", "tuned", "the"})


@frozen
class BaseLink:
    """The name of the model that another is built on, and why. `others` are alternatives, best first."""

    name: str
    why: str
    sure: bool
    others: tuple[str, ...] = ()


def base_of(model: Model, models: Mapping[str, Model], loaded_onto: tuple[str, str] | None = None) -> BaseLink | None:
    """Return the base of an adapter, None if there is no candidate on this machine.

    `loaded_onto` are a model's name and the script that loads the adapter onto it. A guess is whole, and it fits.
    """
    real = {os.path.realpath(m.path): n for n, m in models.items() if m.kind != "adapter"}
    if model.base.model is not None and (model.base.place is None or model.base.place.beside is None):
        name = real.get(os.path.realpath(model.base.model.path))
        if name is not None:
            return BaseLink(name=name, why=f"named in its {model.base.source}", sure=True)
    if loaded_onto is not None:
        return BaseLink(name=loaded_onto[0], why=f"{loaded_onto[1]} loads it onto that", sure=True)
    choices = known_bases(model)
    if len(choices) == 1 and os.path.realpath(choices[0]) in real:
        return BaseLink(name=real[os.path.realpath(choices[0])], why="what its adapter_config.json leads to", sure=True)
    loras = lora_tensors(model.tensors.values())
    others = [m for m in models.values() if m.kind != "adapter" and m.found and not is_merged(m.path)]
    fitting = [m for m in others if could_be_base(m.path, loras)]
    words = _words("/".join((*model.path.parts[-4:], model.base.text or "")))
    scored = [(len(words & _words(m.path.name if m.hub is None else m.reference.hub or "")), m.name) for m in fitting]
    alike = sorted((-score, name) for score, name in scored if score)
    if alike:
        return _best_guess([name for _, name in alike], "a similar name, and the adapter fits it")
    return _best_guess([fitting[0].name], "the only model here that the adapter fits") if len(fitting) == 1 else None


def _best_guess(names: list[str], why: str) -> BaseLink:
    return BaseLink(name=names[0], why=why, sure=False, others=tuple(names[1:4]))


def ingredients_of(
    model: Model, models: Mapping[str, Model], base_of_adapter: Callable[[str], BaseLink | None]
) -> tuple[BaseLink | None, BaseLink] | None:
    """Return base and adapter of a merged model: from the record of its merge, else from the names around it.

    None without an adapter; the base alone may be unknown.
    """
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
    return base_of_adapter(adapter.name), adapter


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


# Asks a person a question, and returns one of the options; None if nobody answers.
Ask = Callable[[str, Sequence[str]], "str | None"]


def confirm_guesses(
    new: Collection[str],
    bases: dict[str, BaseLink | None],
    merges: dict[str, tuple[BaseLink | None, BaseLink] | None],
    ask: Ask,
) -> None:
    """Ask which of the guesses about `new` models are right, a few at most, and put the answers in their place."""
    left = MOST_QUESTIONS
    for name, link in list(bases.items()):
        if link is not None and not link.sure and name in new and left:
            left -= 1
            bases[name] = _confirmed(link, f"Which model was the adapter {printable(name)} trained on?", ask)
    for name, pair in list(merges.items()):
        if pair is not None and not pair[1].sure and left:
            left -= 1
            adapter = _confirmed(pair[1], f"Which adapter was {printable(name)} merged from?", ask)
            merges[name] = (bases.get(adapter.name), adapter) if adapter is not None else None


def _confirmed(link: BaseLink, text: str, ask: Ask) -> BaseLink | None:
    """Return the link as a person confirms it; unchanged if nobody is sure, None if it is none of the options."""
    said = ask(f"{text} ({link.why})", (NOT_SURE, link.name, *link.others, NONE_OF_THEM))
    if said is None or said == NOT_SURE:
        return link
    return None if said == NONE_OF_THEM else replace(link, name=said, why="named by you", sure=True)
