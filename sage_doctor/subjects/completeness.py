"""Whether a model is all there, by its directory alone: what a runner asks before it loads, in milliseconds."""

from __future__ import annotations

from sage_doctor.subjects.model import Model


def lacking(model: Model) -> str | None:
    """Return the first thing that a load would miss in a model and what it is built on, None where nothing is.

    Looks at names, sizes and headers, as the checks of level `static` do, and judges less: what it lets through may
    still be wrong in ways that only a check finds.
    """
    if not model.found:
        return f"nothing is at {model.reference.text}"
    if model.kind == "adapter":
        return _adapter_lacks(model)
    if model.config_file.value is None:
        return "config.json cannot be used"
    weights = model.weights
    if weights.form == "none":
        return "there are no weights"
    index = weights.index
    if index is not None and (index.problem or index.escaping):
        return f"{index.name} cannot be used"
    for file in weights.files:
        if file.node.kind != "file":
            return f"{file.name} is not there"
        if weights.form in ("single", "sharded") and (file.header is None or file.header.problem is not None):
            return f"{file.name} is damaged"
    promised = set(index.weight_map) if index is not None else set()
    if weights.form == "sharded" and not promised <= weights.tensors().keys():
        return f"tensors named in {weights.entry} are in no file"
    return None


def _adapter_lacks(model: Model) -> str | None:
    if model.adapter_config.values is None:
        return "adapter_config.json cannot be used"
    weights = model.adapter_weights
    if weights.name is None:
        return "there are no adapter weights"
    if not weights.pickle and (weights.header is None or weights.header.problem is not None):
        return f"{weights.name} is damaged"
    if model.base.model is None:
        return f"its base {model.base.text or ''} is nowhere"
    missing = lacking(model.base.model)
    return f"in its base, {missing}" if missing is not None else None
