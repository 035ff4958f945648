"""Attention and windows that a session does not have, settings that a load refuses, prefixes that nothing looks for."""

from __future__ import annotations

from typing import Any

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json
from tests.corpus.builders.field.pages import without
from tests.corpus.builders.tensors import MODEL

TABLE = Table("field-attention", in_tree=False, shows="loads")
_REFUSED = "ValueError: Specified `attn_implementation"
_NOWHERE = "loads, but missing_keys"


def _config(bench: Bench, name: str = "llama", **changes: Any) -> None:
    edit_json(bench.copy(name) / "config.json", **changes)


def _generation(bench: Bench, **values: Any) -> None:
    write_json(bench.copy() / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, **values})


def _renamed(bench: Bench, name: str, old: str, new: str) -> None:
    folder = bench.copy(name)
    stored = tensors.unpack(folder / MODEL)
    tensors.pack(folder / MODEL, {k.replace(old, new, 1) if old else new + k: v for k, v in stored.items()})


# Windows


@TABLE.error("config-invalid", source="mlc-ai/web-llm#478")
def window_of_minus_one(bench: Bench) -> None:
    """Loads, and the first prompt ends in a RuntimeError."""
    _config(bench, "mistral", sliding_window=-1)


@TABLE.error("config-invalid", source="mlc-ai/web-llm#478", shows_4="loads")
def window_of_zero(bench: Bench) -> None:
    """Which 4.57 takes for none, and 5 for a window."""
    _config(bench, "mixtral", sliding_window=0)


@TABLE.error("config-invalid", source="axolotl-ai-cloud/axolotl#1047")
def window_taken_out_of_sliding_layers(bench: Bench) -> None:
    """Layers still slide, and null does not say how far."""
    folder = bench.copy("gemma3_text")
    types = ["sliding_attention" for _ in read_json(folder / "config.json")["layer_types"]]
    edit_json(folder / "config.json", sliding_window=None, layer_types=types)


@TABLE.healthy(source="https://huggingface.co/mistralai/Mistral-7B-Instruct-v0.3/blob/main/config.json")
def window_of_none(bench: Bench) -> None:
    """Null is how one writes none."""
    _config(bench, "mistral", sliding_window=None)


@TABLE.healthy(source="https://huggingface.co/Qwen/Qwen2.5-7B-Instruct/blob/main/config.json")
def window_that_is_not_used(bench: Bench) -> None:
    """use_sliding_window says whether it counts."""
    _config(bench, "qwen2-tied-padded", sliding_window=0, use_sliding_window=False)


# Attention


@TABLE.error("config-invalid", source="OpenGVLab/OmniQuant#49", shows=_REFUSED)
def attention_of_xformers(bench: Bench) -> None:
    """A name of another program's option."""
    _config(bench, _attn_implementation="xformers")


@TABLE.error("config-invalid", source="QwenLM/Qwen3-VL#1690", shows=_REFUSED, shows_4="loads")
def attention_misspelt(bench: Bench) -> None:
    """As an argument is called, which is read since 5."""
    _config(bench, attn_implementation="flash_attn_2")


@TABLE.healthy(source="https://huggingface.co/docs/transformers/attention_interface", shows_4="ValueError")
def attention_by_pages(bench: Bench) -> None:
    """paged|sdpa, which is in no table of names."""
    _config(bench, _attn_implementation="paged|sdpa")


@TABLE.healthy(source="https://huggingface.co/microsoft/Phi-3-mini-4k-instruct/blob/main/config.json")
def attention_that_is_plain(bench: Bench) -> None:
    """eager is no entry of the table, and always there."""
    _config(bench, "phi3", _attn_implementation="eager")


# Settings of generation


@TABLE.error("config-invalid", source="modelscope/ms-swift#3032", shows="ValueError: `max_new_tokens` must be")
def no_new_tokens(bench: Bench) -> None:
    """-1 for no limit, as other programs have it."""
    _generation(bench, max_new_tokens=-1)


@TABLE.error("config-invalid", source="huggingface/transformers#28621", shows="ValueError: `max_new_tokens` must be")
def zero_new_tokens(bench: Bench) -> None:
    """Nothing is to be said."""
    _generation(bench, max_new_tokens=0)


@TABLE.error("config-invalid", source="huggingface/transformers#40276", shows="ValueError: Invalid `cache_impl")
def a_cache_unknown(bench: Bench) -> None:
    """Misspelt."""
    _generation(bench, cache_implementation="dynamic_cache")


@TABLE.error("config-invalid", source="huggingface/course#988", shows="ValueError: Greedy methods")
def several_answers_without_sampling(bench: Bench) -> None:
    """num_return_sequences, with neither sampling nor beams."""
    _generation(bench, num_return_sequences=4, do_sample=False)


@TABLE.healthy(source="neulab/lti-llm-deployment#7")
def several_answers(bench: Bench) -> None:
    """The same with sampling."""
    _generation(bench, num_return_sequences=4, do_sample=True, temperature=0.7, top_p=0.9)


@TABLE.healthy(source="https://huggingface.co/facebook/bart-large-cnn/blob/main/generation_config.json")
def beams(bench: Bench) -> None:
    """Beams, a ban of repeated words and early stopping."""
    _generation(bench, num_beams=4, no_repeat_ngram_size=3, early_stopping=True, length_penalty=2.0, min_length=5)


@TABLE.healthy(source="huggingface/transformers#40135")
def a_cache_of_its_own(bench: Bench) -> None:
    """A name that both releases know."""
    _generation(bench, cache_implementation="hybrid")


# Parts that are text, prefixes, and files without tensors


@TABLE.error(
    "config-invalid",
    source="sgl-project/sglang#6848",
    shows="StrictDataclassFieldValidationError",
    shows_4="AttributeError",
)
def a_part_that_is_a_name(bench: Bench) -> None:
    """text_config names a model instead of describing it."""
    _config(bench, "llava", text_config="meta-llama/Llama-2-7b-hf")


@TABLE.error("weights-keys-missing", source="OpenBMB/AgentCPM-GUI#80", shows=_NOWHERE)
def prefix_of_a_wrapper_of_two(bench: Bench) -> None:
    """model.model.llm. before every name."""
    _renamed(bench, "qwen2-tied-padded", "", "model.model.llm.")


@TABLE.error("weights-keys-missing", source="vllm-project/vllm#19139", shows=_NOWHERE)
def prefix_of_a_model_with_images(bench: Bench) -> None:
    """language_model., which the library renames in other architectures alone."""
    _renamed(bench, "llama", "", "language_model.")


@TABLE.error("weights-keys-missing", source="vllm-project/vllm#50355", shows=_NOWHERE)
def prefix_within_the_models_own(bench: Bench) -> None:
    """model.language_model. in a model of text."""
    _renamed(bench, "qwen3", "model.", "model.language_model.")


@TABLE.error("weights-empty", source="huggingface/accelerate#2294", shows=_NOWHERE)
def a_file_without_tensors(bench: Bench) -> None:
    """A whole header, and nothing in it."""
    tensors.pack(bench.copy() / MODEL, {})


@TABLE.warning("tokenizer-invalid", source="huggingface/huggingface_hub#4550")
def settings_of_the_tokenizer_behind_a_dead_link(bench: Bench) -> None:
    """A load goes on as if there were none."""
    folder = without(bench.copy(), "tokenizer_config.json")
    (folder / "tokenizer_config.json").symlink_to("../../blobs/gone")
