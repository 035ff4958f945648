"""Loading, in the sessions' interpreter, as a session would."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sage_doctor.check import Finding, Fix, Notes, check, finding
from sage_doctor.errors import Blocked, NotApplicable
from sage_doctor.facts.model_source import is_class_of_another_library
from sage_doctor.findings.accelerator import LOOK_AT_TORCH
from sage_doctor.findings.budgets import over
from sage_doctor.findings.environment import blocking_code
from sage_doctor.findings.failed_loads import ended_badly, in_generation, own_code_refused
from sage_doctor.findings.missing_base import other_base
from sage_doctor.findings.restore import bring_back
from sage_doctor.report import NOTHING_TO_DO
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.service import why_not_loaded
from sage_doctor.suite.model_prober import ModelProber
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.probe.outcome import KeyList, Keys, ProbeOutcome

ORDER = 160  # of the check files: causes before consequences

GIGABYTE = 1_000_000_000
# PEFT's words where it has no place for an adapter.
_NOT_SUPPORTED = "is not supported. Currently, only the following modules are supported"
_NOT_FOUND = "not found in the base model. Please check the target modules"


@check("load", after=["*"])
def check_loads(model: Model, host: Host, probe: ModelProber, notes: Notes) -> Iterator[Finding]:
    """The model loads in the sessions' interpreter, within its budget."""
    reason = why_not_loaded(model)
    if reason is not None:  # what loading takes does not matter then
        raise NotApplicable(reason)
    blocked = blocking_code(host, model) or probe.broken_device(model)
    if blocked is not None:
        raise Blocked(blocked)
    outcome = probe(model)
    if outcome.refused:
        raise NotApplicable("its names or shapes do not fit, so its weights were not read")
    if not outcome.completed and not in_generation(outcome):
        ended = own_code_refused(model, outcome) or ended_badly(model, outcome, "load")
        if ended.code == "load-failed" and model.kind == "adapter":
            ended = _without_place(model, ended)
        yield ended
        return
    loaded = outcome.loaded
    if loaded is None:
        raise NotApplicable("the probe did not report the load")
    budget = model.spec.budget if model.spec is not None else None
    notes.measure("load_s", loaded.seconds, "s", budget.load_s if budget else None)
    if budget is not None and budget.load_s is not None and loaded.seconds > budget.load_s:
        yield over("load-over-budget", "load_s", loaded.seconds, budget.load_s, "s")
    if outcome.memory is not None:
        peak = max(outcome.memory.peak_resident_bytes, outcome.memory.peak_device_bytes)
        limit = budget.peak_memory_gb if budget else None
        notes.measure("peak_memory_gb", peak / GIGABYTE, "GB", limit)
        if limit is not None and peak > limit * GIGABYTE:
            yield over("memory-over-budget", "peak_memory_gb", peak / GIGABYTE, limit, "GB")


def _without_place(model: Model, ended: Finding) -> Finding:
    """Return the finding of a load that failed because PEFT found no place for the adapter, or the one given."""
    if _NOT_FOUND in ended.message:
        found = finding("adapter-targets-missing", ended.message, evidence=ended.evidence, fix=other_base(model))
    elif _NOT_SUPPORTED in ended.message:
        found = ended
    else:
        return ended
    from sage_doctor.findings.renamed_modules import merge_instead, names_of_stored  # all of the merge

    return dataclasses.replace(found, fix=merge_instead(model)) if names_of_stored(model) else found


