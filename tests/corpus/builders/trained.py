"""Stock adapters, trained in name only: made and saved by PEFT on the stock models, every tensor random.

`adapter_config.json` names its base by absolute path, which is what PEFT writes for a model loaded from a directory.
"""

from __future__ import annotations

import dataclasses
import gc
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import tokens


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one stock adapter is made. `config` is a class of peft, `vocab` a size to which the base is resized.

    `extra` is given to the load of the base.
    """

    base: str
    values: Mapping[str, Any]
    config: str = "LoraConfig"
    auto: str = "AutoModelForCausalLM"
    task: str | None = "CAUSAL_LM"
    vocab: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


_QV = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}

TRAININGS: Mapping[str, Training] = {
    "lora": Training(base="llama", values=_QV),
    "lora-sharded-base": Training(base="llama-sharded", values={"r": 2, "target_modules": "all-linear"}),
    "lora-dora": Training(base="llama", values={**_QV, "use_dora": True}),
    "lora-rank-pattern": Training(
        base="llama",
        values={
            **_QV,
            "use_rslora": True,
            "rank_pattern": {"layers.0.self_attn.q_proj": 2, r".*\.1\.self_attn\.v_proj": 6},
            "alpha_pattern": {"layers.0.self_attn.q_proj": 4},
        },
    ),
    "lora-one-layer": Training(base="llama", values={**_QV, "layers_to_transform": [1], "layers_pattern": "layers"}),
    "lora-regex": Training(base="llama", values={"r": 2, "target_modules": r".*\.(1)\.mlp\.(up|down)_proj"}),
    "lora-bias": Training(base="phi", values={"r": 2, "target_modules": ["q_proj", "dense"], "bias": "lora_only"}),
    "lora-embedding": Training(base="llama", values={"r": 2, "target_modules": ["embed_tokens", "q_proj"]}),
    "lora-trainable-tokens": Training(base="llama", values={**_QV, "trainable_token_indices": [4, 5]}),
    # New tokens: the embedding and the head are saved whole, and larger than the base's.
    "lora-resized": Training(
        base="llama", values={**_QV, "modules_to_save": ["embed_tokens", "lm_head"]}, vocab=tokens.SIZE + 4
    ),
    # The same by rows: PEFT saves the grown layers as well, those of a tied base twice.
    "lora-rows-added": Training(
        base="llama",
        values={**_QV, "trainable_token_indices": list(range(tokens.SIZE, tokens.SIZE + 4))},
        vocab=tokens.SIZE + 4,
    ),
    "lora-rows-added-tied": Training(
        base="qwen2-tied-padded", values={**_QV, "trainable_token_indices": [128, 129, 130, 131]}, vocab=132
    ),
    # Both layers get the LoRA of one: PEFT's own merge adds it to their weight twice.
    "lora-tied-together": Training(
        base="qwen2-tied-padded",
        values={"r": 4, "target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
    ),
    "lora-saved-together": Training(
        base="qwen2-tied-padded", values={**_QV, "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}
    ),
    "lora-conv1d": Training(base="gpt2", values={"r": 2, "target_modules": ["c_attn"], "fan_in_fan_out": True}),
    # The base's stored names lack the `transformer.` that every key of the adapter carries.
    "lora-conv1d-bare": Training(base="gpt2-bare", values={"r": 2, "target_modules": ["c_attn"]}),
    # The experts are stored one by one and run fused: module names and stored names do not agree.
    "lora-experts": Training(
        base="mixtral",
        values={"r": 2, "target_modules": ["q_proj"], "target_parameters": ["mlp.experts.gate_up_proj"]},
    ),
    "lora-neox": Training(base="gpt_neox", values={"r": 2, "target_modules": ["query_key_value", "dense"]}),
    "lora-tied-base": Training(base="qwen2-tied-padded", values=_QV),
    # Stored as `language_model.model.…`, run as `model.language_model.…`.
    "lora-vision": Training(
        base="llava", values={**_QV, "target_modules": ["q_proj"]}, auto="AutoModelForImageTextToText", task=None
    ),
    "lora-t5": Training(
        base="t5", values={"r": 2, "target_modules": ["q", "v"]}, auto="AutoModelForSeq2SeqLM", task="SEQ_2_SEQ_LM"
    ),
    # The classification head exists in the adapter only.
    "lora-classifier": Training(
        base="bert",
        values={"r": 2, "target_modules": ["query"]},
        auto="AutoModelForSequenceClassification",
        task="SEQ_CLS",
    ),
    "lora-labels": Training(
        base="bert",
        values={"r": 2, "target_modules": ["query"]},
        auto="AutoModelForSequenceClassification",
        task="SEQ_CLS",
        extra={"num_labels": 3},
    ),
    "lora-reward": Training(
        base="llama",
        values=_QV,
        auto="AutoModelForSequenceClassification",
        task="SEQ_CLS",
        extra={"num_labels": 1},
    ),
    "lora-tags": Training(
        base="bert",
        values={"r": 2, "target_modules": ["query"]},
        auto="AutoModelForTokenClassification",
        task="TOKEN_CLS",
        extra={"num_labels": 5},
    ),
    "lora-features": Training(
        base="bert", values={"r": 2, "target_modules": ["query"]}, auto="AutoModel", task="FEATURE_EXTRACTION"
    ),
    "lora-norms": Training(base="llama", values={**_QV, "modules_to_save": ["input_layernorm", "norm"]}),
    "lora-default-targets": Training(base="llama", values={"r": 2}),
    "oft": Training(base="llama", config="OFTConfig", values={"oft_block_size": 4, "target_modules": ["q_proj"]}),
    "adalora": Training(
        base="llama",
        config="AdaLoraConfig",
        values={"init_r": 4, "target_r": 2, "total_step": 100, "target_modules": ["q_proj"]},
    ),
    "ln-tuning": Training(base="llama", config="LNTuningConfig", values={}),
    "vera-unsaved": Training(
        base="llama", config="VeraConfig", values={"r": 4, "target_modules": ["q_proj"], "save_projection": False}
    ),
    "loha": Training(base="llama", config="LoHaConfig", values={"r": 2, "target_modules": ["q_proj"]}),
    "ia3": Training(
        base="llama",
        config="IA3Config",
        values={"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    ),
    "prompt-tuning": Training(base="llama", config="PromptTuningConfig", values={"num_virtual_tokens": 4}),
    "prefix-tuning": Training(base="llama", config="PrefixTuningConfig", values={"num_virtual_tokens": 4}),
    "prefix-classifier": Training(
        base="llama",
        config="PrefixTuningConfig",
        values={"num_virtual_tokens": 4},
        auto="AutoModelForSequenceClassification",
        task="SEQ_CLS",
    ),
}


def build(destination: Path, names: tuple[str, ...] = tuple(TRAININGS)) -> None:
    """Build the named adapters below `destination`, where the stock models already are."""
    import peft
    import torch
    import transformers

    for name in names:
        plan, folder = TRAININGS[name], destination / name
        torch.manual_seed(len(name))
        base = getattr(transformers, plan.auto).from_pretrained(destination / plan.base, **plan.extra)
        if plan.vocab:
            base.resize_token_embeddings(plan.vocab)
        kind = getattr(peft, plan.config)
        known = {f.name for f in dataclasses.fields(kind)}  # an older peft has fewer
        config = kind(task_type=plan.task, **{k: v for k, v in plan.values.items() if k in known})
        model = peft.get_peft_model(base, config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.05)
        model.save_pretrained(folder)
        if plan.vocab:
            _extend_tokenizer(destination / plan.base, folder, plan.vocab)
        del model, base
        gc.collect()


def _extend_tokenizer(source: Path, folder: Path, vocab: int) -> None:
    from transformers import AutoTokenizer

    fast = AutoTokenizer.from_pretrained(source)
    fast.add_tokens([f"new{i}" for i in range(vocab - tokens.SIZE)])
    fast.save_pretrained(folder)


def base_of(adapter: Path) -> str:
    """Return the base that the adapter in `adapter` names."""
    return str(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"])
