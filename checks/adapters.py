"""PEFT adapters: their own files, and whether a loader finds the base they name."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import Blocked, NotApplicable
from sage_doctor.facts.adapter_problems import config_problem
from sage_doctor.facts.adapters import MUTATING_INITS, UNMERGEABLE
from sage_doctor.facts.library_source import learns_a_prompt, unknown_fields
from sage_doctor.facts.quantization import is_left_over, is_of_mlx
from sage_doctor.facts.wholeness import summary
from sage_doctor.findings.access import unreadable, unreadable_file
from sage_doctor.findings.adapter_directories import inner_adapter, other_layout
from sage_doctor.findings.hub import dangling_blobs, unresolved
from sage_doctor.findings.json_slips import corrected
from sage_doctor.findings.missing_base import base_missing, base_unset, name_it
from sage_doctor.findings.nearby import weights_nearby, with_nearby
from sage_doctor.findings.reach import base_out_of_reach
from sage_doctor.findings.restore import bring_back, broken_header, lfs_pull
from sage_doctor.findings.volumes import not_mounted
from sage_doctor.subjects.completeness import own_defects
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.needs import quantization_method
from sage_doctor.text import join_limited, printable, shell_quote

ORDER = 100  # of the check files: causes before consequences

ADAPTER = ("adapter",)
LOCATED = ("check_path", "check_hub", "check_hub_blobs")
OWN = (*LOCATED, "check_adapter_config", "check_adapter_weights")
# Fields that no release since 0.3 reads: who saved it, and how PEFT 0.2 called what fan_in_fan_out and bias say now.
NOTES = frozenset({"peft_version", "enable_lora", "merge_weights"})
OF_OTHERS = ("mlx", "adapter-hub", "model-config")  # whose directories have no configuration that PEFT can read


@check("static", after=LOCATED, kinds=ADAPTER)
def check_adapter_config(model: Model) -> Iterator[Finding]:
    """adapter_config.json is there and describes an adapter."""
    config = model.adapter_config
    file = config.file
    layout = model.adapter_layout
    if layout is not None and layout.kind in OF_OTHERS:
        yield other_layout(model, layout, "adapter-config-missing" if file.missing else "adapter-config-invalid")
        return
    if file.missing and layout is not None:
        yield other_layout(model, layout, "adapter-config-missing")
        return
    if file.missing:
        yield finding(
            "adapter-config-missing",
            "no adapter_config.json beside the adapter's weights",
            evidence={"path": str(model.path)},
            fix=bring_back(model, ["adapter_config.json"]),
        )
        return
    problem = config_problem(config, model.host.session.site_packages)
    if problem:
        yield finding(
            "adapter-config-invalid",
            f"{file.where}: {printable(problem)}",
            evidence={"file": "adapter_config.json", "line": file.line},
            fix=lfs_pull(model, ["adapter_config.json"])
            if file.lfs_pointer
            else corrected(model, "adapter_config.json", file.line, bring_back(model, ["adapter_config.json"])),
        )


@check("static", after=LOCATED, kinds=ADAPTER)
def check_adapter_weights(model: Model) -> Iterator[Finding]:
    """The adapter's weights are there and whole."""
    weights = model.adapter_weights
    if weights.name is None or (weights.node is not None and weights.node.kind in ("missing", "dangling", "loop")):
        layout = model.adapter_layout
        if layout is not None and (layout.kind in OF_OTHERS or model.adapter_config.file.missing):
            raise Blocked("adapter-config-missing" if model.adapter_config.file.missing else "adapter-config-invalid")
        if layout is not None:
            yield other_layout(model, layout, "adapter-weights-missing")
            return
        what = (
            f"{weights.name} is {weights.node.detail}"
            if weights.name and weights.node
            else ("neither adapter_model.safetensors nor adapter_model.bin exists")
        )
        yield finding(
            "adapter-weights-missing",
            printable(what),
            evidence={"path": str(model.path)},
            fix=bring_back(model, ["adapter_model.safetensors"]),
        )
    elif weights.pickle:
        yield finding(
            "adapter-weights-pickle",
            f"the only weights are a pickle: {weights.name}",
            evidence={"file": weights.name},
            fix=Fix(summary="Save the adapter again with a current peft, which writes safetensors."),
        )
    elif weights.header is not None and weights.header.problem is not None:
        yield broken_header(model, [(weights.name, weights.header)])
    elif weights.header is not None:
        hollow = [t.name for t in weights.header.tensors.values() if t.elements == 0]
        if model.adapter_config.peft_type == "ADALORA" and len(hollow) < len(weights.header.tensors):
            hollow = [n for n in hollow if len(weights.header.tensors[n].shape) < 2]  # its budget may leave rank 0
        if not weights.header.tensors or hollow:
            what = "has no tensors" if not weights.header.tensors else f"has {len(hollow)} tensor(s) without elements"
            yield finding(
                "adapter-weights-empty",
                f"{weights.name} {what}",
                evidence={"file": weights.name, "tensors": hollow[:20]},
                fix=Fix(
                    summary="Save the adapter again from the training checkpoint, gathering the parameters first. "
                    + bring_back(model, ["adapter_model.safetensors"]).summary,
                ),
            )


