"""Tiny models of several architectures and adapters for them, made by the libraries themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SIZES: Mapping[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "tie_word_embeddings": False,
}  # fmt: skip
KINDS: Mapping[str, Mapping[str, Any]] = {
    "llama": {**SIZES, "attention_bias": True, "mlp_bias": True},
    "llama-tied": {**SIZES, "tie_word_embeddings": True},
    "qwen2": SIZES,
    "mistral": SIZES,
    "gemma2": {**SIZES, "head_dim": 8, "tie_word_embeddings": True},
    "phi": SIZES,
    "gpt_neox": {**SIZES, "num_key_value_heads": 4},
    "opt": {**SIZES, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "gpt2": {"vocab_size": 96, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "mixtral": {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {
        **SIZES, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 32,
    },
    "qwen3_moe": {**SIZES, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "gpt_oss": {
        **SIZES, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 32,
        "layer_types": ["full_attention", "full_attention"],
    },
    "gemma3": {},
}  # fmt: skip

SHARED = {
    True: ("embed_tokens.weight", "lm_head.weight", "base_layer.weight"),
    False: ("embed_tokens.base_layer.weight", "lm_head.base_layer.weight"),
}


def make_base(folder: Path, kind: str, dtype: str = "bfloat16", *, shards: bool = False) -> Path:
    """Save a tiny model of a kind, its weights drawn anew for each kind but always the same."""
    import torch
    import transformers

    torch.manual_seed(len(kind))
    if kind == "gemma3":
        text = {**SIZES, "head_dim": 8, "tie_word_embeddings": True}
        vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4,
                  "image_size": 28, "patch_size": 14}  # fmt: skip
        config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
        model = transformers.Gemma3ForConditionalGeneration(config)
    else:
        config = transformers.AutoConfig.for_model(kind.removesuffix("-tied"), **KINDS[kind])
        model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.normal_(0, 0.05)
    model = model.to(getattr(torch, dtype))
    model.save_pretrained(folder, max_shard_size="20KB" if shards else "1GB")
    return folder


def load(folder: Path) -> Any:
    import transformers

    config = json.loads((folder / "config.json").read_text())
    kind = getattr(transformers, config["architectures"][0])
    return kind.from_pretrained(folder, dtype="auto")


def make_adapter(folder: Path, base: Path, options: Mapping[str, Any], dtype: str = "float32", grow: int = 0,
                 *, same: bool = False) -> Path:  # fmt: skip
    """Save an adapter whose every tensor is trained: drawn at random, in the dtype asked for."""
    import peft
    import torch
    from safetensors.torch import load_file, save_file

    torch.manual_seed(7)
    model = load(base)
    if grow:
        model.resize_token_embeddings(grow)
    settings = {"task_type": "CAUSAL_LM", **options}
    config: Any = (
        peft.TrainableTokensConfig(**{k: v for k, v in settings.items() if k != "type"})
        if settings.get("type") == "tokens"
        else peft.LoraConfig(**settings)
    )
    peft.get_peft_model(model, config).save_pretrained(folder)
    path = folder / "adapter_model.safetensors"
    tensors = {}
    for name, value in load_file(path).items():
        fresh = torch.randn(value.shape) * 0.05
        if "magnitude" in name:
            fresh = value.float() * (1 + fresh)
        tensors[name] = fresh.to(getattr(torch, dtype))
    for name in [n for n in tensors if ".modules_to_save." in n]:  # PEFT saves these twice, and so they are the same
        tensors[name] = tensors[name.replace(".modules_to_save", "")].clone()
    if same:  # the output layer is saved as a copy of the embedding it is tied to
        names = [n for n in tensors if n.endswith(SHARED[bool(grow)])]
        tensors.update({n: tensors[names[0]].clone() for n in names})
    save_file(tensors, path, metadata={"format": "pt"})
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(base)
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def merged_by_peft(base: Path, adapter: Path, dtype: str | None = None, grow: int = 0) -> Any:
    import peft
    import torch

    model = load(base)
    if dtype is not None:
        model = model.to(getattr(torch, dtype))
    if grow:
        model.resize_token_embeddings(grow)
    return peft.PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()


def differences(ours: Any, theirs: Any) -> list[str]:
    """Return the names of the tensors that differ in bits, dtype or shape, or that one of both lacks."""
    import torch

    one, other = ours.state_dict(), theirs.state_dict()
    found = sorted(one.keys() ^ other.keys())
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        if a.dtype != b.dtype or a.shape != b.shape or not torch.equal(a, b):
            found.append(name)
    return found


def stored(folder: Path) -> dict[str, Any]:
    """Return the tensors of every weight file, under their stored names."""
    from safetensors.torch import load_file

    return {n: t for path in sorted(folder.glob("model*.safetensors")) for n, t in load_file(path).items()}


def torch() -> Any:
    import torch as module

    return module


def logits(base: Path, adapter: Path | None = None) -> Any:
    import peft
    import torch

    model = load(base)
    if adapter is not None:
        model = peft.PeftModel.from_pretrained(model, str(adapter))
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(24).reshape(1, -1) * 4 % 96).logits.float()


def make_wide(base: Path, adapter: Path) -> None:
    """Save a base of some 30 MB in shards, and an adapter for it."""
    import peft
    import torch
    import transformers

    torch.manual_seed(3)
    sizes = {**SIZES, "hidden_size": 512, "intermediate_size": 1024, "vocab_size": 4000, "num_hidden_layers": 4}
    config = transformers.AutoConfig.for_model("llama", **sizes)
    model = transformers.AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.save_pretrained(base, max_shard_size="10MB")
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules="all-linear", r=8))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
    adapted.save_pretrained(adapter)
