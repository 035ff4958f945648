"""Embeddings that a base shares with its output layer, and what becomes of the tie.

PEFT merges a LoRA into the shared tensor, so that the other layer changes with it, which running the adapter does
not do. Here the tie is cut where the two layers differ afterwards, and kept where they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sage_doctor.facts.config import read_config_facts
from sage_doctor.facts.embeddings import EMBEDDING_NAMES, embedding_tensor
from sage_doctor.merge.adapter import ModuleParts, same_bytes
from sage_doctor.merge.assembly import Assembly
from sage_doctor.merge.base import BaseModel
from sage_doctor.merge.edits import TensorPlan
from sage_doctor.merge.recipe import Recipe
from sage_doctor.merge.refusal import refused

OUTPUTS = frozenset({"lm_head", "embed_out"})
INPUTS = frozenset(n.removesuffix(".weight") for n in EMBEDDING_NAMES)


@dataclass(kw_only=True)
class EmbeddingTie:
    """A base's shared embedding. `stored` is its tensor; the modules are those of the adapter, None if not touched."""

    stored: str
    output_stored: str | None
    input: ModuleParts | None
    output: ModuleParts | None

    @property
    def touched(self) -> bool:
        """Whether the adapter changes either layer."""
        return self.input is not None or self.output is not None


def find_tie(base: BaseModel, modules: Mapping[str, ModuleParts]) -> EmbeddingTie | None:
    """Return the base's tie, or None where its embedding and output layer are two tensors or there is one only."""
    tensors = {n: p.tensor for n, p in base.tensors.items()}
    embedding = embedding_tensor(tensors)
    heads = [n for n in tensors if n.removesuffix(".weight").rpartition(".")[2] in OUTPUTS and n.endswith(".weight")]
    tied = read_config_facts(base.config).tied_embeddings
    if tied is None:
        tied = not heads
    if not tied or embedding is None:
        return None
    weighty = [m for m in modules.values() if m.parts.keys() - {"bias", "B.bias"}]
    return EmbeddingTie(
        stored=embedding.name,
        output_stored=heads[0] if heads else None,
        input=next((m for m in weighty if _is_input(m, embedding.name)), None),
        output=next((m for m in weighty if m.leaf in OUTPUTS), None),
    )


def _is_input(module: ModuleParts, stored: str) -> bool:
    return module.leaf in INPUTS and stored.removesuffix(".weight").rpartition(".")[2] == module.leaf


def settle(tie: EmbeddingTie, assembly: Assembly, recipe: Recipe, spell_output: Callable[[], str]) -> dict[str, str]:
    """Decide about a tie that the adapter touches, and return where the weights of its modules are to be put.

    Keys are running module names, values stored tensors. Where the tie is cut, the output layer's own tensor is
    added to the pieces: the caller sees that by its name. `spell_output` gives that name where the adapter does not
    touch the output layer.
    """
    modules = [m for m in (tie.input, tie.output) if m is not None]
    if all(m.parts.keys() & {"A", "embedding_A", "weight", "rows"} == {"rows"} for m in modules):
        if tie.output is not None or tie.output_stored is not None:
            raise refused("rows of a shared embedding were trained, and its second copy is stored or trained as well")
        return {m.name: tie.stored for m in modules}  # PEFT runs both layers with the new rows
    whole = all(m.parts.keys() == {"weight"} for m in modules)
    if any("rows" in m.parts for m in modules):
        raise refused("rows of a shared embedding were trained beside another change of it")
    if whole and _stays(tie, recipe):
        return _keep(tie, assembly)
    if recipe.flag("ensure_weight_tying"):
        raise refused("the adapter was trained with ensure_weight_tying on a shared embedding")
    output = tie.output_stored or (f"{tie.output.name}.weight" if tie.output is not None else spell_output())
    original = _original(tie, assembly, recipe)
    assembly.pieces[tie.stored] = original
    assembly.pieces[output] = replace(original, name=output)
    found = {}
    if tie.input is not None:
        found[tie.input.name] = tie.stored
    if tie.output is not None:
        found[tie.output.name] = output
    return found


def _original(tie: EmbeddingTie, assembly: Assembly, recipe: Recipe) -> TensorPlan:
    """Return what both layers start from: the base's tensor, or the copy of it that PEFT saves with the adapter.

    That copy (`base_layer.weight`, there where an embedding is trained) is loaded into the shared tensor.
    """
    modules = [m for m in (tie.input, tie.output) if m is not None and not recipe.saves_whole(m.name)]
    places = [assembly.use(m.parts.pop("weight")) for m in modules if "weight" in m.parts]
    if len(places) > 1 and not same_bytes(*places):
        raise refused("the adapter holds two different tensors for one shared embedding")
    original = assembly.pieces[tie.stored]
    return replace(original, source=places[0]) if places else original


def _stays(tie: EmbeddingTie, recipe: Recipe) -> bool:
    """Whether both layers are one tensor after the adapter's whole tensors have taken its place."""
    places = [m.parts["weight"] for m in (tie.input, tie.output) if m is not None]
    same = len(places) == 1 or same_bytes(*places)
    apart = any(recipe.saves_whole(m.name) for m in (tie.input, tie.output) if m is not None)
    if not apart or recipe.flag("ensure_weight_tying"):
        if not same:
            raise refused("the adapter holds two different tensors for one shared embedding")
        return True
    return same and len(places) > 1


def _keep(tie: EmbeddingTie, assembly: Assembly) -> dict[str, str]:
    if tie.input is not None and tie.output is not None:
        assembly.use(tie.output.parts.pop("weight"))  # the same bytes: written once
        if tie.output_stored is not None:
            source = tie.input.parts["weight"]
            assembly.pieces[tie.output_stored] = replace(assembly.pieces[tie.output_stored], source=source)
    module = tie.input or tie.output
    assert module is not None  # the tie is touched
    if tie.output_stored is not None and (tie.input is None or tie.output is None):
        old = assembly.pieces[tie.output_stored]
        assembly.pieces[tie.output_stored] = replace(old, source=module.parts["weight"])
    found = {module.name: tie.stored}
    if tie.output is not None and tie.input is not None:
        found[tie.output.name] = tie.stored
    return found
