"""Builds tiny models and adapters of many kinds, probes each in a fork, and writes the outcomes as JSON.

Run as `python -m tests.probe.kinds DIRECTORY`: torch and transformers are imported once, in a process of its own.
"""

# ruff: noqa: TID253 - a script of its own, never imported by a test

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

from sage_doctor.probe.protocol import ProbeRequest

from .forked import forked
from .zoo import tokenizer

TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "tie_word_embeddings": False,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
BERT = {
    k: TEXT[k] for k in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
}
SPEECH = {
    "vocab_size": 64,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "num_mel_bins": 8,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_source_positions": 32,
    "max_target_positions": 32,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
}
TARGETS = ["q_proj", "v_proj"]


def full(folder: Path, model: Any, **changes: Any) -> Path:
    """Save a model with a tokenizer, and change its config.json."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    edit(folder / "config.json", **changes)
    return folder


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def adapter(
    folder: Path, base: Path, config: Any, auto: Any = transformers.AutoModelForCausalLM, **options: Any
) -> Path:
    """Save an adapter whose tensors are random, so that every part of it has an effect."""
    torch.manual_seed(1)
    model = peft.get_peft_model(auto.from_pretrained(base, **options), config)
    with torch.no_grad():
        for _name, value in model.named_parameters():
            if value.requires_grad:
                value.normal_(0, 0.3)
    model.save_pretrained(folder)
    edit(folder / "adapter_config.json", base_model_name_or_path=str(base))
    return folder


def lora(**options: Any) -> Any:
    return peft.LoraConfig(**{"task_type": "CAUSAL_LM", "r": 2, "target_modules": TARGETS, **options})


def tensors(folder: Path, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    file = folder / "model.safetensors"
    save_file(dict(change(load_file(file))), file, metadata={"format": "pt"})


def models(root: Path) -> Iterator[ProbeRequest]:
    """Build full models; yields what is asked of each."""
    llama, bert, t5 = transformers.LlamaConfig(**TEXT), transformers.BertConfig(**BERT), {"d_kv": 8, "d_ff": 32}
    t5_config = transformers.T5Config(
        vocab_size=64, d_model=32, num_layers=1, num_heads=2, decoder_start_token_id=0, **t5
    )
    seq2seq = transformers.T5ForConditionalGeneration(t5_config)
    whisper = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(**SPEECH))
    headless = full(root / "headless", transformers.LlamaModel(llama))
    tied = transformers.LlamaConfig(**{**TEXT, "tie_word_embeddings": True})
    sentences = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for name, folder in {
        "headless": headless,
        "legacy-name": full(root / "legacy-name", seq2seq, architectures=["T5WithLMHeadModel"]),
        "no-name": full(root / "no-name", transformers.BertModel(bert), architectures=None),
        "whisper": full(root / "whisper", whisper),
        "sentences": full(root / "sentences", transformers.BertModel(bert, add_pooling_layer=False)),
        "spare-head": full(
            root / "spare-head", transformers.BertForPreTraining(bert), architectures=["BertForMaskedLM"]
        ),
        "other-type": full(
            root / "other-type", transformers.LlamaForCausalLM(llama), architectures=["MistralForCausalLM"]
        ),
        "moved": full(root / "moved", transformers.LlamaForCausalLM(llama)),
        "experts": full(
            root / "experts", transformers.MixtralForCausalLM(transformers.MixtralConfig(**TEXT, num_local_experts=2))
        ),
    }.items():
        if name == "sentences":
            (folder / "modules.json").write_text(json.dumps(sentences))
            edit(folder / "config.json", architectures=["BertForMaskedLM"])
        if name == "moved":
            tensors(folder, lambda t: {k.replace("self_attn", "attention"): v for k, v in t.items()})
        yield ProbeRequest(level="generate" if name == "whisper" else "load", path=str(folder))
    yield ProbeRequest(level="load", path=str(headless), prompted=True)
    tied_base = full(root / "tied-headless", transformers.LlamaModel(tied))
    yield ProbeRequest(level="generate", path=str(tied_base), prompted=True)


def adapters(root: Path) -> Iterator[ProbeRequest]:
    """Build adapters; yields what is asked of each."""
    base = full(root / "base", transformers.LlamaForCausalLM(transformers.LlamaConfig(**TEXT)))
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    seeing_config = transformers.LlavaConfig(
        text_config={"model_type": "llama", **TEXT},
        vision_config={"model_type": "clip_vision_model", "image_size": 8, "patch_size": 4, **vision},
        image_token_index=60,
    )
    seeing = full(root / "seeing", transformers.LlavaForConditionalGeneration(seeing_config))
    classifier, looker = transformers.AutoModelForSequenceClassification, transformers.AutoModelForImageTextToText
    tokens = peft.TrainableTokensConfig(task_type="CAUSAL_LM", token_indices=[50, 51], target_modules=["embed_tokens"])
    made = {
        "reward": adapter(root / "reward", base, lora(task_type="SEQ_CLS"), classifier, num_labels=1),
        "tokens": adapter(root / "tokens", base, tokens),
        "tokens-and-lora": adapter(root / "tokens-and-lora", base, lora(trainable_token_indices=[50])),
        "invoked": adapter(root / "invoked", base, lora(alora_invocation_tokens=[40, 41])),
        "saved-head": adapter(root / "saved-head", root / "headless", lora(modules_to_save=["lm_head"])),
        "looks": adapter(root / "looks", seeing, lora(target_modules=r".*vision_tower.*q_proj"), looker),
        "speaks": adapter(root / "speaks", seeing, lora(target_modules=r".*language_model.*q_proj"), looker),
    }
    zero = json.loads((made["tokens-and-lora"] / "adapter_config.json").read_text())
    assert zero["task_type"] == "CAUSAL_LM"
    shutil.copytree(made["tokens"], root / "no-task")
    edit(root / "no-task/adapter_config.json", task_type=None)
    made["no-task"] = root / "no-task"
    for name, folder in made.items():
        where = {"saved-head": root / "headless", "looks": seeing, "speaks": seeing}.get(name, base)
        yield ProbeRequest(level="generate", kind="adapter", path=str(folder), base=str(where))
    yield ProbeRequest(level="load", kind="adapter", path=str(made["tokens"]), base=str(made["invoked"]))


def main(root: Path) -> None:
    """Build and probe everything; writes one outcome a line."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    asked = [*models(root), *adapters(root)]
    with (root / "outcomes.jsonl").open("w") as file:
        for request in asked:
            outcome = dataclasses.asdict(forked(request))
            file.write(json.dumps({"request": dataclasses.asdict(request), "outcome": outcome}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
