"""Modules that the library builds otherwise than when an adapter was trained: the base still stores the old ones."""

from __future__ import annotations

from sage_doctor.errors import DoctorError
from sage_doctor.facts.adapter_coverage import is_targeted
from sage_doctor.facts.adapters import lora_tensors
from sage_doctor.merge.names import SAME, join
from sage_doctor.report import Fix
from sage_doctor.subjects.model import Model
from sage_doctor.text import shell_quote


def _rule(model: Model) -> str | None:
    """Return how each module of this adapter is found among the base's stored ones, None where one is not."""
    base, config = model.base.model, model.adapter_config
    loras = lora_tensors(model.tensors.values()) if model.kind == "adapter" and config.peft_type == "LORA" else []
    names = join(base.tensors, {f"{t.module}.weight" for t in loras}) if base is not None and loras else None
    try:
        known = all(is_targeted(config.values or {}, config.patterns, t.module) for t in loras)
    except DoctorError:
        return None
    return names.rule if names is not None and known else None


def names_of_stored(model: Model) -> bool:
    """Return whether the base stores a weight for each module of this adapter, so that a merge can apply it."""
    return _rule(model) is not None


def merge_instead(model: Model) -> Fix:
    """Return the fix for an adapter whose modules the session's class does not have as the base stores them."""
    base = model.base.model
    command = ["sage-doctor merge", shell_quote(model.path)]
    command += ["--base", shell_quote(base.path)] if base is not None else []
    command += ["--out", shell_quote(str(model.path) + "-merged")]
    if _rule(model) == SAME:
        why = (
            "The base stores these modules as the adapter names them, but the library has renamed or joined them "
            "since it was trained, and PEFT finds no place for it."
        )
    else:
        why = (
            "The base has these modules, but under a longer or shorter name: the adapter was trained on another class "
            "of the model, without its head perhaps."
        )
    return Fix(
        summary=f"{why} `sage-doctor merge` applies it to the stored weights: run the merged model.",
        commands=(" ".join(command),),
    )
