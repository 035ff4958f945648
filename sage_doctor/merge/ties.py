"""Embeddings that a base shares with its output layer, and whether they stay tied.

PEFT merges a LoRA into the shared tensor and so changes the other layer too, which running the adapter does not do.
Here the two are untied if they differ afterwards, and stay tied if they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from sage_doctor.facts.config import read_config_facts
from sage_doctor.facts.embeddings import EMBEDDING_NAMES, OUTPUT_NAMES, embedding_tensor
from sage_doctor.facts.model_source import read_model_class, scales_by_its_tie, tied_names
from sage_doctor.merge.adapter import ModuleParts, same_bytes
from sage_doctor.merge.assembly import Assembly
from sage_doctor.merge.base import BaseModel
from sage_doctor.merge.edits import TensorPlan
from sage_doctor.merge.merge_rules import MergeRules
from sage_doctor.merge.refusal import refused
from sage_doctor.system.own_python import own_packages
from sage_doctor.text import printable

SHARED = "shared"  # how the library calls the embedding of an encoder and a decoder, which have it as `embed_tokens`
INPUT_NAMES = frozenset(n.removesuffix(".weight") for n in EMBEDDING_NAMES)


@dataclass(kw_only=True)
class EmbeddingTie:
    """A base's shared embedding. `stored` is its tensor; the modules are those of the adapter, None if not touched.

    `others` says that the base's class shares more than one output layer: a bias, or embeddings of two stacks. `scaled`
    says that it scales what it answers by the same setting.
    """

    stored: str
    others: bool
    scaled: bool
    output_stored: str | None
    input: ModuleParts | None
    output: ModuleParts | None

    @property
    def touched(self) -> bool:
        """Whether the adapter changes either layer."""
        return self.input is not None or self.output is not None


def require_one_reader(modules: Mapping[str, ModuleParts], tie: EmbeddingTie | None) -> None:
    """Raise `MergeRefused` if the adapter changes an embedding that an encoder and a decoder read.

    Trained rows of a tied one PEFT puts before all of its readers.
    """
    theirs = (m for m in modules.values() if tie is None or m.parts.keys() != {"rows"})
    name = next((m.name for m in theirs if m.leaf == SHARED), None)
    if name is not None:
        raise refused(
            f"the adapter changes {printable(name)}, which encoder and decoder have as their own embedding, and PEFT "
            "runs these without the change: the merged model has one tensor for all of them and would be another model"
        )


def require_one_weight(tie: EmbeddingTie, base: BaseModel) -> None:
    """Raise `MergeRefused` if the base stores two different tensors for a tie that the adapter touches.

    transformers 5 runs the output layer that is stored then, releases before it the embedding in its place.
    """
    name = tie.output_stored
    if name is not None and not same_bytes(base.tensors[name], base.tensors[tie.stored]):
        raise refused(
            f"the base stores {printable(name)}, which differs from {printable(tie.stored)}, and its config.json ties "
            "them (tie_word_embeddings): transformers 5 runs it as it is stored, earlier releases do not",
            "If its output layer was trained by itself, write tie_word_embeddings = false into the base's config.json.",
        )


Ties = Callable[[], Mapping[str, str | None]]


def find_tie(base: BaseModel, modules: Mapping[str, ModuleParts], library_ties: Ties) -> EmbeddingTie | None:
    """Return the base's tie, or None where its embedding and output layer are two tensors or there is one only.

    `library_ties` gives the running names of all that the base shares, each with the stored tensor that it shares. It
    is asked where the adapter touches such a layer, and the source of the base's class does not tell which it is.
    """
    tensors = {n: p.tensor for n, p in base.tensors.items()}
    embedding = embedding_tensor(tensors)
    heads = [n for n in tensors if _leaf(n) in OUTPUT_NAMES and n.endswith(".weight")]
    facts = read_config_facts(base.config)
    tied = facts.tied_embeddings
    if tied is None:
        tied = not heads
    if not tied or embedding is None:
        return None
    sites, kind, stored = own_packages(), facts.model_type or "", embedding.name
    known = read_model_class(sites, kind, next(iter(facts.architectures), ""))
    names = _outputs(known.tied) if known is not None else set()
    weighty = [m for m in modules.values() if m.parts.keys() - {"bias", "B.bias"}]
    rivals = [n for n, t in tensors.items() if _leaf(n) == _leaf(stored) and len(t.shape) == len(embedding.shape)]
    asked = known is not None and (not known.tied or len(rivals) > 1)
    if asked and any(m.leaf in INPUT_NAMES | OUTPUT_NAMES or f"{m.name}.weight" in names for m in weighty):
        ties = library_ties()
        names = _outputs(ties)
        sources = [source for n in names if (source := ties[n]) is not None]
        if not sources:
            return None
        stored = sources[0]
    leaves = OUTPUT_NAMES | {_leaf(n) for n in names}
    more = _leaf(stored) == SHARED or any(_leaf(n) not in leaves for n in tied_names(sites, kind))
    return EmbeddingTie(
        stored=stored,
        others=asked or more,
        scaled=scales_by_its_tie(sites, kind),
        output_stored=next((n for n in (*heads, *names) if n in tensors), None),
        input=next((m for m in weighty if _is_input(m, stored, alone=len(rivals) == 1)), None),
        output=next((m for m in weighty if m.leaf in OUTPUT_NAMES or f"{m.name}.weight" in names), None),
    )


def _outputs(ties: Iterable[str]) -> set[str]:
    """Return the weights of output layers among what is tied to something."""
    return {n for n in ties if n.endswith(".weight") and _leaf(n) not in INPUT_NAMES}


def _leaf(tensor: str) -> str:
    """Return the last part of the name of a tensor's module."""
    return tensor.removesuffix(".weight").rpartition(".")[2]


