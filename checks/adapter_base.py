"""An adapter's tensors against the base: by name, by shape, and where the base ties two layers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.adapter_coverage import is_targeted
from sage_doctor.facts.adapters import (
    UNMERGEABLE,
    LoraTensor,
    adapted_modules,
    lora_tensors,
    rows_trained,
    saved_modules,
)
from sage_doctor.facts.base_modules import BaseModules
from sage_doctor.facts.config import largest_named
from sage_doctor.facts.embeddings import OUTPUT_NAMES, embedding_tensor, vocabulary_layers
from sage_doctor.facts.library_source import (
    default_lora_targets,
    learns_a_prompt,
    renames_tensors,
    renamings,
    tensor_prefix,
)
from sage_doctor.facts.model_source import auto_class, read_model_class
from sage_doctor.findings.adapters import WITH_BASE
from sage_doctor.findings.missing_base import other_base
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, printable, shell_quote

ORDER = 112  # of the check files: causes before consequences

ADAPTER = ("adapter",)
BEFORE = (*WITH_BASE, "check_adapter_targets", "check_adapter_rank")
MATRIX = 2
OF_TASK = {"CAUSAL_LM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"}


@check("static", after=BEFORE, kinds=ADAPTER)
def check_adapter_targets_in_base(model: Model) -> Iterator[Finding]:
    """The base has the modules that the adapter changes."""
    base = _base_with_header(model)
    config = model.adapter_config
    places = model.host.session.site_packages
    kind, chosen = base.config.model_type, config.target_modules is not None or config.target_parameters
    known = default_lora_targets(places) if config.peft_type == "LORA" and not chosen else None
    if known is not None and kind is not None and kind not in known:
        yield finding(
            "adapter-targets-missing",
            f"adapter_config.json names no target_modules, and PEFT has no default for a base of type "
            f"{printable(kind)}",
            evidence={"model_type": kind},
            fix=Fix(summary="Write the names of the modules that it was trained on into target_modules."),
        )
        return
    named = _modules(model)
    modules = BaseModules(base.tensors)
    doubtful = [m for m in named if modules.find(m) is None and not config.adapts_parameters(m)]
    if (config.values or {}).get("layer_replication"):
        return
    values = base.config_file.value or {}
    renamed = renames_tensors(places, values) if doubtful or any(modules.is_outer(m) for m in named) else None
    if not doubtful:
        if renamed is False:
            yield from _of_the_body(model, base, modules, named)
        return
    text = renamings(places, values) if renamed is not False else ""
    most = largest_named(values, ("layer", "depth", "block"))
    lacking = [m for m in doubtful if modules.surely_lacks(m, renamed=renamed, renamings=text, most_layers=most)]
    if lacking:
        misfit = any(not _fits(lora, found.shape) for lora, found in _pairs(model, modules))
        yield _foreign_modules(model, base, modules, lacking, of=len(named), misfit=misfit)


@check("static", after=(*BEFORE, "check_adapter_targets_in_base"), kinds=ADAPTER)
def check_adapter_fits_base(model: Model) -> Iterator[Finding]:
    """The adapter's tensors have the shapes of the base's."""
    base = _base_with_header(model)
    if base.config.quantized:
        raise NotApplicable("the base is quantised: its stored shapes are not those of its modules")
    modules = BaseModules(base.tensors)
    config = model.adapter_config
    prompt = model.tensors.get("prompt_embeddings")
    width = base.config.hidden_size
    if prompt is not None and width and len(prompt.shape) == MATRIX and config.peft_type == "PROMPT_TUNING":
        if prompt.shape[1] != width:
            yield _misfit(model, prompt, f"{base.config.model_type} of hidden size {width}", 1)
        return
    wrong = [(t.module, t.tensor, found) for t, found in _pairs(model, modules) if not _fits(t, found.shape)]
    prefix = tensor_prefix(model.host.session.site_packages, "IA3") if config.peft_type == "IA3" else None
    for module, name in adapted_modules(model.tensors, prefix).items() if prefix else ():
        if (found := modules.find(module)) is not None and len(found.shape) == MATRIX:
            wrong += [] if model.tensors[name].elements in found.shape else [(module, model.tensors[name], found)]
    embeddings = vocabulary_layers(base.tensors)
    for module, tensor in saved_modules(model.tensors.values()).items():
        found = _same_or_tied(modules, module, base)
        if found is not None and (module.rpartition(".")[2] in embeddings or len(tensor.shape) == 1):
            wrong += [] if tensor.shape == found.shape else [(module, tensor, found)]
    if not wrong:
        yield from _rows_beyond(model, base)
        return
    rows = [(t, b) for m, t, b in wrong if m.rpartition(".")[2] in embeddings and _other_rows(t, b)]
    if len(rows) == len(wrong):
        tensor, found = rows[0]
        yield _resized(model, tensor, found, tensor.shape[1] if "embedding_A" in tensor.name else tensor.shape[0])
        return
    module, tensor, found = next(w for w in wrong if (w[1], w[2]) not in rows)
    yield _misfit(model, tensor, f"the base's {printable(found.name)} is {_shape(found.shape)}", len(wrong))


def _of_the_body(model: Model, base: Model, modules: BaseModules, named: Collection[str]) -> Iterator[Finding]:
    """Tell of modules that are named as in the body of the class that a session builds: PEFT finds none of them."""
    mapping = OF_TASK.get(str((model.adapter_config.values or {}).get("task_type")))
    kind, places = base.config.model_type, model.host.session.site_packages
    name = auto_class(places, mapping, kind) if mapping and kind else None
    known = read_model_class(places, kind, name) if kind and name else None
    if known is None or not known.base_prefix:
        return
    within = known.base_parts - (known.parts - known.base_parts) - {known.base_prefix}
    if not all(modules.is_outer(m) and m.split(".")[0] in within for m in named):
        return
    first = next(iter(named))
    config, prefix = model.adapter_config, known.base_prefix
    path = shell_quote(model.path)
    merged = shell_quote(f"{model.path}-merged")
    rename = Fix(
        summary=f"Put '{prefix}.' in front of its modules' names, in its tensors' names and in its configuration."
    )
    merge = Fix(
        summary="Run the merged model: `sage-doctor merge` finds the modules. Or load it as it was trained, with "
        "AutoModel and task_type FEATURE_EXTRACTION.",
        commands=(f"sage-doctor merge {path} --base {shell_quote(base.path)} --out {merged}",),
    )
    yield finding(
        "adapter-keys-unmatched",
        f"its modules are named as in the model without its head ({printable(first)}), and a session of its task "
        f"builds {printable(known.name)}, where they lie below '{known.base_prefix}.'",
        evidence={"modules": list(named)[:50], "count": len(named), "base": str(base.path)},
        fix=merge if all(is_targeted(config.values or {}, config.patterns, m) for m in named) else rename,
    )


def _base_with_header(model: Model) -> Model:
    base = model.base.model
    if model.adapter_weights.pickle:
        raise NotApplicable("the weights are a pickle, which is not opened")
    if base is None or base.weights.form not in ("single", "sharded"):
        raise NotApplicable("the base has no safetensors header to compare with")
    return base


def _modules(model: Model) -> Mapping[str, str]:
    """Return the modules that the adapter changes, and the name of one tensor of each."""
    kind = model.adapter_config.peft_type or ""
    if kind == "LORA":
        return {t.module: t.tensor.name for t in lora_tensors(model.tensors.values())}
    places = model.host.session.site_packages
    changes = kind and kind not in UNMERGEABLE and not learns_a_prompt(places, kind)
    prefix = tensor_prefix(places, kind) if changes else None
    if prefix is None:
        raise NotApplicable("the names of this type's tensors are not known here")
    return adapted_modules(model.tensors, prefix)


def _pairs(model: Model, modules: BaseModules) -> Iterator[tuple[LoraTensor, Tensor]]:
    """Yield the adapter's LoRA matrices and the base's weight of each."""
    config = model.adapter_config
    for lora in lora_tensors(model.tensors.values()) if config.peft_type == "LORA" else ():
        if not config.adapts_parameters(lora.module) and (found := modules.find(lora.module)) is not None:
            yield lora, found


def _misfit(model: Model, tensor: Tensor, what: str, count: int) -> Finding:
    return finding(
        "adapter-shape-mismatch",
        f"{printable(tensor.name)} is {_shape(tensor.shape)}, {what}"
        + (f" ({count} tensors in all)" if count > 1 else ""),
        evidence={"tensors": [tensor.name], "count": count, "base": str(model.base.model and model.base.model.path)},
        fix=other_base(model),
    )


def _fits(lora: LoraTensor, base: tuple[int, ...]) -> bool:
    """Whether a LoRA matrix fits a weight. GPT-2's Conv1D stores its weight transposed, so either side may match."""
    shape = lora.tensor.shape
    if len(shape) != MATRIX or len(base) != MATRIX:
        return True
    free = shape[1] if lora.part in ("A", "embedding_A") else shape[0]
    return free in base


