"""An adapter's names against those that the session's class gives to its modules, and who builds that class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.adapter_coverage import auto_peft_class
from sage_doctor.facts.adapters import lora_tensors
from sage_doctor.facts.class_renamings import class_renamings, peft_may_rename, running_name, unconverted_modules
from sage_doctor.facts.library_source import model_types
from sage_doctor.facts.model_source import ModelClass, auto_class, has_auto_class, read_model_class
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, printable

ORDER = 116  # of the check files: causes before consequences

BEFORE = (
    *("check_path", "check_hub", "check_hub_blobs", "check_adapter_config", "check_adapter_weights"),
    *("check_weights_readable", "check_adapter_keys", "check_adapter_patterns", "check_adapter_targets"),
    *("check_adapter_rank", "check_adapter_base", "check_adapter_base_sound", "check_adapter_targets_in_base"),
    *("check_adapter_fits_base", "check_weights_present", "check_config"),
)
CAUSAL = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"
# The Auto mapping that peft's class for a task builds the base with.
OF_TASK = {
    "CAUSAL_LM": CAUSAL,
    "SEQ_2_SEQ_LM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "SEQ_CLS": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "TOKEN_CLS": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "QUESTION_ANS": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "FEATURE_EXTRACTION": "MODEL_MAPPING_NAMES",
}


@check("static", after=BEFORE, kinds=("adapter",))
def check_adapter_modules_run(model: Model) -> Iterator[Finding]:
    """The session's class has the adapter's modules under the names that they had in training."""
    base, sites = model.base.model, model.host.session.site_packages
    if base is None or model.adapter_config.peft_type != "LORA":
        raise NotApplicable("only LoRA on a base that is here is known")
    kind, name = base.config.model_type or "", next(iter(base.config.architectures), "")
    if base.config.auto_map:
        raise NotApplicable("the base brings its own code")
    held = sorted({t.module for t in lora_tensors(model.tensors.values())})
    stored = _stored(base)
    modules = [m for m in held if m in stored]
    joined = unconverted_modules(sites, kind)
    lost = [m for m in modules if joined is not None and joined.search(m)]
    what = f"joined or rebuilt {len(lost)} of its modules"
    how = f"{name} has no layer of its own for {lost[0]}" if lost else ""
    causal = str((model.adapter_config.values or {}).get("task_type")) == "CAUSAL_LM"
    # A session of another class than the base names has other names as well.
    if not lost and not (causal and auto_class(sites, CAUSAL, kind) is not None):
        running = {m: running_name(class_renamings(sites, kind, name), m) for m in modules}
        lost = [m for m, new in running.items() if new != m]
        what = f"renamed {len(lost)} of its modules"
        how = f"{lost[0]} is {running[lost[0]]} in {name}" if lost else ""
    why = f"the library {what} since it was trained, and PEFT does not follow: {printable(how, limit=300)}"
    if not lost:
        lost = _beyond(model, base, held)
        what = "None of its modules is" if len(lost) == len(held) else f"{len(lost)} of its {len(held)} modules are not"
        why = f"{what.lower()} in {printable(name)}, and PEFT ignores what is not: {join_limited(lost, most=2)}"
    if not lost:
        return
    from sage_doctor.findings.renamed_modules import merge_instead, names_of_stored  # all of the merge

    yield finding(
        "adapter-keys-unmatched",
        why,
        evidence={"modules": lost[:50], "count": len(lost), "model_class": name},
        fix=merge_instead(model)
        if names_of_stored(model)
        else Fix(
            summary="Convert it with the tool that it was trained with, or run it with the transformers and the class "
            "of model that it was trained with."
        ),
    )


def _beyond(model: Model, base: Model, modules: Iterable[str]) -> list[str]:
    """Return the modules that no class has which a session would build: by the task, or the base's own."""
    values, kind = model.adapter_config.values or {}, base.config.model_type or ""
    mapping = values.get("auto_mapping")
    named = mapping.get("base_model_class") if isinstance(mapping, dict) else None
    causal = auto_class(model.host.session.site_packages, CAUSAL, kind)
    tasks = {"None": named, "": named, "CAUSAL_LM": causal}
    own, task = next(iter(base.config.architectures), ""), str(values.get("task_type"))
    if task not in tasks or values.get("target_parameters"):
        return []
    classes = [_class(base, name) for name in (own, tasks[task] or own) if isinstance(name, str)]
    return [m for m in modules if all(c is not None and c.lacks(m) for c in classes)]


def _class(base: Model, name: str) -> ModelClass | None:
    """Return a class that a session builds of the base; None where it is unknown, or PEFT may rename for it."""
    sites, types = base.host.session.site_packages, list(model_types(base.config_file.value or {}))
    running = types[:1] if name in base.config.architectures else types[1:] or types
    unsure = any(peft_may_rename(sites, kind, name) for kind in running)
    return None if unsure or not types else read_model_class(sites, types[0], name)


@check("static", after=(*BEFORE, "check_adapter_modules_run"), kinds=("adapter",))
def check_adapter_auto_class(model: Model) -> Iterator[Finding]:
    """Peft's class for the adapter's task builds the base.

    A session that builds the base's own class, and puts the adapter on it, does not need that.
    """
    base, sites, values = model.base.model, model.host.session.site_packages, model.adapter_config.values or {}
    kind, mapping = base.config.model_type if base is not None else None, OF_TASK.get(str(values.get("task_type")))
    if base is None or kind is None or mapping is None or base.config.auto_map:
        raise NotApplicable("only a task and a base that the library knows are compared")
    loader, own = auto_peft_class(values), printable(next(iter(base.config.architectures), "the base's own class"))
    built = auto_class(sites, mapping, kind)
    known = _class(base, built) if built is not None and built not in base.config.architectures else None
    modules = sorted({t.module for t in lora_tensors(model.tensors.values())})
    lost = modules if known is not None and all(known.lacks(m) for m in modules) else []
    if lost and known is not None:
        what = f"builds {known.name}, which has none of its modules ({lost[0]})"
    elif has_auto_class(sites, mapping, kind) is False:
        what = f"does not build a base of type {kind}"
    else:
        return
    yield finding(
        "adapter-auto-class",
        f"{loader}, by its task_type, {printable(what, limit=300)}",
        severity="warning" if lost else None,
        evidence={"task_type": values.get("task_type"), "model_type": kind, "modules": lost[:50]},
        fix=Fix(summary=f"Load the base with {own}, and put the adapter on it with PeftModel.from_pretrained()."),
    )


def _stored(base: Model) -> frozenset[str]:
    return frozenset(n.removesuffix(".weight") for n in base.tensors if n.endswith(".weight"))