def _is_input(module: ModuleParts, stored: str, *, alone: bool) -> bool:
    """Return whether a module has the stored embedding; `alone` says that no other stored tensor is called so."""
    ours, theirs = f".{module.name}.weight", f".{stored}"
    return ours.endswith(theirs) or theirs.endswith(ours) or (alone and module.leaf == _leaf(stored) in INPUT_NAMES)


def resolve_tie(
    tie: EmbeddingTie,
    assembly: Assembly,
    rules: MergeRules,
    library_ties: Ties,
) -> dict[str, str]:
    """Resolve a tie that the adapter touches, and return to which stored tensors its modules' weights are applied.

    Keys are running module names, values stored tensors. If the layers are untied, a tensor for the output layer is
    added to the plans, and for all else that was tied: nothing ties it any longer. `library_ties`, as for `find_tie`,
    is asked where the adapter does not say the output layer's name, or there may be more than that layer.
    """
    _drop_copied_rows(tie, assembly)
    modules = [m for m in (tie.input, tie.output) if m is not None]
    if all("rows" in m.parts and not m.parts.keys() - {"rows", "weight"} for m in modules):
        if tie.output is not None or tie.output_stored is not None:
            raise refused("rows of a shared embedding were trained, and its second copy is stored or trained as well")
        return {m.name: tie.stored for m in modules}  # PEFT runs both layers with the new rows
    whole = all(m.parts.keys() == {"weight"} for m in modules)
    if any("rows" in m.parts for m in modules):
        raise refused("rows of a shared embedding were trained beside another change of it")
    if whole and _remains_tied(tie, rules):
        return _keep_tied(tie, assembly)
    if tie.scaled:
        raise refused(
            "the adapter changes one of two layers that share a weight, and this architecture scales its output only "
            "while they do (tie_word_embeddings): no merged model would answer as base and adapter together"
        )
    output = tie.output_stored or (f"{tie.output.name}.weight" if tie.output is not None else None)
    found = library_ties() if output is None or tie.others else {}
    ties = {n: stored for n, stored in found.items() if n not in assembly.plans}
    output = output or next(iter(_outputs(ties)), None)
    if output is None or None in ties.values():
        raise refused("the embedding is shared with an output layer whose name is unknown")
    original = _original(tie, assembly, rules)
    assembly.plans[tie.stored] = original
    for name in (output, *(n for n, stored in ties.items() if stored == tie.stored)):
        assembly.plans[name] = replace(original, name=name)
    assembly.plans |= {n: replace(assembly.plans[s], name=n) for n, s in ties.items() if s and s != tie.stored}
    aliases = {}
    if tie.input is not None:
        aliases[tie.input.name] = tie.stored
    if tie.output is not None:
        aliases[tie.output.name] = output
    return aliases


def _drop_copied_rows(tie: EmbeddingTie, assembly: Assembly) -> None:
    """Leave out trained rows of the output layer that are those of the embedding: PEFT saves both, and loads one."""
    if tie.input is None or tie.output is None or "rows" not in tie.input.parts:
        return
    mine, theirs = tie.input.parts, tie.output.parts
    if mine.keys() == theirs.keys() and all(same_bytes(mine[part], theirs[part]) for part in mine):
        for part in list(theirs):
            assembly.consume(theirs.pop(part))
        tie.output = None


def _original(tie: EmbeddingTie, assembly: Assembly, rules: MergeRules) -> TensorPlan:
    """Return what both layers start from: the base's tensor, or the copy of it that PEFT saves with the adapter.

    That copy (`base_layer.weight`, there where an embedding is trained) is loaded into the shared tensor.
    """
    modules = [m for m in (tie.input, tie.output) if m is not None and not rules.saves_whole(m.name)]
    locations = [assembly.consume(m.parts.pop("weight")) for m in modules if "weight" in m.parts]
    if len(locations) > 1 and not same_bytes(*locations):
        raise refused("the adapter holds two different tensors for one shared embedding")
    original = assembly.plans[tie.stored]
    return replace(original, source=locations[0]) if locations else original


def _remains_tied(tie: EmbeddingTie, rules: MergeRules) -> bool:
    """Whether both layers are one tensor after the adapter's whole tensors have taken its place."""
    locations = [m.parts["weight"] for m in (tie.input, tie.output) if m is not None]
    same = len(locations) == 1 or same_bytes(*locations)
    apart = any(rules.saves_whole(m.name) for m in (tie.input, tie.output) if m is not None)
    if not apart or rules.flag("ensure_weight_tying"):
        if not same:
            raise refused("the adapter holds two different tensors for one shared embedding")
        return True
    return same and len(locations) > 1


def _keep_tied(tie: EmbeddingTie, assembly: Assembly) -> dict[str, str]:
    if tie.input is not None and tie.output is not None:
        assembly.consume(tie.output.parts.pop("weight"))  # the same bytes: written once
        if tie.output_stored is not None:
            source = tie.input.parts["weight"]
            assembly.plans[tie.output_stored] = replace(assembly.plans[tie.output_stored], source=source)
    module = tie.input or tie.output
    assert module is not None  # the tie is touched
    if tie.output_stored is not None and (tie.input is None or tie.output is None):
        old = assembly.plans[tie.output_stored]
        assembly.plans[tie.output_stored] = replace(old, source=module.parts["weight"])
    found = {module.name: tie.stored}
    if tie.output is not None and tie.input is not None:
        found[tie.output.name] = tie.stored
    return found