@check("static", after=(*LOCATED, "check_adapter_config"), kinds=ADAPTER)
def check_adapter_base(model: Model) -> Iterator[Finding]:
    """A loader finds the base model that the adapter names."""
    base = model.base
    if base.text is None:
        yield base_unset(model)
        return
    if base.source == "manifest":
        sibling = model.siblings.get(base.text)
        if sibling is not None and not sibling.found:
            apart = sibling.hub is None and not_mounted(model.host, sibling.path)
            raise Blocked(apart.code if apart else "path-missing" if sibling.hub is None else "hub-not-cached")
    if base.model is not None:
        if base.place is not None and base.place.found is None and base.place.beside is not None:
            yield finding(
                "adapter-base-relative",
                f"the base {printable(base.text)} is found only beside the adapter",
                evidence={"base": base.text, "found": str(base.place.beside)},
                fix=name_it(model, [{"path": str(base.place.beside), "why": "beside the adapter"}]),
            )
        return
    if base.hub is not None and base.hub.status != "not-cached":
        yield unresolved(base.hub, model)
        return
    apart = base_out_of_reach(model)
    if apart is not None:
        yield apart
        return
    sharing = _sharing(model)
    if sharing[0] is not model:
        raise Blocked("adapter-base-missing")
    yield base_missing(model, sharing)


def _sharing(model: Model) -> list[Model]:
    """Return the adapters of directories whose base has the same name and is missing as well, this one included.

    One missing base is one finding: the first of them reports it. What a manifest names is reported by its name.
    """
    if model.spec is not None:
        return [model]
    others = [m for m in model.siblings.values() if m.kind == "adapter" and m.spec is None and m.found]
    same = [
        m
        for m in others
        if m.base.text == model.base.text
        and m.base.model is None
        and not config_problem(m.adapter_config, m.host.session.site_packages)
    ]
    return same if model in same else [model]


