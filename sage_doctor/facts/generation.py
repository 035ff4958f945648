"""What generation_config.json asks for and `generate` refuses, by the rules of transformers' logits processors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from sage_doctor.readers.python_source import source_text


def load_faults(site_packages: Sequence[Path], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each setting with which the model does not even load.

    Source: `GenerationConfig.validate`, alike in 4.57 and 5, which has its own list of caches.
    """
    tokens, cache, several = (values.get(k) for k in ("max_new_tokens", "cache_implementation", "num_return_sequences"))
    if tokens is not None and not _is_positive(tokens, int) and not _is_positive(tokens, float):
        yield f"max_new_tokens is {tokens!r}, where a whole number above 0 is expected"
    if values.get("early_stopping") not in (None, True, False, "never"):
        yield f'early_stopping is {values["early_stopping"]!r}, where true, false or "never" is expected'
    if isinstance(cache, str):
        text = "".join(source_text(p / "transformers/generation/configuration_utils.py") for p in site_packages)
        if "CACHE_IMPLEMENTATIONS" in text and f'"{cache}"' not in text:
            yield f"cache_implementation is {cache!r}, a cache that it does not have"
    greedy = values.get("num_beams") in (None, 1) and values.get("do_sample") in (None, False)
    if type(several) is int and several > 1 and greedy:
        yield f"num_return_sequences is {several}, which takes do_sample or num_beams"


def generation_faults(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each setting with which `generate` raises, though a load takes it.

    Source: `generation/logits_process.py` and `GenerationMixin._prepare_special_tokens`, alike in 4.57 and 5.
    """
    penalty = values.get("repetition_penalty")
    if values.get("do_sample") is True:
        yield from _sampling_faults(values)
    if penalty not in (None, 1) and not _is_positive(penalty, float):
        yield f"repetition_penalty is {penalty!r}, where a number above 0 with a point is expected"
    for name in ("num_beams", "no_repeat_ngram_size"):
        value = values.get(name)
        if isinstance(value, str) or (name == "num_beams" and type(value) is int and value < 1):
            yield f"{name} is {value!r}, where a whole number is expected"
    for name in ("eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id"):
        value = values.get(name)
        if any(isinstance(v, str) for v in (value if isinstance(value, list) else [value])):
            yield f"{name} is {value!r}, where the number of a token is expected"


def _sampling_faults(values: Mapping[str, Any]) -> Iterator[str]:
    temperature, top_k = values.get("temperature"), values.get("top_k")
    if temperature not in (None, 1) and not _is_positive(temperature, float):
        yield f"temperature is {temperature!r}, where a number above 0 with a point is expected to sample"
    if top_k not in (None, 0) and not _is_positive(top_k, int):
        yield f"top_k is {top_k!r}, where a whole number above 0 is expected to sample (0 switches it off)"
    for name in ("top_p", "min_p"):
        share = values.get(name)
        if isinstance(share, str) or (name == "min_p" and _is_number(share) and not 0 <= share <= 1):
            yield f"{name} is {share!r}, where a number between 0 and 1 is expected"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_positive(value: object, kind: type) -> bool:
    return type(value) is kind and value > 0  # type: ignore[operator]
