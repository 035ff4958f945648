"""The tensor plans of the merged model: names are mapped, ties resolved, and every adapter tensor is used once."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from sage_doctor.facts.adapter_coverage import (
    HEADED,
    absent_outer,
    absent_rows,
    absent_saved,
    lacks_head,
    lacks_tied,
    uncovered_modules,
    unfit_targets,
)
from sage_doctor.facts.adapters import lora_tensors
from sage_doctor.facts.base_fit import excluded
from sage_doctor.facts.config import label_count, read_config_facts
from sage_doctor.facts.embeddings import OUTPUT_NAMES
from sage_doctor.facts.library_source import model_types
from sage_doctor.facts.model_source import weightless_neighbours
from sage_doctor.merge.adapter import ModuleParts
from sage_doctor.merge.assembly import Assembly, apply_module, base_plans, lookup, needed_names
from sage_doctor.merge.base import BaseModel
from sage_doctor.merge.edits import TensorLocation, TensorPlan
from sage_doctor.merge.expert_blocks import apply_parameters, of_parameters, owner_of
from sage_doctor.merge.library_names import library_view
from sage_doctor.merge.merge_rules import MergeRules, by_peft
from sage_doctor.merge.names import NameMap, join
from sage_doctor.merge.precision import require_floats, with_float32_kept
from sage_doctor.merge.quantization import without_quantization
from sage_doctor.merge.refusal import MergeRefused, refused, unmatched
from sage_doctor.merge.ties import INPUT_NAMES, find_tie, require_one_reader, require_one_weight, resolve_tie
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.system.own_python import own_packages
from sage_doctor.text import join_limited, printable


@dataclass(kw_only=True)
class Built:
    """The tensor plans by stored name, the rule that mapped the names, and what changes in the base's configuration.

    `uncovered` are the modules that the adapter's configuration targets and for which it holds no tensors.
    """

    plans: dict[str, TensorPlan]
    names_why: str
    uncovered: tuple[str, ...]
    untied: bool
    vocabulary: int | None


def build_on(
    base: BaseModel, modules: Mapping[str, ModuleParts], rules: MergeRules, dtype: str | None, *, dequantize: bool
) -> tuple[BaseModel, Built]:
    """Return the base that is merged into, dequantised where that is asked for, and the merged model's tensors.

    Without being asked, a quantised base is merged into only where nothing of what changes is quantised. Raises
    `MergeRefused`.
    """
    form = base.quantization
    if form is None:
        return base, build(base, modules, rules, dtype)
    if dequantize:
        if form.obstacle:
            raise form.refusal()
        plain = replace(base, tensors=form.plain, config=without_quantization(base.config))
        return plain, build(plain, modules, rules, dtype)
    try:
        built = build(base, modules, rules, None)
    except MergeRefused as refusal:
        raise form.needs_dequantize() from refusal
    changed = {n for n, p in built.plans.items() if p.computed or p.source != base.tensors.get(n)}
    if dtype is not None or changed & form.quantized or not form.quantized:
        raise form.needs_dequantize()
    return replace(base, quantization=None), built


def build(base: BaseModel, modules: Mapping[str, ModuleParts], rules: MergeRules, dtype: str | None) -> Built:
    """Return the merged model's tensors. Raises `MergeRefused` if an adapter tensor was not used."""
    stored = {n: p.tensor for n, p in base.tensors.items()}
    custom = bool(base.config.get("auto_map"))
    total = {p.tensor.name for m in modules.values() for p in m.parts.values()}
    assembly = Assembly(plans=base_plans(base, dtype), unused=set(total))
    rules = rules.for_base(base.config)
    rules.ask([*modules, *map(owner_of, modules)])
    ties = functools.cache(lambda: _ties(base, custom=custom))
    tie = find_tie(base, modules, ties)
    require_one_reader(modules, tie)
    if tie is not None and lacks_tied(
        rules.values, [n for n, m in modules.items() if m.parts.keys() - {"rows", "bias"}]
    ):
        raise unmatched(
            "ensure_weight_tying asks for the embedding and the output layer, and the adapter has tensors for one of "
            "them: PEFT does not load the other",
            "Restore the configuration that belongs to these weights.",
        )
    aliases: dict[str, str] = {}
    layers = of_parameters(modules, rules)
    wrapped = {m.name for found in layers.values() for m in found}
    plain = {n: m for n, m in modules.items() if m.name not in wrapped}
    if tie is not None and tie.touched:
        require_one_weight(tie, base)
        aliases = resolve_tie(tie, assembly, rules, ties)
        plain = {n: m for n, m in plain.items() if n not in aliases}
    names = join(stored, needed_names(plain))
    if names is None:
        _require_sizes(base, modules)
        names = _by_library(base, plain, rules, custom=custom)
    kinds = list(model_types(base.config))
    running: dict[str, str] = {}
    for module in modules.values():
        if not module.parts or module.name in wrapped:
            continue  # the second copy of a shared tensor, or already applied
        own_bias = f"{module.name}.bias" if f"{module.name}.bias" in stored else None
        weight, bias = (aliases[module.name], own_bias) if module.name in aliases else lookup(names, module)
        if bias is None and module.parts.keys() & {"bias", "B.bias"}:
            raise refused(
                f"the adapter changes a bias of {printable(module.name)}, and the base stores none under that name: it "
                "has none there, or shares it with another layer"
            )
        apply_module(assembly, module, weight, bias, rules, kinds)
        running |= {weight: f"{module.name}.weight", bias or "": f"{module.name}.bias"}
    uncovered = _uncovered(base, modules, wrapped, names, aliases, rules, tied=tie is not None)
    if layers:
        blocks = library_view(base.path, stored, custom_code=custom).blocks
        rules.ask(blocks)
        uncovered += [n for n in blocks if rules.targets_parameter(n) and n.rpartition(".")[0] not in layers]
        for owner, found in layers.items():
            apply_parameters(assembly, owner, found, blocks, rules)
    if assembly.unused:
        raise unmatched(
            f"{len(assembly.unused)} of {len(total)} tensors were not applied: {join_limited(sorted(assembly.unused))}"
        )
    plans = with_float32_kept(assembly.plans, running, base.config)
    require_floats(plans.values())
    return Built(
        plans=plans,
        names_why=names.rule,
        uncovered=tuple(uncovered),
        untied=tie is not None and tie.touched and len(plans) > len(base.tensors),
        vocabulary=_vocabulary(base, plans),
    )


