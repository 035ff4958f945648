"""Adapters for single experts, as they were trained when each expert was a layer of its own.

The library now keeps all experts as one parameter. What running base and adapter means is computed here by hand, with
every expert as the layer it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sage_doctor.merge import MergeRefused, apply, plan_merge

# Of each kind: where the checkpoint keeps an expert, and what its gate, up and down projections are called there.
EXPERTS = {
    "mixtral": ("block_sparse_moe.experts", ("w1", "w3", "w2")),
    "qwen2_moe": ("mlp.experts", ("gate_proj", "up_proj", "down_proj")),
    "qwen3_moe": ("mlp.experts", ("gate_proj", "up_proj", "down_proj")),
}
RANK, ALPHA = 4, 8


def make_adapter(folder: Path, base: Path, kind: str, *, some: bool = False) -> dict[str, Any]:
    """Save an adapter for every expert, or for some of them in one layer only; return its tensors."""
    import torch
    from safetensors.torch import load_file, save_file

    torch.manual_seed(5)
    place, leaves = EXPERTS[kind]
    tensors = {}
    for name, weight in load_file(base / "model.safetensors").items():
        module = name.removesuffix(".weight")
        if f".{place}." not in name or module.rpartition(".")[2] not in leaves:
            continue
        if some and not (".layers.1." in name and f".{place}.2." in name):
            continue
        prefix = f"base_model.model.{module}"
        tensors[f"{prefix}.lora_A.weight"] = torch.randn(RANK, weight.shape[1]) * 0.1
        tensors[f"{prefix}.lora_B.weight"] = torch.randn(weight.shape[0], RANK) * 0.1
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA}
    config |= {"target_modules": list(leaves), "base_model_name_or_path": str(base)}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return tensors


def logits_by_hand(zoo: ModuleType, base: Path, kind: str, adapter: dict[str, Any]) -> Any:
    """Return what the base answers where each expert is a layer of its own with its LoRA beside it."""
    import torch
    from safetensors.torch import load_file

    stored = load_file(base / "model.safetensors")
    place, leaves = EXPERTS[kind]

    class Experts(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, layer: int) -> None:
            super().__init__()
            self.prefix = f"model.layers.{layer}.{place}"

        def layer(self, expert: int, leaf: str, x: Any) -> Any:
            name = f"{self.prefix}.{expert}.{leaf}"
            found = x @ stored[f"{name}.weight"].T
            a = adapter.get(f"base_model.model.{name}.lora_A.weight")
            if a is None:
                return found
            return found + (x @ a.T) @ adapter[f"base_model.model.{name}.lora_B.weight"].T * (ALPHA / RANK)

        def forward(self, hidden: Any, chosen: Any, weights: Any) -> Any:
            gate, up, down = leaves
            total = torch.zeros_like(hidden)
            for token in range(hidden.shape[0]):
                for expert, weight in zip(chosen[token].tolist(), weights[token], strict=True):
                    x = hidden[token]
                    inner = torch.nn.functional.silu(self.layer(expert, gate, x)) * self.layer(expert, up, x)
                    total[token] += weight * self.layer(expert, down, inner)
            return total

    model = zoo.load(base).eval()
    for number, layer in enumerate(model.model.layers):
        layer.mlp.experts = Experts(number)
    with torch.no_grad():
        return model(input_ids=torch.arange(24).reshape(1, -1) * 4 % 96).logits.float()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("kind", EXPERTS)
def test_every_expert_gets_its_own_change(
    kind: str, some: bool, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    base = base_of(kind, "float32")
    adapter = make_adapter(tmp_path / "adapter", base, kind, some=some)
    alone = zoo.logits(base)
    assert (logits_by_hand(zoo, base, kind, {}) - alone).abs().max() < 1e-4, "the computation by hand is the model's"

    apply(plan_merge(tmp_path / "adapter", tmp_path / "merged"))

    wanted, merged = logits_by_hand(zoo, base, kind, adapter), zoo.logits(tmp_path / "merged")
    assert (wanted - merged).abs().max() < 1e-4
    assert (alone - merged).abs().max() > 1e-3


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_for_mixtral_the_bits_are_those_of_peft(
    dtype: str, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    base = base_of("mixtral", dtype)
    make_adapter(tmp_path / "adapter", base, "mixtral")

    apply(plan_merge(tmp_path / "adapter", tmp_path / "merged"))

    assert zoo.differences(zoo.load(tmp_path / "merged"), zoo.merged_by_peft(base, tmp_path / "adapter")) == []


@pytest.mark.usefixtures("quiet")
def test_for_qwen2_moe_peft_passes_over_them(zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path) -> None:
    """Why the bits differ from PEFT's there: the day this fails, the page on merging is to be changed."""
    base = base_of("qwen2_moe", "float32")
    make_adapter(tmp_path / "adapter", base, "qwen2_moe")

    assert zoo.differences(zoo.merged_by_peft(base, tmp_path / "adapter"), zoo.load(base)) == []


BLOCKS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["mixtral", "qwen2_moe", "gpt_oss"])
def test_a_merged_block_answers_as_base_and_adapter_do(
    kind: str, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    base = base_of(kind, "float32")
    adapter = zoo.make_adapter(tmp_path / "adapter", base, {"target_modules": [], "target_parameters": BLOCKS, "r": 2})

    apply(plan_merge(adapter, tmp_path / "merged"))

    together, merged = zoo.logits(base, adapter), zoo.logits(tmp_path / "merged")
    assert (together - merged).abs().max() < 1e-4
    assert (zoo.logits(base) - merged).abs().max() > 1e-3


@pytest.mark.usefixtures("quiet")
def test_several_blocks_of_rows_make_the_same_bits(
    zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = base_of("gpt_oss")
    adapter = zoo.make_adapter(tmp_path / "adapter", base, {"target_modules": [], "target_parameters": BLOCKS, "r": 2})
    monkeypatch.setattr("sage_doctor.merge.deltas.BLOCK_ELEMENTS", 500)  # some seven rows of a block of 4 by 32 by 64

    apply(plan_merge(adapter, tmp_path / "merged"))

    assert zoo.differences(zoo.load(tmp_path / "merged"), zoo.merged_by_peft(base, adapter)) == []


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "values, reason",
    [
        ({"target_parameters": ["experts.gate_up_proj"]}, "holds 2 LoRA for parameters"),
        ({"target_parameters": ["experts.nothing"]}, "targets none"),
        ({"r": 3}, "have rank 2, its configuration states 3"),
    ],
)
def test_blocks_that_do_not_fit_their_configuration_are_refused(
    values: dict[str, Any], reason: str, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    base = base_of("mixtral")
    adapter = zoo.make_adapter(tmp_path / "adapter", base, {"target_modules": [], "target_parameters": BLOCKS, "r": 2})
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, **values}))

    with pytest.raises(MergeRefused, match=reason):
        plan_merge(adapter, tmp_path / "merged")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("saved_by", ["0.18.1", None])
def test_a_square_block_of_an_older_peft_is_refused(
    saved_by: str | None, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    """peft 0.19 exchanged inputs and outputs: 0.21 loads matrices of 0.18 as those of another adapter."""
    base = base_of("qwen2_moe")
    options = {"target_modules": [], "target_parameters": ["mlp.experts.gate_up_proj"], "r": 2}
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "peft_version": saved_by}))

    with pytest.raises(MergeRefused, match="saved by a peft before"):
        plan_merge(adapter, tmp_path / "merged")
