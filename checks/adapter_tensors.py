"""An adapter's tensors against its own configuration and against the base's header."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.facts.adapter_patterns import UnboundedPattern
from sage_doctor.facts.adapters import PREFIX, BaseModules, LoraTensor, lora_tensors, rank_of
from sage_doctor.facts.embeddings import embedding_tensor
from sage_doctor.findings.candidates import table
from sage_doctor.findings.restore import bring_back
from sage_doctor.subjects.model import Model
from sage_doctor.text import join_limited, printable

ORDER = 110  # of the check files: causes before consequences

ADAPTER = ("adapter",)
OWN = (
    "check_path",
    "check_hub",
    "check_hub_blobs",
    "check_adapter_config",
    "check_adapter_weights",
    "check_weights_readable",
)
WITH_BASE = (
    *OWN,
    "check_adapter_keys",
    "check_adapter_patterns",
    "check_adapter_base",
    "check_adapter_base_sound",
    "check_weights_present",
    "check_weights_whole",
    "check_shards_present",
    "check_shard_index",
    "check_config",
)
MATRIX = 2


@check("static", after=OWN, kinds=ADAPTER)
def check_adapter_keys(model: Model) -> Iterator[Finding]:
    """PEFT will recognise the names of the adapter's tensors."""
    if model.adapter_config.peft_type != "LORA":
        raise NotApplicable("only LoRA's names are known here")
    if model.adapter_weights.pickle:
        raise NotApplicable("the weights are a pickle, which is not opened")
    loras = lora_tensors(model.tensors.values())
    if not loras:
        yield _unmatched(model, sorted(model.tensors), "its tensors do not have LoRA names")
        return
    doubled = [t.tensor.name for t in loras if t.adapter_name == "default"]
    bare = [t.tensor.name for t in loras if not t.tensor.name.startswith(PREFIX)]
    twice = [t.tensor.name for t in loras if t.module.startswith(PREFIX)]
    if doubled:
        yield _unmatched(model, doubled, "tensor names contain '.default.', which PEFT adds itself")
    elif bare:
        yield _unmatched(model, bare, f"tensor names do not have the prefix '{PREFIX}'")
    elif twice:
        yield _unmatched(model, twice, f"tensor names have the prefix '{PREFIX}' twice")


def _unmatched(model: Model, names: list[str], why: str) -> Finding:
    return finding(
        "adapter-keys-unmatched",
        f"{why} ({join_limited(names, most=2)})",
        evidence={"tensors": names[:50], "count": len(names)},
        fix=Fix(
            summary="Save the adapter again with PeftModel.save_pretrained(), not state_dict(), or rename its tensors. "
            + bring_back(model, ["adapter_model.safetensors"]).summary,
        ),
    )


@check("static", after=(*OWN, "check_adapter_keys"), kinds=ADAPTER)
def check_adapter_patterns(model: Model) -> Iterator[Finding]:
    """The patterns in adapter_config.json can be matched in bounded time."""
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


@check("static", after=(*OWN, "check_adapter_keys", "check_adapter_patterns"), kinds=ADAPTER)
def check_adapter_rank(model: Model) -> Iterator[Finding]:
    """The adapter's tensors have the ranks that its configuration states."""
    config = model.adapter_config
    if config.peft_type != "LORA":
        raise NotApplicable("only LoRA has ranks that can be compared here")
    wrong = [
        (lora, actual, stated)
        for lora in lora_tensors(model.tensors.values())
        if (actual := rank_of(lora)) is not None
        and (stated := config.rank_for(lora.module)) is not None
        and actual != stated
    ]
    if wrong:
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


@check("static", after=(*WITH_BASE, "check_adapter_rank"), kinds=ADAPTER)
def check_adapter_fits_base(model: Model) -> Iterator[Finding]:
    """The adapter's tensors fit the base's, by name and by shape."""
    base = model.base.model
    if model.adapter_config.peft_type != "LORA":
        raise NotApplicable("only LoRA's tensors can be joined to a base here")
    if base is None or base.weights.form not in ("single", "sharded"):
        raise NotApplicable("the base has no safetensors header to compare with")
    modules = BaseModules(base.tensors)
    config = model.adapter_config
    loras = [t for t in lora_tensors(model.tensors.values()) if not config.adapts_parameters(t.module)]
    joined = [(t, b) for t in loras if (b := modules.find(t.module)) is not None]
    missing = [t for t in loras if t.module.rpartition(".")[2] not in modules.leaves]
    if missing and not joined:
        names = sorted({t.module.rpartition(".")[2] for t in missing})
        yield finding(
            "adapter-targets-missing",
            f"the base has no modules {join_limited(names)}",
            evidence={"targets": names[:50], "base": str(base.path), "base_has": sorted(modules.leaves)[:50]},
            fix=_other_base(model),
        )
        return
    if base.config.quantized:
        raise NotApplicable("the base is quantised: its stored shapes are not those of its modules")
    misfits = [(t, b) for t, b in joined if not _fits(t, b.shape)]
    if misfits:
        lora, tensor = misfits[0]
        yield finding(
            "adapter-shape-mismatch",
            f"{printable(lora.tensor.name)} is {_shape(lora.tensor.shape)}, the base's {printable(tensor.name)} is "
            f"{_shape(tensor.shape)}" + (f" ({len(misfits)} tensors in all)" if len(misfits) > 1 else ""),
            evidence={"tensors": [t.tensor.name for t, _ in misfits[:50]], "base": str(base.path)},
            fix=_other_base(model),
        )


def _other_base(model: Model) -> Fix:
    where = f"base = … under {table(model.name)}" if model.spec is not None else "base_model_name_or_path"
    return Fix(
        summary=f"Name the base that the adapter was trained on ({where}). Matching shapes do not prove that it is the "
        "right one."
    )


def _fits(lora: LoraTensor, base: tuple[int, ...]) -> bool:
    """Whether a LoRA matrix fits a weight. GPT-2's Conv1D stores its weight transposed, so either side may match."""
    shape = lora.tensor.shape
    if len(shape) != MATRIX or len(base) != MATRIX:
        return True
    free = shape[1] if lora.part in ("A", "embedding_A") else shape[0]
    return free in base


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)


@check("static", after=WITH_BASE, kinds=ADAPTER)
def check_adapter_embeddings(model: Model) -> Iterator[Finding]:
    """The adapter does not train an embedding that the base shares with its output layer."""
    base = model.base.model
    if base is None:
        raise NotApplicable("there is no base")
    trained = sorted(
        n
        for n in model.tensors
        if any(f".{part}." in n or n.endswith(f".{part}") for part in ("embed_tokens", "lm_head", "wte", "embed_out"))
    )
    embedding = embedding_tensor(base.tensors)
    shared = base.config.tied_embeddings
    if shared is None:
        shared = embedding is not None and not any(n.startswith(("lm_head", "embed_out")) for n in base.tensors)
    if trained and shared:
        yield finding(
            "adapter-tied-embeddings",
            f"it trains {printable(trained[0])}, which the base ties to its output layer",
            evidence={"tensors": trained[:20]},
            fix=Fix(summary="Run sessions on base and adapter together, or untie the embeddings when merging."),
        )
