"""An adapter's tensors against the base: by name, by shape, and where the base ties two layers."""

from dataclasses import replace
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
    write_tokenizer,
)

from .cases import SESSION, Bench, Case, Cases

CASES = Cases()
PREFIX = "base_model.model."
EMBEDDING = "model.embed_tokens"
GROWN = VOCABULARY + 2


def healthy(bench: Bench, **config: Any) -> Path:
    return write_adapter(bench.here, write_full(bench.root / "base"), **config)


def with_library(bench: Bench, renamings: str = "") -> None:
    """Let the sessions' interpreter have a transformers that renames this, and a peft that knows IA3."""
    site = bench.root / "site-packages"
    (site / "transformers" / "models" / "auto").mkdir(parents=True)
    (site / "peft" / "tuners" / "ia3").mkdir(parents=True)
    (site / "transformers" / "models" / "auto" / "auto_mappings.py").write_text(
        'CONFIG_MAPPING_NAMES = {"llama": "LlamaConfig"}\n'
    )
    (site / "transformers" / "conversion_mapping.py").write_text(f"{renamings}\n# nothing else\n")
    (site / "peft" / "tuners" / "ia3" / "__init__.py").write_text('register_peft_method(name="ia3", config_cls=C)\n')
    bench.session = replace(SESSION, site_packages=(site,))


def with_classes(bench: Bench) -> None:
    """Let that transformers have the classes of a llama."""
    with_library(bench)
    models = bench.session.site_packages[0] / "transformers" / "models"
    auto = models / "auto" / "modeling_auto.py"
    auto.write_text('MODEL_FOR_CAUSAL_LM_MAPPING_NAMES = dict(\n    ("llama", "LlamaForCausalLM"),\n)\n')
    (models / "llama").mkdir()
    (models / "llama" / "__init__.py").write_text("")
    (models / "llama" / "modeling_llama.py").write_text(
        'class LlamaPreTrainedModel(P):\n    base_model_prefix = "model"\n\n\n'
        "class LlamaModel(LlamaPreTrainedModel):\n    def __init__(self):\n        self.layers = 1\n\n\n"
        "class LlamaForCausalLM(LlamaPreTrainedModel):\n    def __init__(self):\n        self.model = LlamaModel(1)\n"
    )


def renamed(change: tuple[str, str]) -> dict[str, tuple[int, ...]]:
    return {n.replace(*change): s for n, s in LORA.items()}


@CASES.passes("check_adapter_targets_in_base")
@CASES.passes("check_adapter_fits_base")
def whole(bench: Bench) -> None:
    healthy(bench)
    with_library(bench)


@CASES.skips("check_adapter_targets_in_base", "a pickle")
@CASES.skips("check_adapter_fits_base", "a pickle")
def pickle_alone(bench: Bench) -> None:
    place = healthy(bench)
    (place / ADAPTER).rename(place / "adapter_model.bin")


@CASES.skips("check_adapter_targets_in_base", "not known here")
def of_an_unknown_type(bench: Bench) -> None:
    healthy(bench, peft_type="TOMORROW")


@CASES.finds("check_adapter_targets_in_base", "adapter-targets-missing", "no modules c_attn")
def another_architecture(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, renamed(("q_proj", "c_attn")))


@CASES.passes("check_adapter_targets_in_base")
def a_name_that_the_library_gives(bench: Bench) -> None:
    another_architecture(bench)
    with_library(bench, '"llama": [WeightRenaming(".q_proj.", ".c_attn.")]')


@CASES.finds("check_adapter_targets_in_base", "adapter-targets-missing", "no modules c_attn")
def a_name_that_the_library_gives_to_others(bench: Bench) -> None:
    another_architecture(bench)
    with_library(bench, '"other": [WeightRenaming(".q_proj.", ".c_attn.")]')


@CASES.finds("check_adapter_targets_in_base", "adapter-targets-missing", "no modules fc2")
def another_architecture_and_type(bench: Bench) -> None:
    place = healthy(bench, peft_type="IA3")
    write_tensors(place / ADAPTER, {f"{PREFIX}model.layers.0.fc2.ia3_l": (1, WIDTH)})
    with_library(bench)


@CASES.finds(
    "check_adapter_targets_in_base", "adapter-keys-unmatched", "the base has 1 layers, and 1 of the adapter's 1"
)
def a_layer_beyond(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, renamed((".0.", ".7.")))


@CASES.passes("check_adapter_targets_in_base")
def a_layer_that_the_base_may_store_under_another_name(bench: Bench) -> None:
    a_layer_beyond(bench)
    write_full(bench.root / "base", audio_config={"model_type": "ears", "encoder_layers": 12})


@CASES.passes("check_adapter_targets_in_base")
def a_layer_made_by_replication(bench: Bench) -> None:
    write_tensors(healthy(bench, layer_replication=[[0, 1], [0, 1]]) / ADAPTER, renamed((".0.", ".1.")))


@CASES.finds("check_adapter_targets_in_base", "adapter-keys-unmatched", f"; the base has {PROJECTION}")
def another_outer_part(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, renamed(("model.layers", "model.decoder.layers")))
    with_library(bench)


@CASES.passes("check_adapter_targets_in_base")
def an_outer_part_that_may_be_the_librarys(bench: Bench) -> None:
    another_outer_part(bench)
    write_full(bench.root / "base", text_config={"model_type": "inner"})
    bench.session = SESSION


@CASES.passes("check_adapter_targets_in_base")
def without_the_outer_part(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, renamed((f"{PREFIX}model.", PREFIX)))
    with_library(bench)