def _same_or_tied(modules: BaseModules, module: str, base: Model) -> Tensor | None:
    """Return the base's tensor of an embedding or output layer; where the latter is not stored, it is the former."""
    found = modules.find(module)
    if found is None and module.rpartition(".")[2] in OUTPUT_NAMES and base.config.tied_embeddings is not False:
        return embedding_tensor(base.tensors)
    return found


def _other_rows(tensor: Tensor, found: Tensor) -> bool:
    """Whether a tensor differs from the base's in the number of tokens only."""
    return len(tensor.shape) == len(found.shape) == MATRIX and (
        tensor.shape[1] == found.shape[1] or ".lora_" in tensor.name
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)


def _foreign_modules(
    model: Model, base: Model, modules: BaseModules, names: Sequence[str], *, of: int, misfit: bool
) -> Finding:
    """Return the finding for modules that the base surely lacks. The adapter has `of` in all.

    `misfit` says that others do not have the base's shapes, which PEFT would complain about first.
    """
    evidence = {"modules": list(names[:50]), "count": len(names), "base": str(base.path)}
    leaves = sorted({n.rpartition(".")[2] for n in names})
    layers = next((count for n in names if (count := modules.beyond(n)) is not None), None)
    if layers is not None:
        beyond = next(n for n in names if modules.beyond(n) is not None)
        what = f"the base has {layers} layers, and {len(names)} of the adapter's {of} modules are beyond them"
        code = "adapter-shape-mismatch" if misfit else "adapter-keys-unmatched"
        return finding(code, f"{what}: {printable(beyond)}", evidence=evidence, fix=other_base(model))
    unknown = [leaf for leaf in leaves if leaf not in modules.parts]
    if len(names) == of and unknown:
        return finding(
            "adapter-targets-missing",
            f"the base has no modules {join_limited(unknown)}",
            evidence={**evidence, "targets": unknown[:50], "base_has": sorted(modules.leaves)[:50]},
            fix=other_base(model),
        )
    whose = "none of the adapter's modules" if len(names) == of else f"{of - len(names)} of the adapter's {of} modules"
    stored = modules.example(names[0])
    there = f"; the base has {printable(stored)}" if stored else ""
    return finding(
        "adapter-keys-unmatched",
        f"the base has {whose}; it lacks {join_limited(list(names), most=2)}{there}",
        evidence=evidence,
        fix=Fix(
            summary="If names were changed on saving, save the adapter again with PeftModel.save_pretrained(). "
            + other_base(model).summary
        ),
    )


