"""Copies a model with missing or broken files from another machine of the manifest that has it."""

from __future__ import annotations

from sage_doctor.repairs.backup import OF_WEIGHTS
from sage_doctor.repairs.model_copy import plan_copy
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, repair

OF_OTHERS = (
    "adapter-config-invalid",
    "adapter-config-missing",
    "adapter-weights-empty",
    "adapter-weights-missing",
    "config-invalid",
    "config-missing",
    "config-type-unknown",
    "custom-code-missing",
    "module-missing",
    "processor-missing",
    "tokenizer-invalid",
    "tokenizer-missing",
    "tokenizer-vocab-overflow",
    "weights-drift",
)


@repair(name="copy-model", codes=[*OF_WEIGHTS, *OF_OTHERS], after=["merge"])
def plan_copy_model(context: RepairContext) -> Plan:
    """Copies a model from another machine of the manifest, with rsync over ssh."""
    plan = plan_copy(context.model, allow_delete=context.options.allow_delete)
    if plan is None:
        raise RepairRefused("every file is here already as the other machine has it, so a copy changes nothing.")
    return plan
