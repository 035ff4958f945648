"""Values in a configuration of a type that its class in the sessions' transformers does not take."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sage_doctor.facts.model_source import activations, config_source, model_source

_CLASS = re.compile(r"^@strict\nclass (\w+)\([^)]*\):\n((?:[ \t].*\n|\n)*)", re.MULTILINE)
_FIELD = re.compile(r"^    (\w+): ([^=\n]+?) = ", re.MULTILINE)
# The configurations that a class makes of values in it: `"vision_config": SubConfigSpec(config_class=…`, or the class.
_HELD = re.compile(r"^    sub_configs(?:_defaults)? = \{(?:[^\n]*\}$|.*?^    \}$)", re.MULTILINE | re.DOTALL)
_MADE = re.compile(r'"(\w+)":\s*(?:SubConfigSpec\(\s*config_class=)?([A-Z]\w+)')
_SCALARS: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float,),
    "str": (str,),
    "bool": (bool,),
    "None": (type(None),),
}
# What else a field may be, and no number, text or null is.
_OTHERS = re.compile(r"(?:list|dict|tuple)(?:\[[\w\[\], .]*\])?|PreTrainedConfig")


def type_faults(site_packages: tuple[Path, ...], config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each value of a config that the session's transformers refuses for its type.

    Since 5 configurations are strict dataclasses (`huggingface_hub.dataclasses.strict`): a text is no number, a number
    with a point no whole one, and true no number. Lists and objects are left to the loader.
    """
    for where, part, body, _ in _parts(site_packages, config):
        for name, annotation in _FIELD.findall(body):
            taken = _taken(annotation)
            if name in part and taken is not None and not isinstance(part[name], (list, dict)):
                value = part[name]
                if not isinstance(value, taken) or (isinstance(value, bool) and bool not in taken):
                    yield f"{where}{name} is {value!r}, where {annotation} is expected"


def activation_faults(site_packages: tuple[Path, ...], config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each activation that a model's source looks up by its name, and that is not known."""
    known = activations(site_packages)
    for where, part, _, kind in _parts(site_packages, config):
        odd = {k: v for k, v in part.items() if "act" in k and isinstance(v, str) and v not in known}
        source = model_source(site_packages, kind) if known and odd else ""
        for field in sorted(odd.keys() & set(re.findall(r"ACT2FN\[(?:self\.)?config\.(\w+)\]", source))):
            yield f"{where}{field} is {odd[field]!r}, an activation that it does not have"


def _parts(
    site_packages: tuple[Path, ...], config: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any], str, str]]:
    """Yield a config and those that its class makes of values in it (`sub_configs_defaults`).

    Each with where it is, the source of its class (empty where it is no strict one) and its model type.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str):
        return
    own, classes = _class_of(site_packages, kind)
    yield "", config, own, kind
    held = _HELD.search(own)
    for name, made in _MADE.findall(held[0]) if held else ():
        inner = config.get(name)
        if isinstance(inner, Mapping):
            named = inner.get("model_type")
            body = classes.get(made) or (_class_of(site_packages, named)[0] if isinstance(named, str) else "")
            yield f"{name}.", inner, body, named if isinstance(named, str) else ""


@functools.cache
def _class_of(site_packages: tuple[Path, ...], kind: str) -> tuple[str, dict[str, str]]:
    """Return the source of the class of a model type, and those of all strict ones in its module, by name."""
    classes = dict(_CLASS.findall(config_source(site_packages, kind)))
    return next((b for b in classes.values() if f'model_type = "{kind}"' in b), ""), classes


def _taken(annotation: str) -> tuple[type, ...] | None:
    """Return the plain types that an annotation takes; None where it has a part that is not known here."""
    parts = [p.strip() for p in re.sub(r"\[[^\]]*\]", "", annotation).split("|")]
    if not all(p in _SCALARS or _OTHERS.fullmatch(p) for p in parts):
        return None
    return tuple(t for p in parts for t in _SCALARS.get(p, ()))
