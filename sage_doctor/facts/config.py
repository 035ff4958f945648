"""The sizes in a `config.json` that can be read without knowing the architecture."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sage_doctor.system.frozen import frozen

_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim", "model_dim")
_HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads")
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
# A configuration that sets one of these does not divide hidden_size by its heads.
_HEAD_SIZES = ("head_dim", "d_kv", "kv_channels", "attention_head_dim", "attention_head_size", "qk_head_dim",
               "qk_nope_head_dim", "kv_lora_rank", "head_size", "attention_hidden_size", "d_head")  # fmt: skip

# Text models whose configuration or attention refuses a hidden size that its heads do not divide, without a head size
# of their own. Others round down (qwen2, glm4_moe: 4096 over 96 heads by default), so nothing is said of those.
_DIVIDED = frozenset(
    {
        "arcee", "bart", "bert", "big_bird", "biogpt", "blenderbot", "bloom", "camembert", "codegen", "deberta",
        "deberta-v2", "falcon", "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "internlm3", "llama", "longformer",
        "m2m_100", "marian", "mbart", "mistral", "modernbert", "mpnet", "opt", "pegasus", "persimmon", "roberta",
        "stablelm", "whisper", "xlm-roberta",
    }
)  # fmt: skip
_STACK = re.compile(r"\w*(?:encoder|decoder)\w*layers|\w*layers\w*(?:encoder|decoder)\w*", re.ASCII)
_DEEPEST = 3  # a config in a config
# Their token embedding has rows for images or padding beyond the vocabulary.
_ROWS_BEYOND = {"mllama": 8, "mllama_text_model": 8, "moshi": 1}


@frozen
class ConfigFacts:
    """The numbers of the text part of a config; None where it does not state one as a positive integer.

    `extra_layers` are stored behind the counted ones: they predict further tokens and may be left out.
    """

    model_type: str | None
    architectures: tuple[str, ...]
    vocab_size: int | None
    hidden_size: int | None
    layers: int | None
    extra_layers: int
    heads: int | None
    kv_heads: int | None
    tied_embeddings: bool | None
    quantized: bool
    nested: bool
    dtype: str | None
    auto_map: tuple[str, ...]


def read_config_facts(config: Mapping[str, Any]) -> ConfigFacts:
    """Return the facts in a parsed `config.json`. Never raises: values of other types count as not stated."""
    text = config.get("text_config")
    nested = isinstance(text, Mapping)
    source: Mapping[str, Any] = text if isinstance(text, Mapping) else config
    architectures = config.get("architectures")
    auto_map = config.get("auto_map")
    tied = source.get("tie_word_embeddings", config.get("tie_word_embeddings"))
    model_type = config.get("model_type")
    dtype = config.get("dtype", config.get("torch_dtype"))
    return ConfigFacts(
        model_type=model_type if isinstance(model_type, str) and model_type else None,
        architectures=tuple(a for a in architectures if isinstance(a, str)) if isinstance(architectures, list) else (),
        vocab_size=_first(source, ("vocab_size",)) or _first(config, ("vocab_size",)),
        hidden_size=_first(source, _HIDDEN),
        layers=_first(source, _LAYERS),
        extra_layers=_first(source, ("num_nextn_predict_layers",)) or 0,
        heads=_first(source, _HEADS),
        kv_heads=_first(source, ("num_key_value_heads", "num_kv_heads")),
        tied_embeddings=tied if isinstance(tied, bool) else None,
        # MLX writes its own key, and packs several numbers into one of an unsigned tensor.
        quantized=any(isinstance(config.get(k), Mapping) for k in ("quantization_config", "quantization")),
        nested=nested,
        dtype=dtype if isinstance(dtype, str) else None,
        auto_map=tuple(str(k) for k in auto_map) if isinstance(auto_map, Mapping) else (),
    )


def impossible_sizes(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each combination of sizes in a config that no model can have."""
    text = config.get("text_config")
    source: Mapping[str, Any] = text if isinstance(text, Mapping) else config
    for name in ("vocab_size", *_HIDDEN, *_HEADS, *_LAYERS, "num_key_value_heads"):
        value = source.get(name)
        if isinstance(value, bool) or (value is not None and not isinstance(value, (int, list, Mapping))):
            yield f"{name} is {value!r}, where a whole number is expected"
        elif isinstance(value, int) and (value < 0 or (value == 0 and name not in _LAYERS)):
            yield f"{name} is {value}"
    if isinstance(source.get("tie_word_embeddings"), str):  # before transformers 5 any text ties
        yield f"tie_word_embeddings is {source['tie_word_embeddings']!r}, where true or false is expected"
    labels = config.get("id2label")
    if labels is not None and not (isinstance(labels, Mapping) and all(map(_is_whole, labels))):
        yield f"id2label is {str(labels)[:40]}…, where an object of numbers and names is expected"
    hidden, heads = _first(source, _HIDDEN), _first(source, _HEADS)
    kv_heads = _first(source, ("num_key_value_heads", "num_kv_heads"))
    stated_head_size = any(source.get(n) is not None for n in _HEAD_SIZES)
    model_type = source.get("model_type")
    divided = isinstance(model_type, str) and model_type in _DIVIDED and not stated_head_size
    if hidden and heads and divided and hidden % heads:
        yield f"hidden size {hidden} cannot be divided by {heads} attention heads"
    if heads and kv_heads and heads % kv_heads:
        yield f"{heads} attention heads cannot share {kv_heads} key/value heads"


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?\d+\s*", text) is not None


