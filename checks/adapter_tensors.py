"""An adapter's tensors against its own configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.adapter_coverage import is_targeted
from sage_doctor.facts.adapter_effect import is_scaled_to_nothing
from sage_doctor.facts.adapter_patterns import UnboundedPattern
from sage_doctor.facts.adapter_problems import stated_sizes
from sage_doctor.facts.adapters import PREFIX, UNMERGEABLE, WRAPPERS, LoraTensor, lora_tensors, rank_of, wrapper_in
from sage_doctor.facts.library_source import learns_a_prompt, tensor_prefix, tensor_words
from sage_doctor.findings.restore import bring_back
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, printable

ORDER = 110  # of the check files: causes before consequences

_LORA = re.compile(r"\.lora_[AB]\.")
ADAPTER = ("adapter",)
OF_MERGED_LINEAR = 3  # dimensions of its lora_B
# How the names of tensors end that PEFT expects only where an option is on, `.weight` left out.
OF_OPTION = {
    "use_dora": ".lora_magnitude_vector",
    "lora_bias": ".lora_B.bias",
    "trainable_token_indices": ".trainable_tokens_delta",
}
OTHER_RELEASE = (
    "Load it with the release of peft that it was trained with (peft_version in its configuration, if it says so), or "
    "train it again."
)
OWN = (
    "check_path",
    "check_hub",
    "check_hub_blobs",
    "check_adapter_config",
    "check_adapter_weights",
    "check_weights_readable",
)


@check("static", after=OWN, kinds=ADAPTER)
def check_adapter_keys(model: Model) -> Iterator[Finding]:
    """PEFT will recognise the names of the adapter's tensors."""
    kind = model.adapter_config.peft_type
    if kind in UNMERGEABLE or (kind and learns_a_prompt(model.host.session.site_packages, kind)):
        raise NotApplicable("the names of prompt encoders and routers are not known here")
    if model.adapter_weights.pickle:
        raise NotApplicable("the weights are a pickle, which is not opened")
    wrapped = {n: w for n in model.tensors if (w := wrapper_in(n)) is not None}
    if wrapped:
        wrapper = next(iter(wrapped.values()))
        why = f"tensor names contain '{wrapper}.', which {WRAPPERS[wrapper]} added during training"
        yield _unmatched(model, list(wrapped), why)
        return
    bare = [n for n in model.tensors if not n.startswith(PREFIX)]
    if kind != "LORA":
        yield from _of_another_type(model, kind or "", bare)
        return
    loras = lora_tensors(model.tensors.values())
    if not loras and not any("trainable_tokens_" in n for n in model.tensors):
        yield _unmatched(model, sorted(model.tensors), *_other_names(model))
        return
    named = [t for t in loras if t.adapter_name is not None]
    bare = [t.tensor.name for t in loras if not t.tensor.name.startswith(PREFIX)]
    twice = [t.tensor.name for t in loras if t.module.startswith(PREFIX)]
    if named:
        said = f"'.{named[0].adapter_name}.'"
        yield _unmatched(
            model,
            [t.tensor.name for t in named],
            f"tensor names contain {said}, the adapter's name, which PEFT adds itself",
        )
    elif bare:
        yield _unmatched(model, bare, f"tensor names do not have the prefix '{PREFIX}'")
    elif twice:
        yield _unmatched(model, twice, f"tensor names have the prefix '{PREFIX}' twice")


def _of_another_type(model: Model, kind: str, bare: list[str]) -> Iterator[Finding]:
    """Tell of names that no type but LoRA has, or that no type has."""
    prefix = tensor_prefix(model.host.session.site_packages, kind) if kind else None
    loras = [n for n in model.tensors if _LORA.search(n)]
    if loras and prefix not in (None, "lora_") and not any(f".{prefix}" in n for n in model.tensors):
        why = f"its tensors are those of a LoRA, and adapter_config.json says that it is of type {printable(kind)}"
        restored = bring_back(model, ["adapter_config.json"]).summary
        yield _unmatched(model, loras, why, f"Take configuration and weights from the same checkpoint. {restored}")
        return
    parts = {p for n in model.tensors for p in n.split(".") if prefix and p.startswith(prefix)}
    words = tensor_words(model.host.session.site_packages, kind, prefix) if prefix and parts else frozenset()
    if words and words.isdisjoint(parts):
        why = f"the session's peft has no tensors called '{printable(min(parts))}' for the type {printable(kind)}"
        yield _unmatched(model, [n for n in model.tensors if prefix and f".{prefix}" in n], why, OTHER_RELEASE)
        return
    shared = f"base_model.{kind.lower()}_"  # what all layers of a VeRA or a VB-LoRA have in common
    bare = [n for n in bare if not n.startswith(shared)]
    if bare:
        yield _unmatched(model, bare, f"tensor names do not have the prefix '{PREFIX}'")


