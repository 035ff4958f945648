"""An adapter's tensors against its own configuration and against the base's header."""

from pathlib import Path
from typing import Any

import pytest

from tests.model_directories import (
    ADAPTER,
    LORA,
    MODEL,
    PROJECTION,
    RANK,
    VOCABULARY,
    WEIGHTS,
    WIDTH,
    write_adapter,
    write_full,
    write_tensors,
)

from .cases import Bench, Case, Cases

CASES = Cases()
PREFIX = "base_model.model."


def healthy(bench: Bench, **config: Any) -> Path:
    return write_adapter(bench.here, write_full(bench.root / "base"), **config)


@CASES.passes("check_adapter_keys")
@CASES.passes("check_adapter_rank")
@CASES.passes("check_adapter_fits_base")
@CASES.passes("check_adapter_embeddings")
def whole(bench: Bench) -> None:
    healthy(bench)


@CASES.skips("check_adapter_keys", "only LoRA")
@CASES.skips("check_adapter_patterns", "only LoRA")
@CASES.skips("check_adapter_rank", "only LoRA")
@CASES.skips("check_adapter_fits_base", "only LoRA")
def of_another_type(bench: Bench) -> None:
    healthy(bench, peft_type="IA3")


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "its tensors do not have LoRA names")
def names_of_a_full_model(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, WEIGHTS)


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "'.default.'")
def names_with_the_adapters_own(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {n.replace(".weight", ".default.weight"): s for n, s in LORA.items()})


@CASES.finds("check_adapter_keys", "adapter-keys-unmatched", "do not have the prefix")
def names_without_the_prefix(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {n.removeprefix(PREFIX): s for n, s in LORA.items()})


@CASES.finds("check_adapter_rank", "adapter-rank-mismatch", f"has rank {RANK}, adapter_config.json states 4")
def another_rank(bench: Bench) -> None:
    healthy(bench, r=4)


@CASES.finds("check_adapter_rank", "adapter-rank-mismatch", "states 16")
def another_rank_by_pattern(bench: Bench) -> None:
    healthy(bench, rank_pattern={"q_proj": 16})


@CASES.finds("check_adapter_patterns", "adapter-pattern-unbounded", "rank_pattern: matching the pattern '(([a-z0-9._]")
def endless_pattern(bench: Bench) -> None:
    healthy(bench, rank_pattern={"(([a-z0-9._])+)+!": 16})


@CASES.passes("check_adapter_patterns")
def usual_patterns(bench: Bench) -> None:
    healthy(bench, rank_pattern={r"layers\.\d+\.self_attn\.q_proj": RANK, "q_proj": RANK}, alpha_pattern={"q_proj": 4})


@CASES.finds("check_adapter_fits_base", "adapter-targets-missing", "no modules c_attn")
def another_architecture(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {n.replace("q_proj", "c_attn"): s for n, s in LORA.items()})


@CASES.finds("check_adapter_fits_base", "adapter-shape-mismatch", f"is 2×12, the base's {PROJECTION}.weight is 8×8")
def another_width(bench: Bench) -> None:
    wide = {n: tuple(12 if size == WIDTH else size for size in s) for n, s in LORA.items()}
    write_tensors(healthy(bench) / ADAPTER, wide)


@CASES.skips("check_adapter_fits_base", "quantised")
def quantised_base(bench: Bench) -> None:
    write_adapter(bench.here, write_full(bench.root / "base", quantization_config={"bits": 4}))


@CASES.skips("check_adapter_fits_base", "no safetensors header")
@CASES.skips("check_adapter_embeddings", "no base")
def no_base(bench: Bench) -> None:
    write_adapter(bench.here, "org/name")


@CASES.finds("check_adapter_embeddings", "adapter-tied-embeddings", "embed_tokens", severity="warning")
def trained_embedding_of_a_tied_base(bench: Bench) -> None:
    trained = {f"{PREFIX}model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    write_tensors(healthy(bench) / ADAPTER, {**LORA, **trained})


@CASES.passes("check_adapter_embeddings")
def trained_embedding_of_an_untied_base(bench: Bench) -> None:
    trained_embedding_of_a_tied_base(bench)
    write_full(bench.root / "base", tie_word_embeddings=False)


@CASES.passes("check_adapter_fits_base")
def stored_transposed(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {n: (RANK, 24) if "_A" in n else (WIDTH, RANK) for n in LORA})
    write_tensors(bench.root / "base" / MODEL, {**WEIGHTS, f"{PROJECTION}.weight": (WIDTH, 24)})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
