"""Which directories here are an adapter's base, by their origin, and which could be it, by their sizes.

Sizes exclude a base and never prove one: a base and all that was fine-tuned from it have the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sage_doctor.facts.adapters import lora_tensors
from sage_doctor.facts.base_fit import could_be_base, why_not_base
from sage_doctor.facts.bases import NEAR_BY, SAME_TAIL, SIMILAR, WRITTEN_DOWN, Candidate, names_a_repository
from sage_doctor.readers.tree import TOKENIZER_FILES, read_tree
from sage_doctor.subjects.directories import is_merged
from sage_doctor.subjects.model import Model

_MOST_FITTING = 8


def base_candidates(model: Model) -> list[Candidate]:
    """Return where this adapter's base may be, best provenance first, each with who says so.

    Where nothing says so, and the adapter names no repository, those that it merely fits: they are not likely.
    """
    runners = [Candidate(path=p, why=why, rank=WRITTEN_DOWN) for p, why in runner_bases(model)]
    known = {os.path.realpath(c.path) for c in runners}
    found = [c for c in model.base_candidates(model.base.text) if os.path.realpath(c.path) not in known]
    likely = [*runners, *(c for c in found if c.rank <= SIMILAR)]
    place = model.base.place
    if likely or (place is not None and names_a_repository(place)):
        return sorted(likely, key=lambda c: c.rank)  # stable: runners first among what is written down
    fitting = fitting_bases(model)
    why = "the only model here that this adapter fits" if len(fitting) == 1 else "this adapter fits it"
    return [Candidate(path=p, why=why, rank=NEAR_BY) for p in fitting]


def known_bases(model: Model) -> list[Path]:
    """Return the directories known to be this adapter's base by their origin: one is an answer, more are a question.

    What a person wrote down counts first (a merge recipe, or a runner that loads the adapter onto it), then the
    directory that the adapter's own words lead to, then one with the same trailing path of two parts or more. A similar
    name is no origin, and neither are shapes; but one whose shapes exclude it is no answer, whoever names it.
    """
    base = model.base
    place = base.place
    found = [] if base.model is not None else base_candidates(model)
    written = [c.path for c in found if c.rank == WRITTEN_DOWN]
    if not written and place is not None and place.found is None and place.beside is not None:
        written = [place.beside]
    if not written and base.text is not None:
        tail = Path(base.text.lstrip("./")).parts[-2:]
        written = [c.path for c in found if c.rank == SAME_TAIL and len(tail) == 2 and c.path.parts[-2:] == tail]
    loras = lora_tensors(model.tensors.values())
    return [p for p in _distinct(written) if not why_not_base(p, loras)]


def fitting_bases(model: Model) -> list[Path]:
    """Return the whole models here whose sizes the adapter fits, for a person to choose from: none of them is proven.

    Sizes were compared by the names of the weights. The manifest's models come first; merged models are left out.
    `init` may ask with them as well.
    """
    loras = lora_tensors(model.tensors.values())
    if not loras:
        return []
    declared = [m.path for m in model.siblings.values() if m is not model and m.kind == "full" and m.found]
    others = (*model.host.nearby_models, *(c.snapshot for c in model.host.cached_models))
    fitting = []
    for path in _distinct([*declared, *others]):
        if path != model.path and not is_merged(path) and could_be_base(path, loras, surely=True):
            fitting.append(path)
            if len(fitting) == _MOST_FITTING:
                break
    # An adapter may bring a tokenizer of its own, but a base without one is seldom meant.
    return sorted(fitting, key=lambda p: not any(map(read_tree(p).has, TOKENIZER_FILES)))


def runner_bases(model: Model) -> list[tuple[Path, str]]:
    """Return the bases onto which the manifest's runners load this adapter, where those are here, and who says so."""
    loras = lora_tensors(model.tensors.values())
    found: dict[Path, str] = {}
    for script, base, adapter in model.host.adapter_loads:
        if _is(model, adapter) and (path := _here(model, base)) is not None and could_be_base(path, loras):
            found.setdefault(path, f"the model that {script.name} loads it onto")
    return list(found.items())


def _is(model: Model, text: str) -> bool:
    """Return whether a script's words for an adapter mean this one: its name, its path, or the end of one elsewhere."""
    tail = Path(text).parts[-2:]
    return text == model.name or Path(text) == model.path or (len(tail) == 2 and model.path.parts[-2:] == tail)


def _here(model: Model, text: str) -> Path | None:
    """Return the directory here that a script's words for a model mean, None where that is not sure."""
    named = model.siblings.get(text)
    if named is not None:
        return named.path if named.found else None
    if text.startswith("/") and os.path.isdir(text):
        return Path(text)
    tail = Path(text).parts[-2:]
    paths = [m.path for m in model.siblings.values() if m is not model and m.found and m.path.parts[-2:] == tail]
    paths += [c.snapshot for c in model.host.cached_models if c.repo_id == text]
    found = _distinct(paths)
    return found[0] if len(found) == 1 else None


def _distinct(paths: Iterable[Path]) -> list[Path]:
    found: dict[str, Path] = {}
    for path in paths:
        found.setdefault(os.path.realpath(path), path)
    return list(found.values())
