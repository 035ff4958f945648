"""From an adapter's modules and a base's tensors to the tensors of the merged model, one piece each.

Every tensor of the adapter goes into exactly one piece, or the merge is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sage_doctor.merge.adapter import ModuleParts, Part
from sage_doctor.merge.base import BaseModel
from sage_doctor.merge.edits import CONV1D, FLOATS, STORED, BiasDelta, Layout, LowRank, Rows, TensorLocation, TensorPlan
from sage_doctor.merge.names import Names
from sage_doctor.merge.recipe import Recipe
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
    """The pieces of the merged model by stored name, and the adapter tensors not yet used."""

    pieces: dict[str, TensorPlan]
    left: set[str]

    def use(self, place: TensorLocation) -> TensorLocation:
        """Return `place`, noted as used. An adapter tensor is used once."""
        if place.tensor.name not in self.left:
            raise refused(f"{printable(place.tensor.name)} would be used twice", "Please report this.")
        self.left.discard(place.tensor.name)
        return place


def untouched(base: BaseModel, dtype: str | None) -> dict[str, TensorPlan]:
    """Return the base's own tensors as pieces. `dtype` (`float32`) converts the floating ones; None keeps them."""
    wanted = STORED[dtype] if dtype is not None else None
    return {
        name: TensorPlan(
            name=name,
            source=place,
            stored=place.tensor.dtype,
            dtype=wanted if wanted is not None and place.tensor.dtype in FLOATS else place.tensor.dtype,
        )
        for name, place in base.tensors.items()
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
    assembly: Assembly, module: ModuleParts, weight: str, bias: str | None, recipe: Recipe, kind: str
) -> None:
    """Put one module's parts into the pieces stored as `weight` and `bias`. `kind` is the base's model type."""
    form = frozenset(module.parts) - {"weight", "bias"}
    shown = printable(module.name)
    if form not in _FORMS:
        raise unmatched(f"the adapter holds only a part of what {shown} needs: {join_limited(sorted(form))}")
    if "weight" in module.parts:
        _replace(assembly, weight, assembly.use(module.parts["weight"]), shown)
    if form & {"A", "embedding_A"}:
        if not recipe.targets(module.name):
            raise unmatched(
                f"the adapter holds a LoRA for {shown}, which its configuration does not target: PEFT passes over it",
                "Bring back the configuration that belongs to these weights.",
            )
        low_rank = _low_rank(assembly, module, assembly.pieces[weight], recipe, kind)
        assembly.pieces[weight] = replace(assembly.pieces[weight], low_rank=low_rank)
    if "rows" in form:
        assembly.pieces[weight] = replace(
            assembly.pieces[weight], rows=_rows(assembly, module, assembly.pieces[weight], recipe)
        )
    if bias is None:
        return
    if "bias" in module.parts:
        _replace(assembly, bias, assembly.use(module.parts["bias"]), shown)
    if "B.bias" in module.parts:
        place = assembly.use(module.parts["B.bias"])
        if place.shape != assembly.pieces[bias].shape:
            raise _misfit(shown, place.shape, assembly.pieces[bias].shape)
        scaling = recipe.scaling(module.name, module.parts["A"].shape[0])
        assembly.pieces[bias] = replace(assembly.pieces[bias], bias=BiasDelta(b=place, scaling=scaling))


def _replace(assembly: Assembly, name: str, place: TensorLocation, shown: str) -> None:
    """Let the adapter's tensor take the place of the base's. Only an embedding may have more or fewer rows."""
    old = assembly.pieces[name]
    if place.shape[1:] != old.shape[1:] or len(place.shape) != len(old.shape):
        raise _misfit(shown, place.shape, old.shape)
    assembly.pieces[name] = replace(old, source=place)


def _misfit(shown: str, ours: tuple[int, ...], theirs: tuple[int, ...]) -> Exception:
    return unmatched(f"the adapter's tensor for {shown} is {_size(ours)}, the base's is {_size(theirs)}")


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)


