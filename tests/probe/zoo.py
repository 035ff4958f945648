"""Builds tiny real models, sound and broken, in the directory named by the first argument. Run as a child process."""

# ruff: noqa: TID253 - a script of its own, never imported by a test

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

WORDS = ["<pad>", "</s>", "<unk>", "Who", "are", "you", "?", "I", "am", "a", "tiny", "model", "user", "assistant"]
TEMPLATE = (
    "{% for m in messages %}user {{ m['content'] }} {% endfor %}{% if add_generation_prompt %}assistant{% endif %}"
)


def tokenizer(template: str | None = None) -> PreTrainedTokenizerFast:
    vocab = {w: i for i, w in enumerate(WORDS)} | {f"w{i}": i for i in range(len(WORDS), 64)}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="</s>", pad_token="<pad>")
    made.chat_template = template
    return made


def sound(path: Path) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=None,
    )
    model = LlamaForCausalLM(config)
    # Settings a published model brings: they must neither sample nor warn in a greedy probe.
    model.generation_config.update(do_sample=True, temperature=0.6, top_p=0.9, top_k=20)
    model.save_pretrained(path)
    tokenizer(TEMPLATE).save_pretrained(path)
    return model


def altered(source: Path, path: Path, name: str = "model.safetensors") -> dict[str, Any]:
    shutil.copytree(source, path)
    return load_file(path / name)


def save(tensors: dict[str, Any], path: Path, name: str = "model.safetensors") -> None:
    save_file(tensors, path / name, metadata={"format": "pt"})


def build_models(root: Path) -> None:
    tensors = altered(root / "sound", root / "renamed")
    tensors["model.layers.0.mlp.up_project.weight"] = tensors.pop("model.layers.0.mlp.up_proj.weight")
    save(tensors, root / "renamed")

    tensors = altered(root / "sound", root / "nan")
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    save(tensors, root / "nan")

    tensors = altered(root / "sound", root / "mismatched")
    tensors["model.norm.weight"] = torch.ones(31)
    save(tensors, root / "mismatched")

    # A gigabyte of disk is not needed to ask for 16 GB of memory: what is missing is initialised. Names in a pickle are
    # not compared before that.
    torch.save(altered(root / "sound", root / "huge"), root / "huge/pytorch_model.bin")
    (root / "huge/model.safetensors").unlink()
    config = json.loads((root / "huge/config.json").read_text())
    config["intermediate_size"] = 50_000_000
    (root / "huge/config.json").write_text(json.dumps(config))

    odd = os.fsdecode(os.fsencode(root) + b"/caf\xe9")
    shutil.copytree(root / "sound", odd)

    shutil.copytree(root / "sound", root / "pickled")
    (root / "pickled/model.safetensors").unlink()

    class Payload:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(root / "executed"),)

    torch.save({"model.norm.weight": Payload()}, root / "pickled/pytorch_model.bin")

    BertForMaskedLM(
        BertConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    ).save_pretrained(root / "encoder")

    torch.manual_seed(0)
    t5 = T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    T5ForConditionalGeneration(t5).save_pretrained(root / "seq2seq")
    tokenizer().save_pretrained(root / "seq2seq")


def build_adapters(root: Path, model: LlamaForCausalLM) -> None:
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    wrapped = get_peft_model(model, lora)
    wrapped.peft_config["default"].base_model_name_or_path = "./gone/final_model"
    wrapped.save_pretrained(root / "adapter")
    name = "adapter_model.safetensors"

    tensors = altered(root / "adapter", root / "zero-adapter", name)
    save({k: torch.zeros_like(v) if "lora_B" in k else v for k, v in tensors.items()}, root / "zero-adapter", name)

    tensors = altered(root / "adapter", root / "prefix-adapter", name)
    save({k.removeprefix("base_model.model."): v for k, v in tensors.items()}, root / "prefix-adapter", name)
    # As trained with the default: what is not found in the file stays at zero, and the adapter does nothing.
    config = json.loads((root / "prefix-adapter/adapter_config.json").read_text())
    config["init_lora_weights"] = True
    (root / "prefix-adapter/adapter_config.json").write_text(json.dumps(config))

    tensors = altered(root / "adapter", root / "rank-adapter", name)
    save({k: v[:, :2].contiguous() if "lora_B" in k else v for k, v in tensors.items()}, root / "rank-adapter", name)

    prompts = get_peft_model(wrapped.unload(), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    prompts.save_pretrained(root / "prompt-adapter")


if __name__ == "__main__":
    zoo = Path(sys.argv[1])
    base = sound(zoo / "sound")
    build_models(zoo)
    build_adapters(zoo, base)
