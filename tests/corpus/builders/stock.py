"""The stock: tiny healthy models of many architectures, built and saved by transformers itself.

Run as `python -m builders.stock DESTINATION` in a process of its own, so that torch never enters the test run.
Hidden size 32, two layers, random weights; every directory loads with `from_pretrained` and without a warning
about its weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import tokens

_TEXT = {
    "vocab_size": tokens.SIZE,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
_VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_IMAGE = {**_VISION, "image_size": 8, "patch_size": 4}
_SPEECH = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 32,
    "conv_dim": [16, 16],
    "conv_stride": [2, 2],
    "conv_kernel": [3, 3],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "num_codevectors_per_group": 4,
    "codevector_dim": 16,
    "proj_codevector_dim": 16,
    "xvector_output_dim": 16,
    "tdnn_dim": [16, 16, 16, 16, 16],
}
_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_GPT2 = {"vocab_size": tokens.SIZE, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, **_IDS}
_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "pad_token_id": 0, "eos_token_id": 2}


# Encoders with more layers than their decoders, which state one number for each.
_PAIR = {
    "vocab_size": tokens.SIZE,
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 2,
    **_IDS,
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one stock model is made. `auto` is the Auto class that builds it; `tokenizer` writes its tokenizer."""

    model_type: str
    values: Mapping[str, Any]
    auto: str = "AutoModelForCausalLM"
    dtype: str = "float32"
    shard: str = "5GB"
    tokenizer: Callable[[Path], None] | None = tokens.save_word_level
    files: Mapping[str, str] = field(default_factory=dict)


def _text(model_type: str, **changes: Any) -> Recipe:
    return Recipe(model_type=model_type, values={**_TEXT, **changes})


def _speech(model_type: str, auto: str = "AutoModel") -> Recipe:
    """Return a model of sound as it is published: with a feature extractor, and without a tokenizer."""
    files = {"preprocessor_config.json": '{"feature_extractor_type": "Wav2Vec2FeatureExtractor"}'}
    return Recipe(model_type=model_type, auto=auto, values=_SPEECH, tokenizer=None, files=files)


def _pair(model_type: str, auto: str = "AutoModelForSeq2SeqLM", **changes: Any) -> Recipe:
    return Recipe(model_type=model_type, auto=auto, values={**_PAIR, **changes})