def _other_names(model: Model) -> tuple[str, str]:
    """Return whose names the tensors have, where they are no LoRA as PEFT writes it, and what to do with such a one."""
    first = next(iter(sorted(model.tensors)), "")
    if first.endswith((".lora_a", ".lora_b")):
        where = f"mlx_lm.fuse --adapter-path {printable(str(model.path))}"
        return (
            "its tensors have the names that mlx-lm gives them",
            f"Fuse it into its base where mlx-lm runs ({where}).",
        )
    if re.search(r"\.lora_(?:up|down)\.|^lora_(?:unet|te)_", first) is not None:
        return (
            "its tensors have the names that kohya's scripts and diffusers give them",
            "Use it where such files are read: a pipeline of diffusers (load_lora_weights) or a program for images.",
        )
    if not any("lora" in n for n in model.tensors):
        return "its tensors do not have LoRA names: they are the weights of a model", ""
    return "its tensors do not have LoRA names", ""


def _unmatched(model: Model, names: list[str], why: str, advice: str = "") -> Finding:
    return finding(
        "adapter-keys-unmatched",
        f"{why} ({join_limited(names, most=2)})",
        evidence={"tensors": names[:50], "count": len(names)},
        fix=Fix(
            summary=advice
            or "Save the adapter again with PeftModel.save_pretrained(), not state_dict(), or rename its tensors. "
            + bring_back(model, ["adapter_model.safetensors"]).summary,
        ),
    )


@check("static", after=(*OWN, "check_adapter_keys"), kinds=ADAPTER)
def check_adapter_patterns(model: Model) -> Iterator[Finding]:
    """The patterns in adapter_config.json are expressions, and can be matched in bounded time."""
    config = model.adapter_config
    if config.peft_type != "LORA":
        raise NotApplicable("only LoRA's patterns are known here")
    try:
        config.patterns.ask(t.module for t in lora_tensors(model.tensors.values()))
    except UnboundedPattern as error:
        yield finding(
            "adapter-pattern-unbounded",
            str(error),
            evidence={"file": "adapter_config.json", "field": error.field, "pattern": (error.pattern or "")[:400]},
            fix=Fix(
                summary="Name the modules in adapter_config.json without repetitions inside repetitions. "
                + bring_back(model, ["adapter_config.json"]).summary,
            ),
        )
    if config.patterns.broken is not None:
        field, pattern = config.patterns.broken
        yield finding(
            "adapter-config-invalid",
            f"adapter_config.json: {field}: {printable(pattern, limit=120)!r} is not a regular expression",
            evidence={"file": "adapter_config.json", "field": field, "pattern": pattern[:400]},
            fix=bring_back(model, ["adapter_config.json"]),
        )


@check("static", after=(*OWN, "check_adapter_keys", "check_adapter_patterns"), kinds=ADAPTER)
def check_adapter_targets(model: Model) -> Iterator[Finding]:
    """The configuration targets the modules that the adapter has tensors for, and turns on what these are parts of."""
    config = model.adapter_config
    values = config.values or {}
    if config.peft_type not in ("LORA", "TRAINABLE_TOKENS"):
        raise NotApplicable("only LoRA's targets are compared here")
    off = [f for f in OF_OPTION if config.peft_type == "LORA" and values.get(f) in (None, False)]
    loose = {n: f for f in off for n in model.tensors if n.removesuffix(".weight").endswith(OF_OPTION[f])}
    if loose:
        why = f"adapter_config.json does not turn on {min(loose.values())}, and PEFT ignores {len(loose)} tensors"
        yield _unmatched(model, list(loose), why, "Take configuration and weights from the same checkpoint.")
        return
    if config.target_modules is None or config.target_parameters:
        raise NotApplicable("only LoRA's targets that it names are compared here")
    modules = dict.fromkeys(t.module for t in lora_tensors(model.tensors.values()))
    if config.peft_type == "TRAINABLE_TOKENS":
        rows = OF_OPTION["trainable_token_indices"]
        # Saved once more for each layer that is tied to the embedding.
        modules = dict.fromkeys(n.removesuffix(rows).removeprefix(PREFIX) for n in model.tensors if n.endswith(rows))
    idle = [m for m in modules if not is_targeted(values, config.patterns, m)]
    if idle and (config.peft_type == "LORA" or len(idle) == len(modules)):
        yield finding(
            "adapter-keys-unmatched",
            f"adapter_config.json does not target {len(idle)} of the {len(modules)} modules that it has tensors for, "
            f"and PEFT ignores these: {join_limited(idle, most=3)}",
            evidence={"modules": idle[:50], "count": len(idle)},
            fix=Fix(
                summary="Take configuration and weights from the same checkpoint. "
                + bring_back(model, ["adapter_config.json"]).summary,
            ),
        )


