"""Which modules an adapter targets without tensors for them, told from names as real checkpoints have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sage_doctor.facts.adapter_coverage import (
    absent_parts,
    absent_rows,
    absent_saved,
    auto_peft_class,
    uncovered_modules,
    unfit_targets,
)
from sage_doctor.facts.adapter_patterns import AdapterPatterns

QV = ["q_proj", "v_proj"]


def stored(prefix: str, layers: int, *leaves: str) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.{n}.{leaf}": (8, 8) for n in range(layers) for leaf in leaves}


def uncovered(
    values: Mapping[str, Any], held: Mapping[str, str], base: Mapping[str, tuple[int, ...]], **config: Any
) -> list[str]:
    return uncovered_modules(values, AdapterPatterns(values), held, base, config)


def test_the_class_of_each_task_is_the_librarys() -> None:
    import peft
    from peft.auto import MODEL_TYPE_TO_PEFT_MODEL_MAPPING

    for task, wrapper in MODEL_TYPE_TO_PEFT_MODEL_MAPPING.items():
        assert getattr(peft, auto_peft_class({"task_type": str(task)}))._target_peft_class is wrapper
    assert auto_peft_class({"auto_mapping": {"base_model_class": "WhisperForConditionalGeneration"}}) == "AutoPeftModel"
    assert auto_peft_class({"task_type": None}) == "AutoPeftModelForCausalLM"


LLAMA = stored("model.layers", 3, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj")
MOE = {**LLAMA, **{f"model.layers.{n}.mlp.experts.{e}.up_proj": (8, 8) for n in range(3) for e in range(2)}}
HELD = {n: n for n in LLAMA if n.endswith(("q_proj", "v_proj"))}
FIRST = {n: n for n in HELD if ".2." not in n}
VISION = {f"model.language_{n}": s for n, s in LLAMA.items()} | stored("model.visual.blocks", 2, "self_attn.q_proj")
INSIDE = {n: f"model.language_{n}" for n in FIRST}


@pytest.mark.parametrize(
    "values, held, base, config, expected",
    [
        ({"target_modules": QV}, HELD, LLAMA, {}, []),
        ({"target_modules": QV}, FIRST, LLAMA, {}, ["2.self_attn.q_proj", "2.self_attn.v_proj"]),
        ({"target_modules": "all-linear"}, FIRST, LLAMA, {}, ["2.self_attn.q_proj", "2.self_attn.v_proj"]),
        ({"target_modules": r".*\.(q|v)_proj"}, FIRST, LLAMA, {}, ["2.self_attn.q_proj", "2.self_attn.v_proj"]),
        ({"target_modules": r".*\.[01]\..*(q|v)_proj"}, FIRST, LLAMA, {}, []),
        ({"target_modules": None}, FIRST, LLAMA, {}, ["2.self_attn.q_proj", "2.self_attn.v_proj"]),
        ({"target_modules": [*QV, "k_proj"]}, HELD, LLAMA, {}, [f"{n}.self_attn.k_proj" for n in range(3)]),
        ({"target_modules": QV, "layers_to_transform": [0, 1]}, FIRST, LLAMA, {}, []),
        ({"target_modules": QV, "exclude_modules": r".*\.2\..*"}, FIRST, LLAMA, {}, []),
        ({"target_modules": QV}, FIRST, LLAMA, {"num_hidden_layers": 2}, []),
        ({"target_modules": QV}, FIRST, LLAMA, {"text_config": {"num_hidden_layers": 2}}, []),
        ({"target_modules": [*QV, "up_proj"]}, {**HELD, **{n: n for n in LLAMA if "up" in n}}, MOE, {}, []),
        # A session of the text part has no vision tower, and other names than the files.
        ({"target_modules": QV}, {n: f"model.language_{n}" for n in HELD}, VISION, {}, []),
        ({"target_modules": QV}, INSIDE, VISION, {}, ["2.self_attn.q_proj", "2.self_attn.v_proj"]),
    ],
)  # fmt: skip
def test_modules(
    values: Mapping[str, Any],
    held: Mapping[str, str],
    base: Mapping[str, tuple[int, ...]],
    config: Mapping[str, Any],
    expected: list[str],
) -> None:
    assert uncovered(values, held, base, **config) == [f"model.layers.{n}" for n in expected]


NORMS = {f"model.layers.{n}.input_layernorm": (8,) for n in range(3)} | {"model.norm": (8,)}
BARE = {"up_proj": frozenset({"act_fn"})}


@pytest.mark.parametrize(
    "wanted, held, expected",
    [
        (r".*\.(q|v)_proj", HELD, []),
        (r".*self_attn\..*", HELD, []),
        (r".*self_attn.*", HELD, [f"layers.{n}.self_attn" for n in range(3)]),
        (["q_proj", "v_proj", "self_attn"], HELD, [f"layers.{n}.self_attn" for n in range(3)]),
        (["q_proj", "v_proj", "mlp"], HELD, [f"layers.{n}.mlp" for n in range(3)]),
        (["q_proj", "v_proj", "norm"], HELD, ["norm"]),
        (r".*(_proj|act_fn)", HELD, [f"layers.{n}.mlp.act_fn" for n in range(3)]),
        (r".*\.1\..*(_proj|layernorm)", HELD, ["layers.1.input_layernorm"]),
        ("all-linear", HELD, []),
        (None, HELD, []),
        # A layer with matrices of its own around others, as torch's attention: what is adapted itself is well.
        (["self_attn"], {**HELD, "model.layers.0.self_attn": "model.layers.0.self_attn"}, []),
    ],
)
def test_targets_that_no_lora_fits(wanted: object, held: Mapping[str, str], expected: list[str]) -> None:
    values = {"target_modules": wanted}
    found = unfit_targets(values, AdapterPatterns(values), held, {**LLAMA, **NORMS}, {}, BARE)
    assert found == [f"model.{n}" for n in expected]


@pytest.mark.parametrize(
    "said, held, tied, expected",
    [
        (None, [], False, []),
        ([1, 2], ["model.embed_tokens"], False, []),
        ([1, 2], [], False, ["the embedding"]),
        ([1, 2], ["lm_head"], False, ["the embedding"]),
        ({"embed_tokens": [1], "lm_head": [1]}, ["model.embed_tokens"], True, []),
        ({"embed_tokens": [1], "lm_head": [2]}, ["model.embed_tokens"], True, ["lm_head"]),
        ({"embed_tokens": [1], "lm_head": [1]}, ["model.embed_tokens"], False, ["lm_head"]),
        ({"tokens": [1]}, ["model.embed_tokens"], False, ["tokens"]),
    ],
)
def test_rows_that_are_named_and_absent(said: object, held: list[str], *, tied: bool, expected: list[str]) -> None:
    values = {"peft_type": "LORA", "trainable_token_indices": said}
    assert absent_rows(values, held, tied=tied) == expected


def test_keys_that_other_layers_share_are_not_built() -> None:
    held = {n: n for n in LLAMA if not (".2." in n and ("k_proj" in n or "v_proj" in n))}
    config = {"num_hidden_layers": 3, "num_kv_shared_layers": 1}
    assert uncovered({"target_modules": [*QV, "k_proj"]}, held, LLAMA, **config) == []


def test_experts_that_have_no_tensors() -> None:
    held = {n: n for n in MOE if "experts.0" in n}
    found = uncovered({"target_modules": ["up_proj"]}, held, MOE)
    assert found == [
        m for n in range(3) for m in (f"model.layers.{n}.mlp.experts.1.up_proj", f"model.layers.{n}.mlp.up_proj")
    ]


@pytest.mark.parametrize(
    "held, base, tied, expected",
    [
        (["lm_head"], ["lm_head", "model.embed_tokens"], False, ["embed_tokens"]),
        (["lm_head", "model.embed_tokens"], ["lm_head", "model.embed_tokens"], False, []),
        (["lm_head.modules_to_save"], ["lm_head"], False, []),
        ([], ["lm_head", "model.embed_tokens"], False, ["lm_head", "embed_tokens"]),
        ([], ["model.embed_tokens"], True, ["lm_head", "embed_tokens"]),
        ([], ["transformer.wte"], False, []),
    ],
)
def test_what_was_to_be_saved_whole(held: list[str], base: list[str], *, tied: bool, expected: list[str]) -> None:
    values = {"modules_to_save": ["lm_head", "embed_tokens", "classifier"]}
    assert absent_saved(values, held, base, tied=tied) == expected


@pytest.mark.parametrize(
    "values, parts, expected",
    [
        ({}, {"A", "B"}, []),
        ({}, {"embedding_A", "embedding_B"}, []),
        ({}, {"A"}, ["q.lora_B"]),
        ({}, {"embedding_B"}, ["q.lora_embedding_A"]),
        ({"use_dora": True}, {"A", "B"}, ["q.lora_magnitude_vector"]),
    ],
)
def test_parts(values: Mapping[str, Any], parts: set[str], expected: list[str]) -> None:
    assert absent_parts(values, {"q": parts}) == expected