def _require_sizes(base: BaseModel, modules: Mapping[str, ModuleParts]) -> None:
    """Raise `MergeRefused` where sizes exclude the base: that is known long before the library is imported."""
    loras = lora_tensors([p.tensor for m in modules.values() for p in m.parts.values()])
    why = excluded(base.config, {n: p.tensor for n, p in base.tensors.items()}, loras)
    if why:
        raise unmatched(
            f"{printable(str(base.path))} cannot be the base of this adapter: {why}",
            "Take the base that this adapter was trained on (--base).",
        )


def _uncovered(
    base: BaseModel,
    modules: Mapping[str, ModuleParts],
    wrapped: Collection[str],
    names: NameMap,
    aliases: Mapping[str, str],
    rules: MergeRules,
    *,
    tied: bool,
) -> list[str]:
    """Return the modules that are targeted and have no tensors. Raises `MergeRefused` where PEFT cannot load that."""
    held: dict[str, str | None] = {}
    for module in modules.values():
        stored = aliases.get(module.name) or names.find(f"{module.name}.weight")
        if module.name not in wrapped and stored is not None and module.parts.keys() & {"A", "embedding_A"}:
            held[module.name] = stored.removesuffix(".weight")
    shapes = {n.removesuffix(".weight"): p.shape for n, p in base.tensors.items() if n.endswith(".weight")}
    whole = [n for n, m in modules.items() if m.parts.keys() & {"weight", "bias"}]
    lost = absent_saved(rules.values, whole, shapes, tied=tied)
    if lost:
        raise unmatched(
            f"adapter_config.json saves {join_limited(lost)} whole (modules_to_save), and the adapter has no tensors "
            "for it: PEFT fails to load it",
            "Copy adapter_model.safetensors from the training run again; a merge without it would be another model.",
        )
    lost = absent_rows(rules.values, [n for n, m in modules.items() if "rows" in m.parts], tied=tied)
    if lost:
        raise unmatched(
            f"trainable_token_indices names tokens of {join_limited(lost)}, and the adapter has no rows for it: PEFT "
            "fails to load it",
            "Restore the configuration that belongs to these weights.",
        )
    if lacks_head(rules.values, whole, shapes, read_config_facts(base.config).architectures):
        raise unmatched(
            f"neither the adapter nor its base has the head of its task ({printable(str(rules.values['task_type']))})",
            "Save the adapter again with its head in modules_to_save; a merge without it would be another model.",
        )
    bare = {k: v for kind in model_types(base.config) for k, v in weightless_neighbours(own_packages(), kind).items()}
    unfit = unfit_targets(rules.values, rules.patterns, held, shapes, base.config, bare)
    if unfit:
        raise refused(
            f"adapter_config.json targets {join_limited(unfit, most=3)}, which PEFT has no LoRA for: it refuses to "
            "load the adapter",
            "Restore the configuration that belongs to these weights: its target_modules name linear layers and "
            "embeddings, not what holds them or stands between them.",
        )
    lost = uncovered_modules(rules.values, rules.patterns, held, shapes, base.config)
    return [*lost, *absent_outer(rules.values, rules.patterns, modules, shapes, tied=tied)]