def _low_rank(assembly: Assembly, module: ModuleParts, piece: TensorPlan, recipe: Recipe, kind: str) -> LowRank:
    parts = module.parts
    embedding = "embedding_A" in parts
    a = assembly.use(parts["embedding_A" if embedding else "A"])
    b = assembly.use(parts["embedding_B" if embedding else "B"])
    magnitude = assembly.use(parts["magnitude"]) if "magnitude" in parts else None
    shown = printable(module.name)
    if len(a.shape) > MATRIX:
        raise refused(
            f"{shown} is a convolution, whose LoRA this doctor does not merge",
            "PEFT's own merge_and_unload() does, with the whole model in memory; or run base and adapter together.",
        )
    if len(a.shape) != MATRIX or len(b.shape) != MATRIX or len(piece.shape) != MATRIX or a.shape[0] != b.shape[1]:
        raise refused(f"{shown} is no matrix with a LoRA of two matrices ({_size(a.shape)}, {_size(b.shape)})")
    if recipe.flag("use_dora") != (magnitude is not None):
        raise unmatched(
            f"use_dora and the adapter's tensors for {shown} contradict each other",
            "Bring back the configuration that belongs to these weights.",
        )
    if recipe.flag("lora_bias") != ("B.bias" in parts) and not embedding:
        raise unmatched(
            f"lora_bias and the adapter's tensors for {shown} contradict each other",
            "Bring back the configuration that belongs to these weights.",
        )
    out_size, in_size = b.shape[0], a.shape[1]
    layout: Layout = "embedding"
    if embedding:
        if piece.shape != (in_size, out_size):
            raise _misfit(shown, (in_size, out_size), piece.shape)
    else:
        layout = _layout(module, (out_size, in_size), piece.shape, recipe, kind)
    if magnitude is not None and magnitude.tensor.elements != out_size:
        raise _misfit(shown, magnitude.shape, (out_size,))
    scaling = recipe.scaling(module.name, a.shape[0])
    return LowRank(a=a, b=b, scaling=scaling, layout=layout, magnitude=magnitude)


def _layout(module: ModuleParts, delta: tuple[int, int], weight: tuple[int, ...], recipe: Recipe, kind: str) -> Layout:
    """Return how a weight lies. Its shape tells, unless it is square; then the architecture does."""
    transposed = module.leaf in CONV1D.get(kind, frozenset())
    if delta[0] == delta[1] and weight == delta:
        if recipe.flag("fan_in_fan_out") and not transposed and kind not in CONV1D and not kind:
            raise refused(f"nothing tells how the square weight of {printable(module.name)} lies")
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
        raise refused(f"{printable(module.name)} is an expert with DoRA, which PEFT itself cannot load any more")
    return "expert"


def _rows(assembly: Assembly, module: ModuleParts, piece: TensorPlan, recipe: Recipe) -> Rows:
    place = assembly.use(module.parts["rows"])
    indices = recipe.token_rows(module.name)
    shown = printable(module.name)
    if indices is None:
        raise refused(f"the configuration does not say which rows of {shown} were trained")
    if len(piece.shape) != MATRIX or place.shape != (len(indices), piece.shape[1]) or len(set(indices)) != len(indices):
        raise _misfit(shown, place.shape, (len(indices), *piece.shape[1:]))
    if any(n >= piece.shape[0] for n in indices):
        raise unmatched(f"the adapter trains row {max(indices)} of {shown}, which has {piece.shape[0]}")
    return Rows(values=place, indices=indices)


def lookup(names: Names, module: ModuleParts) -> tuple[str, str | None]:
    """Return the stored names of a module's weight and bias, the bias only where the adapter changes it."""
    bias = None
    if module.parts.keys() & {"bias", "B.bias"}:
        bias = names.find(f"{module.name}.bias")
        if bias is None:
            raise unmatched(f"the adapter changes a bias of {printable(module.name)}, and the base stores none")
    weight = names.find(f"{module.name}.weight")
    if weight is None:
        if module.parts.keys() <= {"bias"}:
            return "", bias
        raise unmatched(f"the base stores no weight for {printable(module.name)}")
    return weight, bias
