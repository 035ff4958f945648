"""Applying an adapter's modules to the tensors of its base: one `TensorPlan` for each tensor of the merged model.

Every tensor of the adapter goes into exactly one plan, or the merge is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sage_doctor.facts.adapter_problems import trained_rows
from sage_doctor.merge.adapter import ModuleParts, Part
from sage_doctor.merge.base import BaseModel
from sage_doctor.merge.edits import CONV1D, FLOATS, STORED, BiasDelta, Layout, LowRank, Rows, TensorLocation, TensorPlan
from sage_doctor.merge.merge_rules import MergeRules
from sage_doctor.merge.names import NameMap
from sage_doctor.merge.refusal import refused, unmatched
from sage_doctor.text import join_limited, printable

MATRIX = 2
_EXPERT = re.compile(r"\.experts\.\d+\.")
_FORMS: tuple[frozenset[Part], ...] = (
    frozenset({"A", "B"}),
    frozenset({"A", "B", "B.bias"}),
    frozenset({"A", "B", "magnitude"}),
    frozenset({"A", "B", "B.bias", "magnitude"}),
    frozenset({"embedding_A", "embedding_B"}),
    frozenset({"embedding_A", "embedding_B", "magnitude"}),
    frozenset({"rows"}),
    frozenset(),
)


@dataclass(kw_only=True)
class Assembly:
    """The tensor plans of the merged model by stored name, and the names of adapter tensors not yet used."""

    plans: dict[str, TensorPlan]
    unused: set[str]

    def consume(self, location: TensorLocation) -> TensorLocation:
        """Return `location` and mark it as used. Raises `MergeRefused` if it was used before."""
        if location.tensor.name not in self.unused:
            raise refused(f"{printable(location.tensor.name)} would be used twice", "Please report this.")
        self.unused.discard(location.tensor.name)
        return location


def base_plans(base: BaseModel, dtype: str | None) -> dict[str, TensorPlan]:
    """Return a plan for each tensor of the base. `dtype` (`float32`) converts the floating ones; None keeps them."""
    wanted = STORED[dtype] if dtype is not None else None
    return {
        name: TensorPlan(
            name=name,
            source=location,
            stored=location.tensor.dtype,
            dtype=wanted if wanted is not None and location.tensor.dtype in FLOATS else location.tensor.dtype,
        )
        for name, location in base.tensors.items()
    }


def needed_names(modules: Mapping[str, ModuleParts]) -> list[str]:
    """Return the running names of the tensors that an adapter changes."""
    found = []
    for module in modules.values():
        parts = module.parts.keys()
        if parts - {"bias", "B.bias"}:
            found.append(f"{module.name}.weight")
        if parts & {"bias", "B.bias"}:
            found.append(f"{module.name}.bias")
    return found


def apply_module(
    assembly: Assembly, module: ModuleParts, weight: str, bias: str | None, rules: MergeRules, kinds: Sequence[str]
) -> None:
    """Apply one module's parts to the tensors stored as `weight` and `bias`.

    `kinds` are the base's model type and those of the models inside it.
    """
    form = frozenset(module.parts) - {"weight", "bias"}
    shown = printable(module.name)
    if form not in _FORMS:
        raise unmatched(
            f"the adapter holds only a part of what {shown} needs: {join_limited(sorted(form))}",
            "Copy adapter_model.safetensors from the training run again.",
        )
    if "weight" in module.parts:
        _require_read(module, rules)
        _replace(assembly, weight, assembly.consume(module.parts["weight"]), shown)
    if form & {"A", "embedding_A"}:
        if not rules.targets(module.name):
            raise unmatched(
                f"the adapter holds a LoRA for {shown}, which its configuration does not target: PEFT ignores it",
                "Restore the configuration that belongs to these weights.",
            )
        low_rank = _low_rank(assembly, module, assembly.plans[weight], rules, kinds)
        assembly.plans[weight] = replace(assembly.plans[weight], low_rank=low_rank)
    if "rows" in form:
        assembly.plans[weight] = replace(
            assembly.plans[weight], rows=_rows(assembly, module, assembly.plans[weight], rules)
        )
    if bias is None:
        return
    if "bias" in module.parts:
        _replace(assembly, bias, assembly.consume(module.parts["bias"]), shown)
    if "B.bias" in module.parts:
        location = assembly.consume(module.parts["B.bias"])
        if location.shape != assembly.plans[bias].shape:
            raise _misfit(shown, location.shape, assembly.plans[bias].shape)
        scaling = rules.scaling(module.name, module.parts["A"].shape[0])
        assembly.plans[bias] = replace(assembly.plans[bias], bias=BiasDelta(b=location, scaling=scaling))


def _require_read(module: ModuleParts, rules: MergeRules) -> None:
    """Raise `MergeRefused` for a whole weight that a load ignores: a LoRA alone is looked for in its place."""
    alone = module.parts.keys() <= {"weight", "bias"}
    if alone and rules.names_target(module.name) and not rules.saves_whole(module.name):
        raise unmatched(
            f"the adapter holds the whole weight of {printable(module.name)}, which its configuration targets with a "
            "LoRA: PEFT ignores it",
            "Save the adapter again with PeftModel.save_pretrained().",
        )


def _replace(assembly: Assembly, name: str, location: TensorLocation, shown: str) -> None:
    """Replace the base's tensor with the adapter's. Only an embedding may have more or fewer rows."""
    old = assembly.plans[name]
    if location.shape[1:] != old.shape[1:] or len(location.shape) != len(old.shape):
        raise _misfit(shown, location.shape, old.shape)
    assembly.plans[name] = replace(old, source=location)


def _misfit(shown: str, ours: tuple[int, ...], theirs: tuple[int, ...]) -> Exception:
    return unmatched(f"the adapter's tensor for {shown} is {_size(ours)}, the base's is {_size(theirs)}")


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)


def _low_rank(
    assembly: Assembly, module: ModuleParts, plan: TensorPlan, rules: MergeRules, kinds: Sequence[str]
) -> LowRank:
    parts = module.parts
    embedding = "embedding_A" in parts
    a = assembly.consume(parts["embedding_A" if embedding else "A"])
    b = assembly.consume(parts["embedding_B" if embedding else "B"])
    magnitude = assembly.consume(parts["magnitude"]) if "magnitude" in parts else None
    shown = printable(module.name)
    if len(a.shape) > MATRIX:
        raise refused(
            f"{shown} is a convolution: sage-doctor does not merge a LoRA for one",
            "PEFT's own merge_and_unload() can, with the whole model in memory; or run base and adapter together.",
        )
    rank = rules.rank(module.name)
    if (rank < a.shape[0] and rank in a.shape) or (rank < b.shape[-1] and rank in b.shape):
        raise unmatched(
            f"the LoRA of {shown} has its rank, {rank}, on the side of inputs and outputs ({_size(a.shape)}, "
            f"{_size(b.shape)}): its matrices are transposed or exchanged",
            "PEFT keeps lora_A as rank × inputs and lora_B as outputs × rank: convert the adapter again so.",
        )
    if len(a.shape) != MATRIX or len(b.shape) != MATRIX or len(plan.shape) != MATRIX or a.shape[0] != b.shape[1]:
        what = f"{shown} is not a matrix with a LoRA of two matrices ({_size(a.shape)}, {_size(b.shape)})"
        raise refused(what) if len(plan.shape) != MATRIX else unmatched(what, "Restore the adapter's weights.")
    if rules.flag("use_dora") != (magnitude is not None):
        raise unmatched(
            f"use_dora and the adapter's tensors for {shown} contradict each other",
            "Restore the configuration that belongs to these weights.",
        )
    if rules.flag("lora_bias") != ("B.bias" in parts) and not embedding:
        raise unmatched(
            f"lora_bias and the adapter's tensors for {shown} contradict each other",
            "Restore the configuration that belongs to these weights.",
        )
    out_size, in_size = b.shape[0], a.shape[1]
    layout: Layout = "embedding"
    if embedding:
        if plan.shape != (in_size, out_size):
            raise _misfit(shown, (in_size, out_size), plan.shape)
    else:
        layout = _layout(module, (out_size, in_size), plan.shape, rules, kinds)
    if magnitude is not None and magnitude.tensor.elements != out_size:
        raise _misfit(shown, magnitude.shape, (out_size,))
    scaling = rules.scaling(module.name, a.shape[0])
    return LowRank(a=a, b=b, scaling=scaling, layout=layout, magnitude=magnitude, twice=rules.is_variant("mica"))


def _layout(
    module: ModuleParts, delta: tuple[int, int], weight: tuple[int, ...], rules: MergeRules, kinds: Sequence[str]
) -> Layout:
    """Return the layout of a weight. Its shape tells, unless it is square; then the architecture decides."""
    transposed = any(module.leaf in CONV1D.get(kind, ()) for kind in kinds)
    if delta[0] == delta[1] and weight == delta:
        if rules.flag("fan_in_fan_out") and not kinds:
            raise refused(f"it is unknown whether the square weight of {printable(module.name)} is transposed")
        return "conv1d" if transposed else _linear(module)
    if weight == delta and not transposed:
        return _linear(module)
    if weight == delta[::-1] and transposed:
        return "conv1d"
    raise _misfit(printable(module.name), delta, weight)


def _linear(module: ModuleParts) -> Layout:
    if not _EXPERT.search(f"{module.name}."):
        return "linear"
    if "magnitude" in module.parts:
        raise refused(f"{printable(module.name)} is an expert with DoRA, which PEFT can no longer load")
    return "expert"


def _rows(assembly: Assembly, module: ModuleParts, plan: TensorPlan, rules: MergeRules) -> Rows:
    location = assembly.consume(module.parts["rows"])
    indices = trained_rows(rules.values, module.name)
    shown = printable(module.name)
    if indices is None:
        raise refused(
            f"the configuration does not say which rows of {shown} were trained",
            "Restore the configuration that belongs to these weights.",
        )
    if rules.peft_type == "TRAINABLE_TOKENS" and not rules.targets(module.name):
        raise unmatched(
            f"the adapter holds rows of {shown}, which its configuration does not target: PEFT ignores them",
            "Restore the configuration that belongs to these weights.",
        )
    if location.shape[:1] != (len(indices),) or len(set(indices)) != len(indices):
        raise unmatched(
            f"the adapter holds {location.shape[0]} rows of {shown}, its configuration names {len(set(indices))}",
            "Restore the configuration that belongs to these weights.",
        )
    if len(plan.shape) != MATRIX or location.shape[1:] != plan.shape[1:]:
        raise _misfit(shown, location.shape, (len(indices), *plan.shape[1:]))
    if any(n >= plan.shape[0] for n in indices):
        raise unmatched(
            f"the adapter trains row {max(indices)} of {shown}, which has {plan.shape[0]} rows: tokens were added in "
            "training, and the adapter does not hold the layers that they were added to",
            "Save it again where it was trained, with save_pretrained(…, save_embedding_layers=True), or save the "
            "resized base there and name it with --base.",
        )
    return Rows(values=location, indices=indices)


def lookup(names: NameMap, module: ModuleParts) -> tuple[str, str | None]:
    """Return the stored names of a module's weight and bias, the bias only where the adapter changes it."""
    bias = None
    if module.parts.keys() & {"bias", "B.bias"}:
        bias = names.find(f"{module.name}.bias")
        if bias is None:
            raise unmatched(f"the adapter changes a bias of {printable(module.name)}, but the base stores none")
    weight = names.find(f"{module.name}.weight")
    if weight is None:
        if module.parts.keys() <= {"bias"}:
            return "", bias
        raise unmatched(f"the base stores no weight for {printable(module.name)}")
    return weight, bias