@check("static", after=(*OWN, "check_adapter_keys", "check_adapter_patterns"), kinds=ADAPTER)
def check_adapter_rank(model: Model) -> Iterator[Finding]:
    """The adapter's tensors have the ranks that its configuration states."""
    config = model.adapter_config
    yield from _of_other_sizes(model)
    if config.peft_type != "LORA":
        return
    wrong = [
        (lora, actual, stated)
        for lora in lora_tensors(model.tensors.values())
        if (actual := rank_of(lora)) is not None
        and (stated := config.rank_for(lora.module)) is not None
        and actual != stated
    ]
    turned = [lora for lora, actual, stated in wrong if stated < actual and stated in lora.tensor.shape]
    if isinstance((config.values or {}).get("enable_lora"), list):
        if any(len(lora.tensor.shape) == OF_MERGED_LINEAR for lora in lora_tensors(model.tensors.values())):
            yield _of_merged_linear(model)
    elif wrong and len(turned) == len(wrong):
        yield _turned(turned, wrong[0][2])
    elif wrong:
        lora, actual, stated = wrong[0]
        yield finding(
            "adapter-rank-mismatch",
            f"{printable(lora.tensor.name)} has rank {actual}, adapter_config.json states {stated}"
            + (f" ({len(wrong)} tensors in all)" if len(wrong) > 1 else ""),
            evidence={"tensors": [t.tensor.name for t, _, _ in wrong[:50]], "rank": actual, "stated": stated},
            fix=Fix(
                summary="Take configuration and weights from the same checkpoint. "
                + bring_back(model, ["adapter_config.json"]).summary,
            ),
        )


def _of_other_sizes(model: Model) -> Iterator[Finding]:
    """Tell of tensors that have another size than the configuration states, matrices of a LoRA left out."""
    stated = stated_sizes(model.adapter_config, model.tensors)
    wrong = [n for n, (side, size) in stated.items() if model.tensors[n].shape[side] != size]
    if wrong:
        side, size = stated[wrong[0]]
        yield finding(
            "adapter-rank-mismatch" if model.adapter_config.peft_type == "ADALORA" else "adapter-shape-mismatch",
            f"{printable(wrong[0])} is {'×'.join(map(str, model.tensors[wrong[0]].shape))}, where adapter_config.json "
            f"states {size} {'columns' if side else 'rows'}"
            + (f" ({len(wrong)} tensors in all)" if len(wrong) > 1 else ""),
            evidence={"tensors": wrong[:50], "count": len(wrong), "stated": size},
            fix=Fix(
                summary="Take configuration and weights from the same checkpoint. "
                + bring_back(model, ["adapter_config.json"]).summary,
            ),
        )


@check("static", after=(*OWN, "check_adapter_keys"), kinds=ADAPTER)
def check_adapter_scale(model: Model) -> Iterator[Finding]:
    """The scale that the adapter's configuration gives its matrices is not zero."""
    if is_scaled_to_nothing(model.tensors, model.adapter_config.values or {}):
        yield finding(
            "adapter-no-effect",
            "lora_alpha is 0: a session would talk to the base alone",
            evidence={"file": "adapter_config.json", "lora_alpha": 0},
            fix=Fix(
                summary="Write the lora_alpha of its training run into adapter_config.json. (verl's merger writes 0, "
                "because its checkpoints do not say it.)",
            ),
        )


def _of_merged_linear(model: Model) -> Finding:
    """Return the finding of a LoRA on a part of a joined layer, which PEFT had until 0.2."""
    return finding(
        "adapter-shape-mismatch",
        "adapter_config.json sets enable_lora: its matrices are those of a MergedLinear layer of PEFT 0.2, which no "
        "later release loads",
        evidence={"enable_lora": (model.adapter_config.values or {}).get("enable_lora")},
        fix=Fix(
            summary="Merge it with the release that it was trained with (peft 0.2, in an environment of its own), or "
            "train it again."
        ),
    )


def _turned(loras: list[LoraTensor], rank: int) -> Finding:
    """Return the finding of matrices whose rank is on the side where PEFT has inputs or outputs."""
    first = loras[0].tensor
    parts = {lora.part for lora in loras}
    exchanged = (
        " (mlx-lm's, whose matrices are transposed), or that lora_A and lora_B are exchanged" if len(parts) > 1 else ""
    )
    return finding(
        "adapter-shape-mismatch",
        f"{printable(first.name)} is {'×'.join(str(n) for n in first.shape)}, with the rank {rank} on the side where "
        f"PEFT has its {'inputs' if loras[0].part == 'A' else 'outputs'} ({len(loras)} tensors in all)",
        evidence={"tensors": [lora.tensor.name for lora in loras[:50]], "rank": rank, "count": len(loras)},
        fix=Fix(
            summary="PEFT keeps lora_A as rank × inputs and lora_B as outputs × rank. These matrices show that the "
            f"adapter was converted from another layout{exchanged}: convert it again, "
            + ("or transpose or exchange them as its converter should have." if exchanged else "or transpose them.")
        ),
    )
