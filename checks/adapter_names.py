"""An adapter's names against those that the session's class gives to its modules."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.adapters import lora_tensors
from sage_doctor.facts.class_renamings import class_renamings, running_name, unconverted_modules
from sage_doctor.facts.model_source import auto_class
from sage_doctor.subjects.model import Model
from sage_doctor.text import printable

ORDER = 116  # of the check files: causes before consequences

BEFORE = (
    *("check_path", "check_hub", "check_hub_blobs", "check_adapter_config", "check_adapter_weights"),
    *("check_weights_readable", "check_adapter_keys", "check_adapter_patterns", "check_adapter_targets"),
    *("check_adapter_rank", "check_adapter_base", "check_adapter_base_sound", "check_adapter_targets_in_base"),
    *("check_adapter_fits_base", "check_weights_present", "check_config"),
)


@check("static", after=BEFORE, kinds=("adapter",))
def check_adapter_modules_run(model: Model) -> Iterator[Finding]:
    """The session's class has the adapter's modules under the names that they had in training."""
    base, sites = model.base.model, model.host.session.site_packages
    if base is None or model.adapter_config.peft_type != "LORA":
        raise NotApplicable("only LoRA on a base that is here is known")
    kind, name = base.config.model_type or "", next(iter(base.config.architectures), "")
    if base.config.auto_map:
        raise NotApplicable("the base brings its own code")
    modules = sorted({t.module for t in lora_tensors(model.tensors.values())} & _stored(base))
    joined = unconverted_modules(sites, kind)
    lost = [m for m in modules if joined is not None and joined.search(m)]
    what = f"joined or rebuilt {len(lost)} of its modules"
    how = f"{name} has no layer of its own for {lost[0]}" if lost else ""
    causal = str((model.adapter_config.values or {}).get("task_type")) == "CAUSAL_LM"
    # A session of another class than the base names has other names as well.
    if not lost and not (causal and auto_class(sites, "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", kind) is not None):
        running = {m: running_name(class_renamings(sites, kind, name), m) for m in modules}
        lost = [m for m, new in running.items() if new != m]
        what = f"renamed {len(lost)} of its modules"
        how = f"{lost[0]} is {running[lost[0]]} in {name}" if lost else ""
    if not lost:
        return
    from sage_doctor.findings.renamed_modules import merge_instead, names_of_stored  # all of the merge

    yield finding(
        "adapter-keys-unmatched",
        f"the library {what} since it was trained, and PEFT does not follow: {printable(how, limit=300)}",
        evidence={"modules": lost[:50], "count": len(lost), "model_class": name},
        fix=merge_instead(model)
        if names_of_stored(model)
        else Fix(summary="Train it again, or run it with the transformers that it was trained with."),
    )


def _stored(base: Model) -> frozenset[str]:
    return frozenset(n.removesuffix(".weight") for n in base.tensors if n.endswith(".weight"))