def _by_library(base: BaseModel, modules: Mapping[str, ModuleParts], rules: MergeRules, *, custom: bool) -> NameMap:
    """Return the library's name map. Raises `MergeRefused` if it does not find every name either."""
    stored = {n: p.tensor for n, p in base.tensors.items()}
    wanted = needed_names(modules)
    lost: list[str] = []
    for causal in (False, True) if rules.values.get("task_type") == "CAUSAL_LM" else (False,):
        try:
            view = library_view(base.path, stored, custom_code=custom, causal=causal)
        except MergeRefused:
            if not lost:
                raise
            break
        names = view.names(stored)
        missing = [n for n in wanted if names.find(n) is None]
        if not missing:
            return names
        if view.running.issuperset(wanted):
            raise refused(
                f"{len(missing)} of {len(wanted)} tensors that the adapter changes are not in the base, or not stored "
                f"one to one: the library splits, joins or ties them as it loads ({join_limited(missing, most=3)})"
            )
        lost = lost or missing
    if all("B.bias" in modules[n.rpartition(".")[0]].parts and n.endswith(".bias") for n in lost):
        raise refused(
            f"the adapter adds a bias to {len(lost)} layers of its base (lora_bias), which have none to add it to: "
            f"{join_limited(lost, most=3)}; PEFT does not merge it either"
        )
    heads = sorted(n for n, m in modules.items() if "weight" in m.parts and m.parts.keys() <= {"weight", "bias"})
    heads = [n for n in heads if f"{n}.weight" in lost and rules.values.get("task_type") in HEADED]
    if heads and all(n.rpartition(".")[0] in heads for n in lost):
        head = modules[heads[0]].parts["weight"]
        raise refused(
            f"{join_limited(heads)} is the head of the adapter's task ({rules.values['task_type']}), and the base has "
            "none: the merged model would be of another class than its base",
            "Run sessions on base and adapter together, or merge it with PEFT:\n"
            + by_peft(rules.values, head.path.parent, _labels(base, head)),
        )
    raise unmatched(
        f"{len(lost)} of {len(wanted)} tensors that the adapter changes have no counterpart in the base: "
        f"{join_limited(lost, most=3)}",
        _other_names(lost, stored),
    )


def _labels(base: BaseModel, head: TensorLocation) -> str:
    """Return what a load has to be told where the head is for another number of labels than the base has."""
    rows = head.shape[0]
    return f", num_labels={rows}" if rows != label_count(base.config) else ""


def _other_names(lost: list[str], stored: Mapping[str, Tensor]) -> str:
    """Return what to do about names that the base lacks: another base helps only where the model is another one."""
    leaves = {n.removesuffix(".weight").removesuffix(".bias").rpartition(".")[2] for n in stored}
    known = [n for n in lost if n.removesuffix(".weight").removesuffix(".bias").rpartition(".")[2] in leaves]
    if known:
        return (
            "The base has such modules under other names or in other layers: save the adapter again with "
            "PeftModel.save_pretrained() where it was trained, or take the base of that training."
        )
    return "Take the base that this adapter was trained on (--base DIR); this one has no such modules."


def _ties(base: BaseModel, *, custom: bool) -> dict[str, str | None]:
    """Return what the base shares, by running name, and the stored tensor that it shares: None if it is unknown."""
    stored = {n: p.tensor for n, p in base.tensors.items()}
    view = library_view(base.path, stored, custom_code=custom)
    return {n: view.stored_of.get(s) for n, s in view.ties.items()}


def _vocabulary(base: BaseModel, plans: Mapping[str, TensorPlan]) -> int | None:
    """Return the new number of rows where the adapter brings embeddings of another size.

    Raises `MergeRefused` where two of them disagree, or it is not an embedding that changes its size.
    """
    changed = {n: p.shape[0] for n, p in plans.items() if n in base.tensors and p.shape != base.tensors[n].shape}
    sizes = set(changed.values())
    if not sizes:
        return None
    rest = [
        n
        for n in plans
        if n not in changed and n.removesuffix(".weight").rpartition(".")[2] in INPUT_NAMES | OUTPUT_NAMES
    ]
    if len(sizes) > 1 or any(plans[n].shape[0] not in sizes for n in rest):
        raise unmatched(
            f"the adapter resizes {join_limited(sorted(changed))} but not {join_limited(rest)}, which must match"
        )
    return sizes.pop()
