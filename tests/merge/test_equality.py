"""Merged tensors against PEFT's own merge_and_unload(), bit for bit, over architectures, dtypes and options."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from sage_doctor.merge import apply, plan_merge

ALL = "all-linear"
QV = ["q_proj", "v_proj"]
DTYPES = ("float32", "bfloat16", "float16")


class Case(NamedTuple):
    kind: str
    base: str
    adapter: str
    options: Mapping[str, Any]
    shards: bool = False
    grow: int = 0
    dtype: str | None = None


CASES = [
    *(
        Case("llama", b, a, {"target_modules": [*QV, "down_proj"], "r": 4, "lora_alpha": 8})
        for b in DTYPES
        for a in DTYPES
    ),
    *(
        Case("llama", "float64", adapter, {"target_modules": [*QV, "embed_tokens"], **more})
        for adapter, more in (("float64", {}), ("float32", {"use_dora": True}), ("float64", {"lora_bias": False}))
    ),
    Case("llama", "float64", "float64", {"target_modules": QV, "trainable_token_indices": [1, 5, 90]}),
    Case("mixtral", "float64", "float64", {"target_modules": QV, "target_parameters": ["experts.down_proj"]}),
    Case("llama", "bfloat16", "float32", {"target_modules": ALL, "use_rslora": True, "r": 3}, shards=True),
    Case(
        "llama",
        "bfloat16",
        "float32",
        {
            "target_modules": QV,
            "rank_pattern": {"layers.1.self_attn.q_proj": 2, "v_proj": 5},
            "alpha_pattern": {"v_proj": 3},
        },
    ),
    Case("llama", "bfloat16", "float32", {"target_modules": r".*\.1\.self_attn\.(q|k)_proj"}),
    Case("llama", "bfloat16", "float32", {"target_modules": QV, "layers_to_transform": [1]}),
    Case("llama", "bfloat16", "float32", {"target_modules": QV, "lora_bias": True}),
    Case("llama", "bfloat16", "float32", {"target_modules": QV, "bias": "all"}),
    Case("llama", "bfloat16", "float32", {"target_modules": QV, "bias": "lora_only", "lora_bias": True}),
    Case("llama", "bfloat16", "float32", {"target_modules": QV, "modules_to_save": ["lm_head", "embed_tokens"]}),
    Case("llama", "bfloat16", "float32", {"target_modules": QV, "fan_in_fan_out": True}),
    Case("llama", "bfloat16", "float32", {"target_modules": ["embed_tokens", "q_proj"]}),
    Case("llama", "bfloat16", "float32", {"target_modules": ["embed_tokens", "q_proj"], "use_dora": True}),
    Case("llama", "bfloat16", "float32", {"target_modules": ["lm_head", "q_proj"]}),
    Case("llama", "bfloat16", "float32", {"target_modules": QV, "use_dora": True}),
    Case("llama", "float32", "float32", {"target_modules": QV, "use_dora": True}),
    Case("llama", "float16", "bfloat16", {"target_modules": ALL, "use_dora": True, "use_rslora": True}, shards=True),
    Case("llama", "bfloat16", "float32", {"target_modules": QV, "trainable_token_indices": [1, 5, 90]}),
    Case("llama", "bfloat16", "float32", {"type": "tokens", "token_indices": [0, 2, 95]}),
    Case(
        "llama", "bfloat16", "float32", {"target_modules": QV, "modules_to_save": ["lm_head", "embed_tokens"]}, grow=100
    ),
    Case("llama", "bfloat16", "float32", {"target_modules": QV}, grow=100),
    Case("llama", "bfloat16", "float32", {"target_modules": [*QV, "embed_tokens", "lm_head"]}, grow=100),
    Case("llama-tied", "bfloat16", "float32", {"target_modules": ALL}),
    Case("llama-tied", "bfloat16", "float32", {"target_modules": QV, "trainable_token_indices": [1, 5, 90]}),
    Case("llama", "bfloat16", "float32", {"target_modules": QV}, dtype="float32"),
    Case("llama", "float32", "float32", {"target_modules": QV}, dtype="bfloat16"),
    Case("llama", "bfloat16", "float32", {"target_modules": ["embed_tokens", "q_proj"]}, dtype="float32", shards=True),
    Case("gpt2", "float32", "float32", {"target_modules": ["c_attn", "c_proj", "c_fc"]}),
    Case(
        "gpt2",
        "bfloat16",
        "float16",
        {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True, "lora_bias": True},
    ),
    Case(
        "gpt2",
        "bfloat16",
        "float32",
        {"target_modules": ["c_attn", "c_proj"], "use_dora": True, "fan_in_fan_out": True},
    ),
    Case("gpt2", "float32", "float32", {"target_modules": ["c_attn"], "bias": "all"}),
    Case("qwen2", "bfloat16", "float32", {"target_modules": ALL}),
    Case("mistral", "bfloat16", "float32", {"target_modules": ALL}),
    Case("gemma2", "bfloat16", "float32", {"target_modules": ALL}),
    Case("phi", "float16", "float32", {"target_modules": ALL}),
    Case("gpt_neox", "bfloat16", "float32", {"target_modules": ["query_key_value", "dense"]}),
    Case("gpt_neox", "bfloat16", "float32", {"target_modules": ["query_key_value", "embed_out", "lm_head"]}),
    Case("opt", "float16", "float32", {"target_modules": ["q_proj", "fc1"]}),
    Case("mixtral", "bfloat16", "float32", {"target_modules": QV}),
    Case("qwen2_moe", "bfloat16", "float32", {"target_modules": [*QV, "shared_expert.up_proj", "shared_expert_gate"]}),
    *(
        Case(kind, dtype, "float32", {"target_modules": QV, "target_parameters": names, **more})
        for kind, dtype, names, more in (
            ("mixtral", "bfloat16", ["experts.gate_up_proj", "experts.down_proj"], {"r": 3}),
            ("mixtral", "float32", ["experts.down_proj"], {"use_rslora": True}),
            (
                "mixtral",
                "float16",
                ["experts.gate_up_proj"],
                {"rank_pattern": {"layers.1.mlp.experts.gate_up_proj": 2}},
            ),
            (
                "qwen2_moe",
                "bfloat16",
                ["experts.down_proj", "experts.gate_up_proj"],
                {"alpha_pattern": {"down_proj": 3}},
            ),
            ("qwen3_moe", "bfloat16", ["model.layers.1.mlp.experts.gate_up_proj"], {}),
            ("gpt_oss", "bfloat16", ["experts.gate_up_proj", "experts.down_proj"], {"r": 3}),
            ("gpt_oss", "float32", ["experts.down_proj"], {}),
            ("llama", "bfloat16", ["k_proj.weight"], {}),
        )
    ),
    Case("gpt_oss", "bfloat16", "float32", {"target_modules": ALL}),
    Case("gemma3", "bfloat16", "float32", {"target_modules": r".*language_model.*\.(q|v)_proj"}),
]


def _name(case: Case) -> str:
    options = "-".join(f"{k}={v if isinstance(v, (str, int, bool)) else '…'}" for k, v in case.options.items())
    return f"{case.kind}-{case.base}-{case.adapter}-{options}-{case.dtype or ''}"


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("case", CASES, ids=_name)
def test_every_bit_is_the_one_that_peft_computes(
    case: Case, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    base = base_of(case.kind, case.base, shards=case.shards)
    adapter = zoo.make_adapter(tmp_path / "adapter", base, case.options, case.adapter, case.grow)

    plan = plan_merge(adapter, tmp_path / "merged", dtype=case.dtype)
    outcome = apply(plan)

    reference = zoo.merged_by_peft(base, adapter, case.dtype and "float32", case.grow)
    if case.dtype:
        reference = reference.to(getattr(zoo.torch(), case.dtype))
    merged = zoo.load(tmp_path / "merged")
    assert zoo.differences(merged, reference) == []
    assert outcome.surviving_delta is None or outcome.surviving_delta > 0.9
    if not case.grow:
        assert zoo.differences(merged, zoo.load(base)), "the adapter changed nothing: the test shows nothing"
    index = tmp_path / "merged/model.safetensors.index.json"
    assert index.exists() == case.shards
    if case.shards:
        total = sum(t.element_size() * t.numel() for t in zoo.stored(tmp_path / "merged").values())
        assert json.loads(index.read_text())["metadata"]["total_size"] == total
