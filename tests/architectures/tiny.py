"""Tiny random models of every architecture that the installed transformers can build. Imports torch."""

# ruff: noqa: TID253 - runs in a process of its own, never imported by a test

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.models.auto import modeling_auto
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

VOCABULARY = 128
MOST_PARAMETERS = 20_000_000
# One model of each of these is built for every model type that has it, the first of the last group alone: what people
# load to speak, and one class for everything else.
SPEAKING = ("CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "SPEECH_SEQ_2_SEQ", "MULTIMODAL_LM")
OTHERS = (
    *("MASKED_LM", "CTC", "AUDIO_CLASSIFICATION", "IMAGE_CLASSIFICATION", "VIDEO_CLASSIFICATION"),
    *("OBJECT_DETECTION", "SEMANTIC_SEGMENTATION", "ZERO_SHOT_IMAGE_CLASSIFICATION", "TEXT_TO_WAVEFORM"),
    *("TIME_SERIES_PREDICTION", "DEPTH_ESTIMATION", "MASK_GENERATION", "AUDIO_XVECTOR"),
)
# Sizes by what a key is called; the first pattern that matches counts.
_SIZES: tuple[tuple[str, int], ...] = (
    (r"(^|_)(vocab_size|vocab_size_per_layer_input|additional_vocab_size)$", VOCABULARY),
    (r"(num_key_value_heads|num_kv_heads|num_global_key_value_heads)$", 2),
    (r"(heads|n_head|num_head)$", 4),
    (r"(^|_)(num_hidden_layers|n_layers?|num_layers|encoder_layers|decoder_layers|depth|num_blocks)$", 2),
    (
        r"(^|_)(hidden_size|d_model|n_embd|dim|embed_dim|width|embedding_size|dim_model|hidden_dim|decoder_hidden_size)$",
        32,
    ),
    (r"(intermediate_size|ffn_dim|d_ff|n_inner|mlp_dim|dim_ff|ffn_hidden_size|feed_forward_size|inner_dim)$", 64),
    (r"(^|_)(head_dim|d_kv|kv_channels|attention_head_size|v_head_dim)$", 8),
    (r"(qk_rope_head_dim)$", 4),
    (r"(qk_nope_head_dim)$", 4),
    (r"(lora_rank)$", 8),
    (r"(n_routed_experts|num_experts|num_local_experts|moe_num_experts)$", 4),
    (r"(num_experts_per_tok|moe_topk|moe_k|num_experts_per_token)$", 2),
    (r"(^|_)(n_group|topk_group)$", 1),
    (r"(first_k_dense_replace)$", 1),
    (r"(max_position_embeddings|n_positions|max_seq_len|max_source_positions|max_target_positions)$", 128),
)
_SPECIAL = re.compile(r"(^|_)(token_id|token_index|image_token|audio_token|video_token)$|_token_id$|_token_index$")
# What some classes cannot do without, though their defaults do.
_FILLED = {"head_dim": 8, "pad_token_id": 0, "num_key_value_heads": 2}


def classes() -> Iterator[tuple[str, str]]:
    """Yield model type and class of what is to be built."""
    tables = {name: getattr(modeling_auto, f"MODEL_FOR_{name}_MAPPING_NAMES", {}) for name in (*SPEAKING, *OTHERS)}
    seen, spoken = set(), set()
    for name in SPEAKING:
        for model_type, found in tables[name].items():
            for kind in [found] if isinstance(found, str) else found[:1]:
                spoken.add(model_type)
                if (model_type, kind) not in seen:
                    seen.add((model_type, kind))
                    yield model_type, kind
    for table in (*(tables[name] for name in OTHERS), modeling_auto.MODEL_MAPPING_NAMES):
        for model_type, found in table.items():
            if model_type not in spoken:
                spoken.add(model_type)
                yield model_type, found if isinstance(found, str) else found[0]


def shrunk(values: Any, kept: str, key: str = "") -> Any:
    """Return a configuration's values with small sizes; `kept` is a kind of key that stays."""
    if isinstance(values, dict):
        return {k: shrunk(v, kept, k) for k, v in values.items() if k != "per_layer_config"}
    if values is None:
        return _FILLED.get(key)
    if isinstance(values, list) and key == "intermediate_size":
        return [64, 64]
    if isinstance(values, list) and key in ("layer_types", "mlp_layer_types", "layers_block_type", "block_types"):
        return list(dict.fromkeys(values))[:2] if len(dict.fromkeys(values)) > 1 else values[:2]
    if type(values) is not int or values < 0:
        return values
    if _SPECIAL.search(key):
        return min(values, VOCABULARY - 1)
    for pattern, size in _SIZES:
        if re.search(pattern, key):
            return values if kept and kept in key else min(values, size)
    return values


def attempts(kind: Any) -> Iterator[Any]:
    """Yield ever larger configurations of one class: what refuses the smallest may take the next."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = kind().to_dict()
    for name in ("architectures", "transformers_version", "dtype", "torch_dtype", "model_type"):
        plain.pop(name, None)
    for kept in ("none", "head", "_dim", "size", "d_"):
        yield lambda kept=kept: kind(**shrunk(plain, kept))
    only = {k: v for k, v in plain.items() if type(v) is int and re.search(r"layers?$", k)}
    yield lambda: kind(**dict.fromkeys(only, 2))
    yield kind


def build(model_type: str, name: str) -> Any:
    """Return a tiny random model of a class, or None where none of the attempts can be built."""
    try:
        model_class = getattr(transformers, name)  # the tables name some that are not there
        kind = model_class.config_class or transformers.CONFIG_MAPPING[model_type]
        tries = list(attempts(kind))
    except Exception:  # noqa: BLE001 - hundreds of classes, each with its own way to refuse
        return None
    for make in tries:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                config = make()
                with torch.device("meta"):
                    size = sum(p.numel() for p in model_class._from_config(config).parameters())
                if size <= MOST_PARAMETERS:
                    torch.manual_seed(0)
                    return model_class._from_config(make())
        except Exception:  # noqa: BLE001
            continue
    return None


def loads(model: Any, folder: Path) -> bool:
    """Return whether transformers itself loads what it saved, with every tensor in its place."""
    _, info = type(model).from_pretrained(folder, output_loading_info=True, ignore_mismatched_sizes=True)
    return not any(info.values())


def save(model: Any, folder: Path) -> None:
    """Save a model as people have it: with the tokenizer or the processor that its kind has."""
    model.save_pretrained(folder)
    text = type(model.config) in transformers.TOKENIZER_MAPPING or model.main_input_name == "input_ids"
    named = model.input_modalities
    text = text or (not isinstance(named, str) and "text" in named) or "text" in model.config.model_type.split("_")
    if text or model.can_generate() or type(model).__name__.endswith("ForCTC"):
        rows = getattr(model.config.get_text_config(), "vocab_size", None) or VOCABULARY
        inner = Tokenizer(models.WordLevel({f"w{i}": i for i in range(min(96, rows))}, unk_token="w0"))
        inner.pre_tokenizer = pre_tokenizers.Whitespace()
        transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="w0").save_pretrained(folder)
    prepared = {*PROCESSOR_MAPPING_NAMES, *IMAGE_PROCESSOR_MAPPING_NAMES}  # imagegpt calls its pixels input_ids
    if model.main_input_name != "input_ids" or model.config.model_type in prepared:
        (folder / "preprocessor_config.json").write_text(json.dumps({"processor_class": "none"}))
