"""The tensors that a session has in float32, though the rest of the model has 16 bits.

transformers loads some of them so whatever is stored (`_keep_in_fp32_modules`): routers of experts, T5's `wo`. PEFT
adds an adapter to what was loaded, so the sum is not rounded to 16 bits; written in the base's dtype, it would be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sage_doctor.facts.library_source import model_types
from sage_doctor.facts.model_source import kept_in_float32
from sage_doctor.merge.edits import FLOATS, TensorPlan
from sage_doctor.merge.refusal import refused
from sage_doctor.system.own_python import own_packages
from sage_doctor.text import printable

_SHORT = ("BF16", "F16")


def with_float32_kept(
    plans: Mapping[str, TensorPlan], running: Mapping[str, str], config: Mapping[str, Any]
) -> dict[str, TensorPlan]:
    """Return the plans; what is written anew with 16 bits and a load keeps in float32 is written in float32.

    `running` has the running names of what the adapter changes, by stored name; others are looked up as stored.
    """
    sites, kept = own_packages(), {}
    for dtype in {p.dtype for p in plans.values()}.intersection(_SHORT):
        found = [kept_in_float32(sites, kind, half=dtype == "F16") for kind in dict.fromkeys(model_types(config))]
        patterns = [p for some in found for p in some]
        if patterns:
            kept[dtype] = re.compile("|".join(f"(?:{p})" for p in patterns))
    return {
        name: replace(plan, dtype="F32")
        if not plan.untouched and plan.dtype in kept and kept[plan.dtype].search(running.get(name, name))
        else plan
        for name, plan in plans.items()
    }


def require_floats(plans: Iterable[TensorPlan]) -> None:
    """Raise `MergeRefused` where the adapter changes a tensor of the base that holds other numbers than floats."""
    for plan in plans:
        if not plan.untouched and not {plan.stored, plan.dtype} <= FLOATS.keys() and plan.source.quantized is None:
            raise refused(
                f"the base stores {printable(plan.name)} as {printable(plan.stored)}, and its config.json does not say "
                "how to read that: an adapter is added to floating numbers of 16 bits or more",
                "Merge into the unquantised model that it was made from.",
            )