@check("load", after=["*", "check_loads"])
def check_keys(model: Model, probe: ModelProber) -> Iterator[Finding]:
    """Every parameter came from the weights, and every weight went into a parameter."""
    outcome = probe(model)
    keys = outcome.keys
    if keys is None:
        raise NotApplicable("the probe did not report the keys")
    where = "the base's weights" if model.kind == "adapter" else "the weights"
    if keys.mismatched_total:
        first = keys.mismatched[0] if keys.mismatched else None
        shown = (
            f": {printable(first.name)} is {list(first.on_disk)} on disk and {list(first.in_model)} in the model"
            if first
            else ""
        )
        yield finding(
            "load-keys-mismatched",
            f"{keys.mismatched_total} tensor(s) of {where} have another shape than the model{shown}",
            evidence={"tensors": [m.name for m in keys.mismatched]},
            fix=_belonging_together(model),
        )
    if keys.missing.total:
        yield _missing(model, keys, where)
    elif keys.unexpected.total:  # beside missing ones it is the other half of one cause
        yield finding(
            "weights-keys-unexpected",
            f"{keys.unexpected.total} tensor(s) of {where} match no parameter: "
            f"{join_limited(list(keys.unexpected.names), most=3)}",
            severity="info" if _of_another_library(model) or _predict_further(model, keys) else None,
            evidence=_evidence(keys.unexpected, keys.model_class),
            fix=Fix(
                summary="Harmless if they are parts that this architecture does not use; otherwise the weights are of "
                "another model."
            ),
        )
    yield from _unused(model, keys, where)
    yield from _adapter_keys(model, outcome)


def _of_another_library(model: Model) -> bool:
    """Return whether config.json names a class that transformers does not have, as ColBERT's does."""
    named, kind = next(iter(model.config.architectures), ""), model.config.model_type or ""
    return bool(named) and is_class_of_another_library(model.host.session.site_packages, kind, named)


def _predict_further(model: Model, keys: Keys) -> bool:
    """Return whether what is left over is the layers behind the counted ones, which predict further tokens."""
    counted = range(model.config.layers or 0, (model.config.layers or 0) + model.config.extra_layers)
    layers = [re.search(r"(?:^|\.)layers\.(\d{1,9})\.", n) for n in keys.unexpected.names]
    return all(found is not None and int(found[1]) in counted for found in layers)


def _belonging_together(model: Model) -> Fix:
    """Return the fix of weights and a config.json that do not fit: nobody knows yet which of the two was replaced."""
    back = bring_back(model, ["config.json"])
    summary = (
        f"config.json and the weights are not of one model: find out which of the two was replaced. {back.summary}"
    )
    return dataclasses.replace(back, summary=summary)


def _missing(model: Model, keys: Keys, where: str) -> Finding:
    names = join_limited(list(keys.missing.names), most=3)
    owner = model.base.model if model.kind == "adapter" else model
    own = next(iter(owner.config.architectures), "") if owner is not None else ""
    fix = Fix(
        summary="Save the weights again with save_pretrained; if that does not help, they are for another "
        "architecture. " + bring_back(model, ["model.safetensors"]).summary,
    )
    told = f"{keys.missing.total} parameter(s) are not in {where}: {names}"
    evidence = _evidence(keys.missing, keys.model_class)
    if keys.unexpected.total:
        others = join_limited(list(keys.unexpected.names), most=3)
        told += f"; {keys.unexpected.total} tensor(s) there match no parameter: {others}"
        evidence["unexpected"] = list(keys.unexpected.names)
    if own.endswith("Model") and own != keys.model_class:
        told = (
            f"{where} are those of {printable(own)}, which has no head, and a session that asks it loads "
            f"{printable(keys.model_class)}: {names} would be random numbers"
        )
        fix = Fix(
            summary=f"Save the model from {keys.model_class}, with its head. A model that is only meant to embed needs "
            "no prompt in the manifest."
        )
    return finding("weights-keys-missing", told, evidence=evidence, fix=fix)


