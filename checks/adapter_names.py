"""An adapter's names against those that the session's class gives to its modules."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.adapters import lora_tensors
from sage_doctor.facts.class_renamings import class_renamings, running_name
from sage_doctor.facts.model_source import auto_class
from sage_doctor.subjects.model import Model
from sage_doctor.text import printable

from .adapter_coverage import ADAPTER, WITH_BASE

ORDER = 115  # of the check files: causes before consequences


@check("static", after=WITH_BASE, kinds=ADAPTER)
def check_adapter_modules_run(model: Model) -> Iterator[Finding]:
    """The session's class has the adapter's modules under the names that they had in training."""
    base, sites = model.base.model, model.host.session.site_packages
    values = model.adapter_config.values or {}
    if base is None or model.adapter_config.peft_type != "LORA":
        raise NotApplicable("only LoRA on a base that is here is known")
    kind, name = base.config.model_type or "", next(iter(base.config.architectures), "")
    causal = str(values.get("task_type")) == "CAUSAL_LM"
    if base.config.auto_map or (causal and auto_class(sites, "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", kind) is not None):
        raise NotApplicable("the session's class is another one than the base names")
    renamings = class_renamings(sites, kind, name)
    if not renamings:
        raise NotApplicable("the session's class renames nothing that PEFT does not follow")
    modules = {t.module for t in lora_tensors(model.tensors.values())}
    running = {m: running_name(renamings, m) for m in sorted(modules)}
    lost = [m for m, new in running.items() if new != m and {f"{m}.weight", f"{new}.weight"} & base.tensors.keys()]
    if not lost:
        return
    from sage_doctor.findings.renamed_modules import merge_instead, names_of_stored  # all of the merge

    yield finding(
        "adapter-keys-unmatched",
        f"the library renamed {len(lost)} of its modules since it was trained, and PEFT would leave them as in the "
        f"base: {printable(lost[0], limit=120)} is {printable(running[lost[0]], limit=120)} in {printable(name)}",
        evidence={"modules": lost[:50], "count": len(lost), "model_class": name},
        fix=merge_instead(model)
        if names_of_stored(model)
        else Fix(summary="Save the adapter again with today's names, from the training run's library."),
    )