def sizes_named(config: Mapping[str, Any], *, part: str) -> set[int]:
    """Return every integer in a config whose key contains `part`: other widths an embedding may have.

    For `vocab`, also the numbers of rows of the few architectures that have more of them than tokens.
    """
    text = config.get("text_config")
    sources = [config, text] if isinstance(text, Mapping) else [config]
    named = {v for s in sources for k, v in s.items() if part in k and type(v) is int}
    if part == "vocab":
        kinds = [k for s in sources if isinstance(k := s.get("model_type"), str)]
        named |= {v + _ROWS_BEYOND[k] for v in named for k in kinds if k in _ROWS_BEYOND}
        for books, size in ((s.get("num_codebooks"), s.get("codebook_vocab_size")) for s in sources):
            if type(books) is int and type(size) is int:  # text and the codes of sound share an embedding
                named |= {v + books * size + more for v in named for more in (0, 1)}
    return named


def layers_named(config: Mapping[str, Any]) -> set[int]:
    """Return the numbers of layers that a config states for its encoder and decoder apart.

    Such a model has no one number: `num_hidden_layers` is then its encoder's, and weights of `decoder.layers` are not.
    """
    return {v for k, v in config.items() if _STACK.fullmatch(k) and type(v) is int}


def additional_rows(config: Mapping[str, Any]) -> int:
    """Return the rows that an architecture keeps apart from its token embedding: `additional_vocab_size` of idefics."""
    text = config.get("text_config")
    sources = [config, text] if isinstance(text, Mapping) else [config]
    return max((v for s in sources if type(v := s.get("additional_vocab_size")) is int), default=0)


def label_count(config: Mapping[str, Any]) -> int:
    """Return how many labels transformers gives a classifier of this configuration: 2 where it names none."""
    named, said = config.get("id2label"), config.get("num_labels")
    if type(said) is int:
        return said
    return len(named) if isinstance(named, dict) else 2


def names_timm(config: Mapping[str, Any]) -> bool:
    """Return whether a config is one of timm, which transformers wraps (its `is_timm_config_dict`)."""
    return "pretrained_cfg" in config


def largest_named(config: Mapping[str, Any], parts: tuple[str, ...], depth: int = 0) -> int:
    """Return the largest integer in a config, or in one inside it, whose key contains one of `parts`; 0 if none."""
    found = [v for k, v in config.items() if type(v) is int and any(p in k for p in parts)]
    inner = [v for v in config.values() if isinstance(v, Mapping)] if depth < _DEEPEST else []
    return max([*found, *(largest_named(v, parts, depth + 1) for v in inner)], default=0)


def _first(source: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = source.get(name)
        if type(value) is int and value > 0:
            return value
    return None