def _unused(model: Model, keys: Keys, where: str) -> Iterator[Finding]:
    """Tell of heads that are left over and poolers that are not there: nothing a session would notice."""
    fix = Fix(summary=f"{NOTHING_TO_DO}, unless a session uses these parts.")
    if keys.spare.total and model.kind != "adapter":
        yield finding(
            "weights-keys-unexpected",
            f"{keys.spare.total} tensor(s) of {where} are parts that {printable(keys.model_class)} does not use: "
            f"{join_limited(list(keys.spare.names), most=3)}",
            severity="info",
            evidence=_evidence(keys.spare, keys.model_class),
            fix=fix,
        )
    if keys.idle.total:
        yield finding(
            "weights-keys-missing",
            f"the pooler is not in {where} and consists of random numbers: {printable(keys.model_class)} works without "
            f"it ({join_limited(list(keys.idle.names), most=2)})",
            severity="info",
            evidence=_evidence(keys.idle, keys.model_class),
            fix=fix,
        )


def _adapter_keys(model: Model, outcome: ProbeOutcome) -> Iterator[Finding]:
    adapter = outcome.adapter
    if adapter is None:
        return
    lost = adapter.missing if adapter.missing.total else adapter.unexpected
    if lost.total:
        from sage_doctor.findings.renamed_modules import merge_instead, names_of_stored  # all of the merge

        renamed = any(".lora_" in n for n in adapter.unexpected.names) and names_of_stored(model)
        spare = not adapter.missing.total and not any(n.startswith("base_model.") for n in lost.names)
        what = "were not loaded from its file" if adapter.missing.total else "in its file were not used"
        yield finding(
            "adapter-keys-unmatched",
            f"{lost.total} of the adapter's tensors {what}: {join_limited(list(lost.names), most=3)}",
            severity="warning" if spare else None,  # a value head, say, which is no part of the model
            evidence={"missing": list(adapter.missing.names), "unexpected": list(adapter.unexpected.names)},
            fix=merge_instead(model)
            if renamed
            else Fix(
                summary="Check that adapter, base and configuration belong together. If names were changed on saving, "
                "save the adapter again with PeftModel.save_pretrained.",
            ),
        )


def _evidence(keys: KeyList, model_class: str) -> dict[str, object]:
    return {"tensors": list(keys.names), "count": keys.total, "model_class": model_class}


@check("load", after=["*", "check_loads"])
def check_placement(model: Model, host: Host, probe: ModelProber) -> Iterator[Finding]:
    """Every parameter is in memory, on the device that sessions run on."""
    outcome = probe(model)
    loaded, device = outcome.loaded, outcome.device
    if loaded is None:
        raise NotApplicable("the probe did not report the parameters")
    if loaded.on_meta.total:
        yield finding(
            "params-not-materialised",
            f"{loaded.on_meta.total} parameter(s) were not loaded into memory: "
            f"{join_limited(list(loaded.on_meta.names), most=3)}",
            evidence={"parameters": list(loaded.on_meta.names)},
            fix=bring_back(model, ["model.safetensors"]),
        )
        return
    wanted = host.accelerator
    declared = model.spec.device if model.spec is not None else None
    if wanted in ("cuda", "mps") and declared is None and device is not None and not device.used.startswith(wanted):
        yield finding(
            "accelerator-fallback",
            f"sessions must run on {wanted}, but this model would run on {printable(device.used)}"
            + (f" ({printable(device.problem)})" if device.problem else ""),
            evidence={"accelerator": wanted, "used": device.used, "cuda_build": device.cuda_build},
            fix=Fix(
                summary="Find out why torch does not see the device: driver, device nodes, the build of torch.",
                commands=(f"{shell_quote(host.session.executable)} -c {shell_quote(LOOK_AT_TORCH)}",),
            ),
        )
    elif outcome.wrong_device_count:
        yield finding(
            "params-on-wrong-device",
            f"{outcome.wrong_device_count} parameter tensor(s) are not on {printable(device.used if device else '?')}",
            evidence={"devices": dict(loaded.devices)},
            fix=Fix(
                summary=f"Load it without a device map, or free memory on the device: the model has "
                f"{loaded.parameters:,} parameters."
            ),
        )
