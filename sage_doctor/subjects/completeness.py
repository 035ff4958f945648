"""Whether a model is all there, what it is built on included: what a runner asks before it loads, in milliseconds.

The reasons are those of `facts.wholeness`, from facts that a model has read already.
"""

from __future__ import annotations

from sage_doctor.facts.wholeness import Defect, adapter_defects, model_defects, summary
from sage_doctor.subjects.model import Model
from sage_doctor.system.mounts import why_not_written


def own_defects(model: Model) -> tuple[Defect, ...]:
    """Return what a model lacks in its own directory, which must be there."""
    if model.kind == "adapter":
        return adapter_defects(model.tree, model.adapter_config, model.adapter_weights)
    return model_defects(model.tree, model.config_file, model.weights)


def why_not_whole(model: Model) -> str:
    """Return what keeps the model's own directory from being whole, empty where nothing does."""
    if not model.found:
        if model.hub is not None:
            return f"{model.hub.repo_id} is not in the Hugging Face cache"
        apart = why_not_written(model.path)
        return f"nothing is at {model.reference.text}" + (f": {apart}" if apart else "")
    return summary(own_defects(model))


def why_not_loadable(model: Model) -> str:
    """Return what a load would miss in a model or in what it is built on, empty where nothing is missing."""
    reason = why_not_whole(model)
    if reason or model.kind != "adapter":
        return reason
    if model.base.model is None:
        return f"its base {model.base.text or ''} is not found"
    missing = why_not_loadable(model.base.model)
    return f"in its base, {missing}" if missing else ""
