"""Modules that the library builds otherwise than when an adapter was trained: the base still stores the old ones."""

from __future__ import annotations

from sage_doctor.facts.adapters import lora_tensors
from sage_doctor.merge.names import join
from sage_doctor.report import Fix
from sage_doctor.subjects.model import Model
from sage_doctor.text import shell_quote


def names_of_stored(model: Model) -> bool:
    """Return whether the base stores a weight for each module of this adapter, so that a merge can apply it."""
    base = model.base.model
    wanted = {f"{t.module}.weight" for t in lora_tensors(model.tensors.values())} if model.kind == "adapter" else set()
    return base is not None and bool(wanted) and join(base.tensors, wanted) is not None


def merge_instead(model: Model) -> Fix:
    """Return the fix for an adapter whose modules the library no longer builds as the base stores them."""
    base = model.base.model
    command = ["sage-doctor merge", shell_quote(model.path)]
    command += ["--base", shell_quote(base.path)] if base is not None else []
    command += ["--out", shell_quote(str(model.path) + "-merged")]
    return Fix(
        summary="The base stores these modules as the adapter names them, but the library has renamed or joined them "
        "since it was trained, and PEFT finds no place for it. `sage-doctor merge` applies it to the stored weights: "
        "run the merged model.",
        commands=(" ".join(command),),
    )