@CASES.finds("check_adapter_fits_base", "adapter-shape-mismatch", f"is 2×12, the base's {PROJECTION}.weight is 8×8")
def another_width(bench: Bench) -> None:
    wide = {n: tuple(12 if size == WIDTH else size for size in s) for n, s in LORA.items()}
    write_tensors(healthy(bench) / ADAPTER, wide)


@CASES.finds("check_adapter_fits_base", "adapter-shape-mismatch", "is 1×12")
def another_width_of_another_type(bench: Bench) -> None:
    place = healthy(bench, peft_type="IA3")
    write_tensors(place / ADAPTER, {f"{PREFIX}{PROJECTION}.ia3_l": (1, 12)})
    with_library(bench)


@CASES.finds("check_adapter_fits_base", "adapter-shape-mismatch", "prompt_embeddings is 4×12, llama of hidden size 8")
def a_prompt_of_another_width(bench: Bench) -> None:
    write_tensors(healthy(bench, peft_type="PROMPT_TUNING") / ADAPTER, {"prompt_embeddings": (4, 12)})


@CASES.finds("check_adapter_fits_base", "adapter-shape-mismatch", "has 18 rows, the base's model.embed_tokens.weight")
def tokens_added(bench: Bench) -> None:
    place = healthy(bench)
    write_tensors(place / ADAPTER, {**LORA, f"{PREFIX}{EMBEDDING}.weight": (GROWN, WIDTH)})


@CASES.finds("check_adapter_fits_base", "adapter-shape-mismatch", "has 18 rows", severity="warning")
def tokens_added_and_the_tokenizer_with_them(bench: Bench) -> None:
    tokens_added(bench)
    write_tokenizer(bench.here, tokens=GROWN)


@CASES.finds("check_adapter_fits_base", "adapter-shape-mismatch", "lm_head.weight has 18 rows, the base's model.embed")
def tokens_added_to_a_tied_head(bench: Bench) -> None:
    place = healthy(bench)
    write_tensors(place / ADAPTER, {**LORA, f"{PREFIX}lm_head.weight": (GROWN, WIDTH)})


@CASES.finds("check_adapter_fits_base", "adapter-shape-mismatch", "has 18 rows")
def tokens_added_below_a_lora(bench: Bench) -> None:
    lora = {
        f"{PREFIX}{EMBEDDING}.lora_embedding_A": (RANK, GROWN),
        f"{PREFIX}{EMBEDDING}.lora_embedding_B": (WIDTH, RANK),
    }
    write_tensors(healthy(bench) / ADAPTER, {**LORA, **lora})


@CASES.finds("check_adapter_fits_base", "adapter-shape-mismatch", "the vocabulary was cut")
def tokens_cut(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {**LORA, f"{PREFIX}{EMBEDDING}.weight": (WIDTH, WIDTH)})


@CASES.passes("check_adapter_fits_base")
def a_head_that_the_base_lacks(bench: Bench) -> None:
    write_tensors(healthy(bench, task_type="SEQ_CLS") / ADAPTER, {**LORA, f"{PREFIX}score.weight": (3, WIDTH)})


@CASES.skips("check_adapter_fits_base", "quantised")
def quantised_base(bench: Bench) -> None:
    write_adapter(bench.here, write_full(bench.root / "base", quantization_config={"bits": 4}))


@CASES.skips("check_adapter_targets_in_base", "no safetensors header")
@CASES.skips("check_adapter_fits_base", "no safetensors header")
def no_base(bench: Bench) -> None:
    write_adapter(bench.here, "org/name")


@CASES.passes("check_adapter_fits_base")
def stored_transposed(bench: Bench) -> None:
    write_tensors(healthy(bench) / ADAPTER, {n: (RANK, 24) if "_A" in n else (WIDTH, RANK) for n in LORA})
    write_tensors(bench.root / "base" / MODEL, {**WEIGHTS, f"{PROJECTION}.weight": (WIDTH, 24)})


@CASES.finds("check_adapter_targets_in_base", "adapter-keys-unmatched", "named as in the model without its head")
def trained_without_the_head(bench: Bench) -> None:
    write_tensors(healthy(bench, task_type="CAUSAL_LM") / ADAPTER, renamed(("model.model.layers", "model.layers")))
    with_classes(bench)


@CASES.passes("check_adapter_targets_in_base")
def trained_without_the_head_and_run_so(bench: Bench) -> None:
    write_tensors(healthy(bench, task_type="FEATURE_EXTRACTION") / ADAPTER, renamed(("model.model.", "model.")))
    with_classes(bench)


@CASES.finds("check_adapter_targets_in_base", "adapter-targets-missing", "no default for a base of type llama")
def targets_left_to_a_peft_that_has_none(bench: Bench) -> None:
    healthy(bench, target_modules=None)
    constants = bench.root / "site-packages" / "peft" / "utils" / "constants.py"
    constants.parent.mkdir(parents=True)
    constants.write_text('TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING = {"t5": ["q", "v"]}\n')
    bench.session = replace(SESSION, site_packages=(bench.root / "site-packages",))


@CASES.finds("check_adapter_fits_base", "adapter-shape-mismatch", "is for 9999 rows")
def rows_trained_that_the_base_has_not(bench: Bench) -> None:
    folder = healthy(bench, trainable_token_indices=[1, 9998])
    rows = {f"{PREFIX}model.embed_tokens.token_adapter.trainable_tokens_delta": (2, WIDTH)}
    write_tensors(folder / ADAPTER, {**LORA, **rows})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
