"""Whether an adapter has tensors for all that its configuration names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.adapter_coverage import (
    absent_outer,
    absent_parts,
    absent_rows,
    absent_saved,
    auto_peft_class,
    is_targeted,
    lacks_head,
    lacks_tied,
    uncovered_modules,
    unfit_targets,
    with_default_targets,
)
from sage_doctor.facts.adapter_patterns import AdapterPatterns
from sage_doctor.facts.adapters import PREFIX, lora_tensors, saved_modules
from sage_doctor.facts.base_modules import BaseModules
from sage_doctor.facts.config import label_count
from sage_doctor.facts.library_source import model_types
from sage_doctor.facts.model_source import weightless_neighbours
from sage_doctor.findings.adapters import WITH_BASE
from sage_doctor.findings.restore import bring_back
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, printable

ORDER = 114  # of the check files: causes before consequences

ADAPTER = ("adapter",)
# Tensors that are no module's whole weight, or one that a load does not look for.
_OF_PARTS = re.compile(r"\.(?:lora_\w+|token_adapter|original_module|modules_to_save(?:\.[^.]+)?)$")
OF_LABELS = ("SEQ_CLS", "TOKEN_CLS")
COMPLETE = "Copy the complete adapter from its training run; one process of several may have saved only its part. "
BEFORE = (
    *WITH_BASE,
    "check_adapter_targets",
    "check_adapter_rank",
    "check_adapter_targets_in_base",
    "check_adapter_fits_base",
)


@check("static", after=BEFORE, kinds=ADAPTER)
def check_adapter_complete(model: Model) -> Iterator[Finding]:
    """The adapter has tensors for all modules that its configuration names."""
    base, config, places = model.base.model, model.adapter_config, model.host.session.site_packages
    if config.peft_type != "LORA" or model.adapter_weights.pickle:
        raise NotApplicable("only LoRA's tensors are known here")
    if base is None or base.weights.form not in ("single", "sharded"):
        raise NotApplicable("the base has no safetensors header to compare with")
    values = with_default_targets(config.values or {}, places, base.config.model_type)
    patterns = config.patterns if values is config.values else AdapterPatterns(values)
    parts: dict[str, set[str]] = {}
    for lora in lora_tensors(model.tensors.values()):
        parts.setdefault(lora.module, set()).add(lora.part)
    # The first that is found is the reason of those after it.
    yield from islice(
        chain(_not_read(model, values, patterns, parts), _missing(model, base, values, patterns, parts)), 1
    )


def _not_read(
    model: Model, values: Mapping[str, Any], patterns: AdapterPatterns, parts: Mapping[str, set[str]]
) -> Iterator[Finding]:
    """Tell of tensors without those that they belong to, and of what PEFT does not choose by itself."""
    lost = absent_parts(values, parts)
    if lost:
        yield _incomplete(model, lost, f"{len(lost)} of its tensors are missing beside others of the same modules")
    loose = [m for m in parts if not is_targeted(values, patterns, m)]
    if model.adapter_config.target_modules is None and loose:
        why = "adapter_config.json names no target_modules, and PEFT does not choose these for this base by itself"
        yield _incomplete(model, loose, why, "Write the modules that it was trained on into target_modules. ")


def _missing(
    model: Model, base: Model, values: Mapping[str, Any], patterns: AdapterPatterns, parts: Mapping[str, set[str]]
) -> Iterator[Finding]:
    """Tell of what the configuration names and the adapter does not hold, or no adapter can."""
    stored = {n.removesuffix(".weight"): t.shape for n, t in base.tensors.items() if n.endswith(".weight")}
    own = {n.removeprefix(PREFIX).rpartition(".")[0] for n in model.tensors}
    held = {n for n in own if not _OF_PARTS.search(n)}
    if lacks_head(values, saved_modules(model.tensors.values()), stored, base.config.architectures):
        task = printable(str(values.get("task_type")))
        why = (
            f"neither the adapter nor its base has the head of its task ({task}): no load has more than random numbers"
        )
        yield _incomplete(model, [], why, "Save it again with its head (score or classifier) in modules_to_save. ")
    tied = base.config.tied_embeddings is not False
    if base.config.tied_embeddings and lacks_tied(values, [*parts, *held]):
        why = "ensure_weight_tying asks for the embedding and the output layer, and it has tensors for one of them"
        yield _incomplete(model, [], why)
    lost = absent_saved(values, held, stored, tied=tied)
    if lost:
        yield _incomplete(model, lost, "modules_to_save names what it has no tensors for, and PEFT fails to load that")
    rows = [n.removesuffix(".token_adapter") for n in own if f"{PREFIX}{n}.trainable_tokens_delta" in model.tensors]
    lost = absent_rows(values, rows, tied=tied)
    if lost:
        why = "trainable_token_indices names what it has no rows for, and PEFT fails to load it"
        yield _incomplete(model, lost, why)
    modules, places, configured = (
        BaseModules(base.tensors),
        base.host.session.site_packages,
        base.config_file.value or {},
    )
    joined = {m: t.name.removesuffix(".weight") if (t := modules.find(m)) is not None else None for m in parts}
    bare = {k: v for t in model_types(configured) for k, v in weightless_neighbours(places, t).items()}
    unfit = unfit_targets(values, patterns, joined, stored, configured, bare)
    if unfit:
        yield _unfit(model, unfit)
    lost = uncovered_modules(values, patterns, joined, stored, configured)
    saved = values.get("modules_to_save")
    read = {*parts, *(map(str, saved) if isinstance(saved, list) else ())}  # PEFT ignores what is whole and targeted
    lost += absent_outer(values, patterns, read, stored, tied=tied)
    if lost:
        one = len(lost) == 1
        what = "a module that it targets has" if one else f"{len(lost)} modules that it targets have"
        yield _incomplete(model, lost, f"{what} no tensors and {'stays' if one else 'stay'} as in the base")


@check("static", after=(*BEFORE, "check_adapter_complete"), kinds=ADAPTER)
def check_adapter_labels(model: Model) -> Iterator[Finding]:
    """The base's configuration has as many labels as the head that the adapter brings.

    A session that states num_labels loads both; one that leaves it to AutoPeftModel gets the base's own number.
    """
    base, values = model.base.model, model.adapter_config.values or {}
    if base is None or values.get("task_type") not in OF_LABELS:
        raise NotApplicable("only adapters that classify on a base that is here have labels to compare")
    held = saved_modules(model.tensors.values())
    head = next((t for m, t in held.items() if re.search(r"(^|\.)(score|classifier(\.out_proj)?)$", m)), None)
    stated = label_count(base.config_file.value or {})
    if head is None or not head.shape or head.shape[0] == stated:
        return
    labels, loader = head.shape[0], auto_peft_class(values)
    yield finding(
        "adapter-shape-mismatch",
        f"{printable(head.name)} is for {labels} label(s), and the base's configuration has {stated}: "
        f"{loader} refuses it unless it is told the number",
        severity="warning",
        evidence={"tensors": [head.name], "labels": labels, "base_labels": stated},
        fix=Fix(
            summary=f"Load it with the number: {loader}.from_pretrained(…, num_labels={labels}), or "
            f"num_labels={labels} where the base is loaded."
        ),
    )


def _unfit(model: Model, names: list[str]) -> Finding:
    return finding(
        "adapter-targets-missing",
        f"adapter_config.json targets {join_limited(names, most=3)}, which PEFT has no LoRA for: it refuses to load",
        evidence={"modules": names[:50], "count": len(names)},
        fix=Fix(
            summary="target_modules names linear layers and embeddings, not what holds them or stands between them. "
            + bring_back(model, ["adapter_config.json"]).summary,
        ),
    )


def _incomplete(model: Model, names: list[str], why: str, advice: str = "") -> Finding:
    return finding(
        "adapter-keys-unmatched",
        f"{why}: {join_limited(names, most=3)}" if names else why,
        evidence={"missing": names[:50], "count": len(names)},
        fix=Fix(
            summary=(advice or COMPLETE) + bring_back(model, ["adapter_model.safetensors"]).summary,
        ),
    )
