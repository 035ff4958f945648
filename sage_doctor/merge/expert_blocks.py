"""LoRA on bare parameters (`target_parameters`): blocks of experts that the library keeps as one parameter.

PEFT wraps the module that owns them once for each parameter, the first inside the second (`experts.base_layer.lora_A`,
`experts.lora_A`), and keeps the matrices of all experts in one: A is (expert, rank) × in, B is out × (rank, expert).
A stored tensor is the whole block, or one expert's part of it; the library's own conversion says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sage_doctor.merge.adapter import ModuleParts
from sage_doctor.merge.assembly import Assembly
from sage_doctor.merge.edits import ExpertStack, LowRank, TensorLocation
from sage_doctor.merge.merge_rules import MergeRules
from sage_doctor.merge.refusal import refused, unmatched
from sage_doctor.system.frozen import frozen
from sage_doctor.text import join_limited, printable

_INNER = ".base_layer"


@frozen
class BlockShare:
    """What a stored tensor is of a block: all of it, or for one expert the outputs from `first` on."""

    stored: str
    expert: int | None = None
    first: int = 0


@frozen
class ExpertBlock:
    """A parameter of the running model, and the stored tensors that make it up.

    `transposed` says that it holds experts × in × out. `shares` is empty where nothing tells how it is made up.
    """

    shape: tuple[int, ...]
    transposed: bool
    shares: tuple[BlockShare, ...]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Its experts, and the inputs and outputs of one. A plain matrix counts as one expert."""
        experts, rows, columns = self.shape if len(self.shape) == 3 else (1, *self.shape)
        return (experts, rows, columns) if self.transposed else (experts, columns, rows)


def owner_of(name: str) -> str:
    """Return the module of the base that a module of the adapter wraps, however often."""
    return name.replace(_INNER, "")


def of_parameters(modules: Mapping[str, ModuleParts], rules: MergeRules) -> dict[str, list[ModuleParts]]:
    """Return the modules of the adapter that PEFT put around bare parameters, by owner, the innermost first."""
    found: dict[str, list[ModuleParts]] = {}
    if not rules.parameters:
        return found
    for module in sorted(modules.values(), key=lambda m: -m.name.count(_INNER)):
        owner = owner_of(module.name)
        if "A" in module.parts and not rules.targets(owner):
            found.setdefault(owner, []).append(module)
    return found


def apply_parameters(
    assembly: Assembly, owner: str, layers: list[ModuleParts], blocks: Mapping[str, ExpertBlock], rules: MergeRules
) -> None:
    """Apply the matrices around one owner's parameters. `blocks` are in the owner's own order."""
    shown = printable(owner)
    wanted = [n for n in blocks if n.rpartition(".")[0] == owner and rules.targets_parameter(n)]
    if len(wanted) != len(layers):
        raise unmatched(
            f"the adapter holds {len(layers)} LoRA for parameters of {shown}, where its configuration targets "
            f"{join_limited(wanted) or 'none'}",
            "Name the base that this adapter was trained on with --base.",
        )
    for name, layer in zip(wanted, layers, strict=True):
        _apply(assembly, name, layer, blocks[name], rules)


def _apply(assembly: Assembly, name: str, layer: ModuleParts, block: ExpertBlock, rules: MergeRules) -> None:
    shown = printable(name)
    if layer.parts.keys() != {"A", "B"}:
        raise refused(
            f"the LoRA for {shown} is in a format that PEFT does not write: {join_limited(sorted(layer.parts))}"
        )
    a, b = assembly.consume(layer.parts["A"]), assembly.consume(layer.parts["B"])
    experts, ins, outs = block.sizes
    rank = a.shape[0] // experts if a.shape else 0
    if a.shape != (rank * experts, ins) or b.shape != (outs, rank * experts) or rank == 0:
        raise unmatched(
            f"the adapter's matrices for {shown} are {a.shape} and {b.shape}, which does not fit {block.shape}"
        )
    if not block.shares:
        raise refused(f"it is unknown which stored tensors make up {shown}")
    scaling = rules.scaling(name, rank)
    for share in block.shares:
        plan = assembly.plans[share.stored]
        if plan.computed:
            raise refused(f"the adapter changes {printable(share.stored)} in two ways")
        rows = plan.shape[0] if share.expert is not None else outs
        stack = ExpertStack(
            experts=experts, expert=share.expert, first=share.first, rows=rows, transposed=block.transposed
        )
        low_rank = LowRank(a=_part(a, share.expert, rank), b=b, scaling=scaling, layout="expert", stack=stack)
        assembly.plans[share.stored] = replace(plan, low_rank=low_rank)


def _part(a: TensorLocation, expert: int | None, rank: int) -> TensorLocation:
    """Return the rows of A that belong to one expert, or all of them."""
    if expert is None:
        return a
    row = a.nbytes // a.shape[0]
    start = a.tensor.start + expert * rank * row
    return replace(a, tensor=a.tensor._replace(shape=(rank, a.shape[1]), start=start, end=start + rank * row))