def _rows_beyond(model: Model, base: Model) -> Iterator[Finding]:
    """Tell of trained rows that the base's embedding does not have, where the adapter holds no embedding of its own."""
    rows, found = rows_trained(model.adapter_config.values or {}), embedding_tensor(base.tensors)
    tensor = next((t for n, t in model.tensors.items() if "trainable_tokens_delta" in n), None)
    if tensor is not None and found is not None and rows > found.shape[0]:
        yield _resized(model, tensor, found, rows, whole=False)


def _resized(model: Model, tensor: Tensor, found: Tensor, rows: int, *, whole: bool = True) -> Finding:
    """Return the finding for an embedding or output layer of another number of tokens than the base has.

    `whole` says that the adapter holds all of its rows, so that a merge can take them.
    """
    have = found.shape[0]
    words = "tokens were added in training" if rows > have else "the vocabulary was cut in training"
    own = model.tokenizer.highest_id
    loads = own is not None and own + 1 == rows
    merged = shell_quote(f"{model.path}-merged")
    alone = " AutoPeftModel does that by itself, by the tokenizer beside the adapter." if loads else ""
    return finding(
        "adapter-shape-mismatch",
        f"{printable(tensor.name)} {'has' if whole else 'is for'} {rows} rows, the base's {printable(found.name)} has "
        f"{have}: {words}",
        severity="warning" if loads else None,
        evidence={"tensors": [tensor.name], "rows": rows, "base_rows": have},
        fix=Fix(
            summary=f"Call resize_token_embeddings({rows}) on the base before the adapter is put on it"
            + (", or merge the two." if whole else ".")
            + alone,
            commands=(f"sage-doctor merge {shell_quote(model.path)} --out {merged}",) if whole else (),
        ),
    )