@check("static", after=(*LOCATED, "check_adapter_config", "check_adapter_base"), kinds=ADAPTER)
def check_adapter_base_sound(model: Model) -> Iterator[Finding]:
    """The base model is itself whole, as far as its files show."""
    base = model.base.model
    if base is not None and base.tree.is_file("adapter_config.json") and base.weights.form == "none":
        yield inner_adapter(model, base)
        return
    if base is None or model.siblings.get(base.name) is base:
        raise NotApplicable("the base is examined as a model of its own")
    if is_of_mlx(base.config_file.value or {}, base.tensors.values()):
        yield finding(
            "adapter-base-broken",
            f"the base {printable(str(base.path))} is quantised by MLX, which transformers does not read",
            evidence={"base": str(base.path)},
            fix=Fix(summary="Name the model that it was converted from as the base; mlx_lm.convert left it as it was."),
        )
        return
    method = quantization_method(base)
    if is_left_over(method, base.tensors.values()):
        file = base.path / "config.json"
        yield finding(
            "config-invalid",
            f"the base's {printable(str(file))} says that its weights are quantised "
            f"({printable(method or '')}), and they are not: transformers refuses to load them",
            evidence={"file": str(file), "quantization": method, "base": str(base.path)},
            fix=Fix(summary="Remove quantization_config from that config.json: it was left by the model it came from."),
        )
        return
    if base.hub is not None and base.hub.dangling:
        yield dangling_blobs(base.hub, model)
        return
    closed = not_mounted(model.host, base.path) if not base.tree.names else unreadable_file(base)
    closed = closed or unreadable(model.host, base.path)
    if closed is not None:
        yield closed
        return
    defects = own_defects(base)
    if defects:
        near = weights_nearby(base) if base.weights.form == "none" else None
        fix = Fix(
            summary="Check the base on its own; its finding says how to repair it.",
            commands=(f"sage-doctor check {shell_quote(base.path)}",),
        )
        yield finding(
            "adapter-base-broken",
            f"the base model {printable(str(base.path))} is broken: {summary(defects)}"
            + (f"; there is {near.what}, which a loader does not take" if near is not None else ""),
            evidence={"base": str(base.path), **({"files": list(near.files[:50])} if near is not None else {})},
            fix=with_nearby(fix, near),
        )


@check("static", after=(*LOCATED, "check_adapter_config"), kinds=ADAPTER)
def check_adapter_initialisation(model: Model) -> Iterator[Finding]:
    """The adapter's initialisation left the base as it was."""
    init = (model.adapter_config.init or "").lower()
    if init.startswith(MUTATING_INITS):
        yield finding(
            "adapter-init-mutates-base",
            f"it was initialised with {printable(init, limit=40)}, which changes the base's weights",
            evidence={"init_lora_weights": model.adapter_config.init},
            fix=Fix(
                summary="Save it once with path_initial_model_for_weight_conversion, which turns it into a plain LoRA, "
                "or use the residual base it was trained on."
            ),
        )


@check("static", after=(*LOCATED, "check_adapter_config"), kinds=ADAPTER)
def check_adapter_mergeable(model: Model) -> Iterator[Finding]:
    """The adapter's type can be merged into a base."""
    config = model.adapter_config
    replicated = bool((config.values or {}).get("layer_replication"))
    kind = config.peft_type or ""
    if kind in UNMERGEABLE or replicated or learns_a_prompt(model.host.session.site_packages, kind):
        what = "layer_replication" if replicated else f"type {kind}"
        wanted = any(
            m.required and m.spec is not None and m.spec.merge is not None and m.spec.merge.adapter == model.name
            for m in model.siblings.values()
        )
        yield finding(
            "adapter-unmergeable",
            f"an adapter of {printable(what)} cannot be merged into its base",
            evidence={"peft_type": config.peft_type, "layer_replication": replicated},
            severity="error" if wanted else None,
            fix=Fix(summary="Run sessions on base and adapter together."),
        )


@check("static", after=(*LOCATED, "check_adapter_config"), kinds=ADAPTER)
def check_adapter_config_known(model: Model) -> Iterator[Finding]:
    """The session's peft knows every field of the adapter's configuration."""
    config = model.adapter_config
    said = [f for f in config.fields - NOTES if (config.values or {}).get(f) not in (None, False, {}, [])]
    unknown = unknown_fields(model.host.session.site_packages, config.peft_type or "", said)
    if unknown is None:
        raise NotApplicable("the session's peft could not be read")
    if unknown:
        version = model.host.session.packages.get("peft") or "installed"
        yield finding(
            "adapter-config-newer",
            f"adapter_config.json has fields that the session's peft ({version}) does not know: "
            f"{join_limited(unknown)}",
            evidence={"fields": unknown[:50], "peft": version},
            fix=Fix(
                summary="Upgrade peft in the sessions' environment.",
                commands=(f"{shell_quote(model.host.session.executable)} -m pip install --upgrade peft",),
            ),
        )
