"""What generation_config.json asks for and `generate` refuses, by the rules of transformers' logits processors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def generation_faults(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each setting with which `generate` raises, though a load takes it.

    Source: `generation/logits_process.py` and `GenerationMixin._prepare_special_tokens`, alike in 4.57 and 5.
    """
    temperature, top_k, penalty = (values.get(k) for k in ("temperature", "top_k", "repetition_penalty"))
    if values.get("do_sample") is True:
        if temperature not in (None, 1) and not _is_positive(temperature, float):
            yield f"temperature is {temperature!r}, where a number above 0 with a point is expected to sample"
        if top_k not in (None, 0) and not _is_positive(top_k, int):
            yield f"top_k is {top_k!r}, where a whole number above 0 is expected to sample (0 switches it off)"
    if penalty not in (None, 1) and not _is_positive(penalty, float):
        yield f"repetition_penalty is {penalty!r}, where a number above 0 with a point is expected"
    for name in ("eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id"):
        value = values.get(name)
        if any(isinstance(v, str) for v in (value if isinstance(value, list) else [value])):
            yield f"{name} is {value!r}, where the number of a token is expected"


def _is_positive(value: object, kind: type) -> bool:
    return type(value) is kind and value > 0  # type: ignore[operator]