RECIPES: Mapping[str, Recipe] = {
    "llama": _text("llama"),
    "llama-sharded": Recipe(model_type="llama", values=_TEXT, dtype="bfloat16", shard="8KB"),
    "mistral": _text("mistral", sliding_window=64),
    "qwen2-tied-padded": _text("qwen2", vocab_size=128, tie_word_embeddings=True),
    "qwen3": _text("qwen3", hidden_size=40, num_attention_heads=3, num_key_value_heads=1, head_dim=16),
    "phi": _text("phi"),
    "phi3": _text("phi3"),
    "gemma2": _text("gemma2", head_dim=16, tie_word_embeddings=True),
    "gemma3_text": _text("gemma3_text", head_dim=16, tie_word_embeddings=True),
    "olmo2": _text("olmo2"),
    "stablelm": _text("stablelm"),
    "granite": _text("granite"),
    "mixtral": _text("mixtral", num_local_experts=2),
    "qwen2_moe": _text(
        "qwen2_moe",
        num_experts=2,
        num_experts_per_tok=1,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
    ),
    "deepseek_v3": _text(
        "deepseek_v3",
        num_key_value_heads=4,
        q_lora_rank=8,
        kv_lora_rank=8,
        qk_rope_head_dim=4,
        qk_nope_head_dim=6,
        v_head_dim=6,
        n_routed_experts=2,
        num_experts_per_tok=1,
        n_group=1,
        topk_group=1,
        moe_intermediate_size=16,
        first_k_dense_replace=1,
    ),
    "gpt_oss": _text(
        "gpt_oss",
        head_dim=8,
        num_local_experts=2,
        num_experts_per_tok=1,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "gpt_neox": _text("gpt_neox"),
    "opt": _text("opt", ffn_dim=64, word_embed_proj_dim=16, tie_word_embeddings=True),
    "falcon": _text("falcon", alibi=False, new_decoder_architecture=False, multi_query=True),
    "bloom": Recipe(
        model_type="bloom", values={"vocab_size": tokens.SIZE, "hidden_size": 32, "n_layer": 2, "n_head": 4, **_IDS}
    ),
    "mamba": _text("mamba", state_size=4, tie_word_embeddings=True),
    "gpt2": Recipe(model_type="gpt2", values=_GPT2, tokenizer=tokens.write_bpe_pair),
    # As openai-community/gpt2 was published: saved from the bare GPT2Model, so no tensor starts with `transformer.`,
    # while config.json names the causal LM. It loads without a word.
    "gpt2-bare": Recipe(
        model_type="gpt2",
        auto="AutoModel",
        tokenizer=tokens.write_bpe_pair,
        values={**_GPT2, "architectures": ["GPT2LMHeadModel"]},
    ),
    "t5": Recipe(
        model_type="t5",
        auto="AutoModelForSeq2SeqLM",
        tokenizer=tokens.save_unigram,
        values={**_T5, "vocab_size": tokens.SIZE, "decoder_start_token_id": 0},
    ),
    "byt5": Recipe(
        model_type="t5",
        auto="AutoModelForSeq2SeqLM",
        tokenizer=tokens.write_byte_level,
        values={**_T5, "vocab_size": 384, "decoder_start_token_id": 0, "tie_word_embeddings": False},
    ),
    "bert": Recipe(
        model_type="bert",
        auto="AutoModelForPreTraining",
        tokenizer=tokens.write_word_pieces,
        values={**_VISION, "vocab_size": tokens.SIZE, "max_position_embeddings": 64},
    ),
    # It reads characters, by hashes: no vocabulary.
    "canine": Recipe(
        model_type="canine",
        auto="AutoModel",
        tokenizer=None,
        values={**_VISION, "max_position_embeddings": 64, "num_hash_buckets": 64, "upsampling_kernel_size": 4},
        files={"tokenizer_config.json": '{"tokenizer_class": "CanineTokenizer"}'},
    ),
    "vit": Recipe(
        model_type="vit",
        auto="AutoModelForImageClassification",
        tokenizer=None,
        values=_IMAGE,
        files={"preprocessor_config.json": '{"image_processor_type": "ViTImageProcessor", "size": 8}'},
    ),
    "hubert": _speech("hubert"),
    "wavlm": _speech("wavlm", "AutoModelForAudioXVector"),
    "unispeech-sat": _speech("unispeech-sat", "AutoModelForAudioClassification"),
    "wav2vec2": _speech("wav2vec2", "AutoModelForPreTraining"),
    "wav2vec2-letters": Recipe(
        model_type="wav2vec2",
        auto="AutoModelForCTC",
        values=_SPEECH,
        tokenizer=None,
        files={
            "vocab.json": '{"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "E": 5, "T": 6}',
            "tokenizer_config.json": '{"do_lower_case": false, "word_delimiter_token": "|"}',
            "preprocessor_config.json": '{"feature_extractor_type": "Wav2Vec2FeatureExtractor"}',
        },
    ),
    # whisper-large-v3-turbo (32 layers against 4), distilbart-cnn-12-6, distil-large-v3 and their kin.
    "whisper": Recipe(
        model_type="whisper",
        auto="AutoModelForSpeechSeq2Seq",
        values={
            **_PAIR,
            "num_mel_bins": 8,
            "max_source_positions": 64,
            "max_target_positions": 64,
            "suppress_tokens": [],
            "begin_suppress_tokens": [],
            "num_hidden_layers": 3,
        },
        files={"preprocessor_config.json": '{"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 8}'},
    ),
    "bart": _pair("bart"),
    "mbart": _pair("mbart"),
    "pegasus": _pair("pegasus"),
    "marian": _pair("marian", decoder_vocab_size=tokens.SIZE),
    "m2m_100": _pair("m2m_100"),
    "t5-uneven": Recipe(
        model_type="t5",
        auto="AutoModelForSeq2SeqLM",
        tokenizer=tokens.save_unigram,
        values={
            **_T5,
            "num_layers": 3,
            "num_decoder_layers": 1,
            "vocab_size": tokens.SIZE,
            "decoder_start_token_id": 0,
        },
    ),
    "speech_to_text": Recipe(
        model_type="speech_to_text",
        auto="AutoModelForSpeechSeq2Seq",
        values={
            **_PAIR,
            "max_source_positions": 64,
            "max_target_positions": 64,
            "input_feat_per_channel": 8,
            "conv_channels": 16,
        },
        files={"preprocessor_config.json": '{"feature_extractor_type": "Speech2TextFeatureExtractor"}'},
    ),
    "vision-encoder-decoder": Recipe(
        model_type="vision-encoder-decoder",
        auto="AutoModelForImageTextToText",
        values={
            "encoder": {"model_type": "vit", **_IMAGE, "num_hidden_layers": 3},
            "decoder": {
                "model_type": "bert",
                **_VISION,
                "vocab_size": tokens.SIZE,
                "max_position_embeddings": 64,
                "is_decoder": True,
                "add_cross_attention": True,
                "num_hidden_layers": 1,
            },
        },
    ),
    # Text and vision sizes lie in nested configurations: nothing at the top names vocab_size or hidden_size.
    "llava": Recipe(
        model_type="llava",
        auto="AutoModelForImageTextToText",
        values={
            "text_config": {"model_type": "llama", **_TEXT},
            "vision_config": {"model_type": "clip_vision_model", "projection_dim": 32, **_IMAGE},
            "image_token_index": 95,
        },
        files={"processor_config.json": '{"processor_class": "LlavaProcessor", "patch_size": 4}'},
    ),
}
SPEAKING = ("llama",)  # the models that count: w4 w5 w6 …, so that a generation of theirs is not degenerate


def build(destination: Path, names: tuple[str, ...] = tuple(RECIPES)) -> None:
    """Build the named stock models below `destination`."""
    import torch
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for name in names:
        recipe, folder = RECIPES[name], destination / name
        torch.manual_seed(len(name))
        config = transformers.AutoConfig.for_model(recipe.model_type, **recipe.values)
        model = getattr(transformers, recipe.auto).from_config(config, dtype=getattr(torch, recipe.dtype))
        if name in SPEAKING:
            _teach_counting(model)
        if "architectures" in recipe.values:
            model.config.architectures = recipe.values["architectures"]
        model.save_pretrained(folder, max_shard_size=recipe.shard)
        if "architectures" in recipe.values:
            _name_architectures(folder / "config.json", recipe.values["architectures"])
        if recipe.tokenizer is not None:
            recipe.tokenizer(folder)
        for file, text in recipe.files.items():
            (folder / file).write_text(text, encoding="utf-8")


def _teach_counting(model: Any) -> None:
    """Make the greedy successor of every token the next one: the output head is the embedding, shifted by one."""
    import torch

    with torch.no_grad():
        table = torch.nn.functional.normalize(torch.randn(tokens.SIZE, 32), dim=1)
        model.model.embed_tokens.weight.copy_(table)
        model.lm_head.weight.copy_(torch.roll(table, 1, dims=0))
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.mul_(0.01)
            layer.mlp.down_proj.weight.mul_(0.01)


def _name_architectures(config: Path, names: list[str]) -> None:
    import json

    value = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**value, "architectures": names}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
