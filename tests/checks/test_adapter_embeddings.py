"""An adapter that trains the embedding or the output layer of a base that has one weight for both."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.model_directories import ADAPTER, LORA, RANK, VOCABULARY, WIDTH, write_adapter, write_full, write_tensors

from .cases import SESSION, Bench, Case, Cases

CASES = Cases()
PREFIX = "base_model.model."
EMBEDDING = "model.embed_tokens"


def healthy(bench: Bench, **config: Any) -> Path:
    return write_adapter(bench.here, write_full(bench.root / "base"), **config)


@CASES.passes("check_adapter_embeddings")
def whole(bench: Bench) -> None:
    healthy(bench)


@CASES.skips("check_adapter_embeddings", "no base")
def no_base(bench: Bench) -> None:
    write_adapter(bench.here, "org/name")


def with_lora_on(bench: Bench, module: str, **config: Any) -> None:
    lora = {
        f"{PREFIX}{module}.lora_embedding_A": (RANK, VOCABULARY),
        f"{PREFIX}{module}.lora_embedding_B": (WIDTH, RANK),
    }
    write_tensors(healthy(bench, **config) / ADAPTER, {**LORA, **lora})


@CASES.finds("check_adapter_embeddings", "adapter-tied-embeddings", "embed_tokens", severity="warning")
def lora_on_a_tied_embedding(bench: Bench) -> None:
    with_lora_on(bench, EMBEDDING)


@CASES.finds("check_adapter_embeddings", "adapter-tied-embeddings", "lm_head", severity="warning")
def lora_on_a_tied_head(bench: Bench) -> None:
    with_lora_on(bench, "lm_head")


@CASES.finds("check_adapter_embeddings", "adapter-tied-embeddings", "word_embeddings", severity="warning")
def lora_on_a_tied_embedding_of_bloom(bench: Bench) -> None:
    with_lora_on(bench, "transformer.word_embeddings")
    tensors = {"transformer.word_embeddings.weight": (VOCABULARY, WIDTH), "transformer.h.0.x.weight": (WIDTH, WIDTH)}
    write_full(bench.root / "base", tensors=tensors)


@CASES.passes("check_adapter_embeddings")
def lora_on_an_untied_embedding(bench: Bench) -> None:
    with_lora_on(bench, EMBEDDING)
    write_full(bench.root / "base", tie_word_embeddings=False)


@CASES.finds("check_adapter_embeddings", "adapter-tied-embeddings", "embed_tokens", severity="warning")
def lora_tied_as_the_layers_are(bench: Bench) -> None:
    with_lora_on(bench, EMBEDDING, ensure_weight_tying=True)


@CASES.skips("check_adapter_embeddings", "no output layer")
def lora_on_the_embedding_of_a_classifier(bench: Bench) -> None:
    with_lora_on(bench, EMBEDDING, task_type="SEQ_CLS")


@CASES.passes("check_adapter_embeddings")
def a_tied_embedding_saved_whole(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {**LORA, f"{PREFIX}{EMBEDDING}.weight": (VOCABULARY, WIDTH)})


def with_lora_on_a_class(bench: Bench, module: str, tied: str) -> None:
    lora = {f"{PREFIX}{module}.lora_A.weight": (RANK, WIDTH), f"{PREFIX}{module}.lora_B.weight": (VOCABULARY, RANK)}
    write_tensors(write_adapter(bench.here, bench.root / "base") / ADAPTER, {**LORA, **lora})
    write_full(bench.root / "base", model_type="whisper", architectures=["WhisperForConditionalGeneration"])
    site = bench.root / "site-packages"
    (site / "transformers" / "models" / "whisper").mkdir(parents=True)
    (site / "transformers" / "models" / "whisper" / "__init__.py").write_text("")
    (site / "transformers" / "models" / "whisper" / "modeling_whisper.py").write_text(
        "class WhisperForConditionalGeneration(P):\n"
        f'    _tied_weights_keys = {{"{tied}.weight": "model.decoder.embed_tokens.weight"}}\n'
    )
    bench.session = replace(SESSION, site_packages=(site,))


@CASES.finds("check_adapter_embeddings", "adapter-tied-embeddings", "proj_out", severity="warning")
def lora_on_a_tied_layer_that_the_class_names(bench: Bench) -> None:
    with_lora_on_a_class(bench, "proj_out", "proj_out")


@CASES.passes("check_adapter_embeddings")
def lora_on_another_layer_of_its_last_name(bench: Bench) -> None:
    with_lora_on_a_class(bench, "encoder.head.attention.out_proj", "lm_head.out_proj")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
