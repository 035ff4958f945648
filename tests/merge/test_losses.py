"""What of an adapter is not in the merged model: told before and after, written down, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sage_doctor.merge import MergeRefused, apply, plan_merge
from sage_doctor.readers.merge_record import RECORD, merge_losses
from tests.merge.conftest import Doctor
from tests.merge.test_outcome import scale
from tests.merge.test_plan import set_config

pytestmark = pytest.mark.usefixtures("quiet")
Make = Callable[..., tuple[Path, Path]]


@pytest.fixture
def pair(zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path) -> Make:
    def make(kind: str = "llama", dtype: str = "bfloat16", **options: Any) -> tuple[Path, Path]:
        base = base_of(kind, dtype)
        settings = {"target_modules": ["q_proj", "v_proj"], **options}
        return base, zoo.make_adapter(tmp_path / "adapter", base, settings)

    return make


def edit(adapter: Path, change: Callable[[str, Any], Any]) -> None:
    """Change an adapter's tensors; those for which `change` returns None are taken out."""
    from safetensors.torch import load_file, save_file

    path = adapter / "adapter_model.safetensors"
    changed = {n: change(n, t) for n, t in load_file(path).items()}
    save_file({n: t for n, t in changed.items() if t is not None}, path)


def _with(adapter: Path, name: str, shape: tuple[int, ...]) -> None:
    """Add a tensor to an adapter."""
    import torch
    from safetensors.torch import load_file, save_file

    path = adapter / "adapter_model.safetensors"
    save_file({**load_file(path), name: torch.ones(shape)}, path)


def test_a_layer_without_tensors_is_named_before_and_after(pair: Make, doctor: Doctor, tmp_path: Path) -> None:
    _, adapter = pair()
    edit(adapter, lambda n, t: None if "layers.1." in n else t)

    plan = plan_merge(adapter, tmp_path / "merged")
    outcome = apply(plan)

    assert "partial   the adapter has no tensors for 2 modules" in str(plan)
    assert [code for code, _ in outcome.warnings] == ["merge-partial"]
    assert "model.layers.1.self_attn.q_proj, model.layers.1.self_attn.v_proj" in outcome.warnings[0][1]
    assert merge_losses(tmp_path / "merged").sentences() == list(outcome.warnings)
    later = json.loads(doctor("check", tmp_path / "merged", "-f", "json").stdout)
    assert "merge-partial" in {f["code"] for f in later["findings"]}


def test_a_block_of_experts_without_tensors_is_named(pair: Make, tmp_path: Path) -> None:
    _, adapter = pair("qwen3_moe", target_parameters=["experts.down_proj"])
    edit(adapter, lambda n, t: None if "layers.1.mlp.experts" in n else t)

    assert plan_merge(adapter, tmp_path / "merged").uncovered == ("model.layers.1.mlp.experts.down_proj",)


@pytest.mark.parametrize("lost, reason", [("lora_B", "only a part"), ("magnitude", "contradict")])
def test_half_of_a_module_is_refused(lost: str, reason: str, pair: Make, tmp_path: Path) -> None:
    _, adapter = pair(use_dora=True)
    edit(adapter, lambda n, t: None if "layers.1.self_attn.q_proj" in n and lost in n else t)

    with pytest.raises(MergeRefused, match=reason) as refusal:
        plan_merge(adapter, tmp_path / "merged")
    assert "--base" not in refusal.value.next_step


@pytest.mark.parametrize("kind", ["llama", "llama-tied"])
def test_a_saved_head_that_is_absent_is_refused(kind: str, pair: Make, tmp_path: Path) -> None:
    _, adapter = pair(kind)
    set_config(adapter, modules_to_save=["lm_head"])

    with pytest.raises(MergeRefused, match=r"saves lm_head whole \(modules_to_save\)"):
        plan_merge(adapter, tmp_path / "merged")


@pytest.mark.parametrize("part", ["lora_A", "lora_B"])
@pytest.mark.parametrize("factor", [0.0, -0.0])
def test_an_adapter_of_zeros_is_refused(part: str, factor: float, pair: Make, tmp_path: Path) -> None:
    _, adapter = pair()
    edit(adapter, lambda n, t: t * factor if part in n else t)

    with pytest.raises(MergeRefused, match="the adapter changes nothing") as refusal:
        plan_merge(adapter, tmp_path / "merged")
    assert refusal.value.code == "adapter-no-effect"


def test_a_scale_of_zero_is_refused(pair: Make, tmp_path: Path) -> None:
    _, adapter = pair(lora_alpha=0)

    with pytest.raises(MergeRefused, match="changes nothing: lora_alpha is 0"):
        plan_merge(adapter, tmp_path / "merged")


def test_a_bias_for_layers_without_one_is_refused_as_peft_does(
    zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    base = base_of("mistral")
    options = {"target_modules": ["q_proj"], "lora_bias": True}
    adapter = zoo.make_adapter(tmp_path / "adapter", base, options)

    with pytest.raises(MergeRefused, match=r"adds a bias to 2 layers of its base .* which have none"):
        plan_merge(adapter, tmp_path / "merged")
    with pytest.raises(RuntimeError, match="base layer has no bias"):
        zoo.merged_by_peft(base, adapter)


@pytest.mark.parametrize("name", ["lm_head", "embed_tokens"])
@pytest.mark.parametrize("kind", ["llama", "llama-tied"])
def test_an_outer_layer_without_tensors_is_named(kind: str, name: str, pair: Make, tmp_path: Path) -> None:
    _, adapter = pair(kind)
    set_config(adapter, target_modules=["q_proj", "v_proj", name])

    (uncovered,) = plan_merge(adapter, tmp_path / "merged").uncovered
    assert uncovered.endswith(name)


def test_an_adapter_without_the_head_of_its_task_is_refused(pair: Make, tmp_path: Path) -> None:
    _, adapter = pair()
    set_config(adapter, task_type="SEQ_CLS", modules_to_save=["classifier", "score"])

    with pytest.raises(MergeRefused, match=r"has the head of its task \(SEQ_CLS\)"):
        plan_merge(adapter, tmp_path / "merged")


def test_a_head_of_its_own_is_refused_for_what_it_is(pair: Make, tmp_path: Path) -> None:
    _, adapter = pair()
    set_config(adapter, task_type="SEQ_CLS", modules_to_save=["score"])
    _with(adapter, "base_model.model.score.weight", (2, 32))

    with pytest.raises(MergeRefused, match="score is the head of the adapter's task") as refusal:
        plan_merge(adapter, tmp_path / "merged")
    assert "--base" not in refusal.value.next_step


def test_a_quantisation_by_word_only_is_refused_for_what_it_is(pair: Make, tmp_path: Path) -> None:
    base, adapter = pair()
    copy = tmp_path / "base"
    shutil.copytree(base, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "quantization_config": {"load_in_4bit": True}}))

    with pytest.raises(MergeRefused, match=r"quantised \(bitsandbytes_4bit\), and they are not"):
        plan_merge(adapter, tmp_path / "merged", base=copy)


def test_what_is_no_configuration_of_an_adapter_is_refused_for_that(pair: Make, tmp_path: Path) -> None:
    _, adapter = pair()
    (adapter / "adapter_config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')

    with pytest.raises(MergeRefused, match="names no peft_type"):
        plan_merge(adapter, tmp_path / "merged")


def test_zeros_for_some_modules_are_told(pair: Make, tmp_path: Path) -> None:
    _, adapter = pair()
    edit(adapter, lambda n, t: t * 0 if "layers.1." in n and "lora_B" in n else t)

    outcome = apply(plan_merge(adapter, tmp_path / "merged"))

    assert [code for code, _ in outcome.warnings] == ["merge-partial"]
    assert "only zeros for 2 of the 4 merged tensors" in outcome.warnings[0][1]


def test_an_adapter_is_not_merged_a_second_time(pair: Make, zoo: ModuleType, tmp_path: Path) -> None:
    base, adapter = pair()
    merged = tmp_path / "merged"
    apply(plan_merge(adapter, merged))
    other = zoo.make_adapter(tmp_path / "other", base, {"target_modules": ["k_proj"]})
    copied = tmp_path / "copied"
    copied.mkdir()
    for path in adapter.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())

    for again in (adapter, copied):
        with pytest.raises(MergeRefused, match=r"already, as its sage-doctor-merge\.json says"):
            plan_merge(again, tmp_path / "twice", base=merged)
    apply(plan_merge(other, tmp_path / "both", base=merged))
    with pytest.raises(MergeRefused, match=r"already, as its sage-doctor-merge\.json says"):
        plan_merge(adapter, tmp_path / "thrice", base=tmp_path / "both")


def exact_cosine(zoo: ModuleType, base: Path, merged: Path, adapter: Path, dtype: Any) -> float:
    """Return the cosine in float64 over every number, by the definition in docs/merge.md."""
    from safetensors.torch import load_file

    old, new, lora = zoo.stored(base), zoo.stored(merged), load_file(adapter / "adapter_model.safetensors")
    sums = [0.0, 0.0, 0.0]
    for name, weight in old.items():
        prefix = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{prefix}.lora_A.weight" in lora:
            wanted = lora[f"{prefix}.lora_B.weight"].double() @ lora[f"{prefix}.lora_A.weight"].double()
            kept = new[name].double() - weight.to(dtype).double()
            for n, (x, y) in enumerate(((wanted, kept), (wanted, wanted), (kept, kept))):
                sums[n] += float((x * y).sum())
    return sums[0] / (sums[1] * sums[2]) ** 0.5 if sums[2] else 0.0


@pytest.mark.parametrize("stored, factor", [("float32", 3e-3), ("float32", 1.0), ("bfloat16", 0.02), ("float16", 0.01)])
def test_what_is_kept_is_measured_and_noise_is_not_survival(
    stored: str, factor: float, pair: Make, zoo: ModuleType, tmp_path: Path
) -> None:
    base, adapter = pair(dtype=stored)
    scale(adapter, factor)
    dtype = "bfloat16" if stored == "float32" else None

    outcome = apply(plan_merge(adapter, tmp_path / "merged", dtype=dtype))

    expected = exact_cosine(zoo, base, tmp_path / "merged", adapter, getattr(zoo.torch(), dtype or stored))
    assert outcome.surviving_delta == pytest.approx(expected, abs=0.02)
    assert [c for c, _ in outcome.warnings] == (["merge-delta-vanishes"] if expected < 0.5 else [])
    record = json.loads((tmp_path / "merged" / RECORD).read_text())["delta"]
    assert record["cosine"] == pytest.approx(expected, abs=0.02)
    assert 0 < record["changed_share"] <= 1


def test_a_magnitude_that_changes_nothing_is_measured_too(pair: Make, tmp_path: Path) -> None:
    _, adapter = pair(use_dora=True)
    edit(adapter, lambda n, t: t * 1e-7 if "lora_B" in n else t)

    outcome = apply(plan_merge(adapter, tmp_path / "merged"))

    assert outcome.surviving_delta is not None


@pytest.mark.parametrize("init", ["mica", "MiCA", "eva", "orthogonal", "gaussian", False])
def test_what_does_not_change_the_base_is_merged(init: object, pair: Make, zoo: ModuleType, tmp_path: Path) -> None:
    base, adapter = pair()
    set_config(adapter, init_lora_weights=init)

    apply(plan_merge(adapter, tmp_path / "merged"))

    assert zoo.differences(zoo.load(tmp_path / "merged"), zoo.merged_by_peft(base, adapter)) == []


def tokenizer(folder: Path, ids: int) -> None:
    values = {"model": {"type": "WordLevel", "vocab": {f"w{n}": n for n in range(ids)}}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(values))


def test_a_tokenizer_with_ids_beyond_the_rows_is_not_copied(pair: Make, tmp_path: Path) -> None:
    first, adapter = pair()
    base = tmp_path / "base"
    base.mkdir()
    for path in first.iterdir():
        (base / path.name).write_bytes(path.read_bytes())
    tokenizer(base, 96)
    tokenizer(adapter, 98)

    plan = plan_merge(adapter, tmp_path / "merged", base=base)
    assert (plan.tokenizer, plan.unfit_tokenizer) == ("base", "the adapter's has ids up to 97, the embedding 96 rows")
    assert "tokenizer that of the base: the adapter's has ids up to 97" in str(plan)

    tokenizer(base, 98)  # as published: no reason to take another one
    assert plan_merge(adapter, tmp_path / "merged", base=base).tokenizer == "adapter"


def test_a_base_that_is_not_downloaded_is_downloaded(pair: Make, tmp_path: Path) -> None:
    from sage_doctor.merge import BaseSearch

    _, adapter = pair()
    set_config(adapter, base_model_name_or_path="Qwen/Qwen2.5-0.5B")
    nowhere = BaseSearch(cwd=tmp_path, home=tmp_path / "home", environ={}, roots=())

    with pytest.raises(MergeRefused, match="is not on this machine") as refusal:
        plan_merge(adapter, tmp_path / "merged", search=nowhere)
    assert "hf download Qwen/Qwen2.5-0.5B" in refusal.value.next_step


def test_tensors_without_elements_are_refused(pair: Make, tmp_path: Path) -> None:
    _, adapter = pair()
    edit(adapter, lambda n, t: t[:0].clone() if "layers.1." in n else t)

    with pytest.raises(MergeRefused, match="4 tensors without elements"):
        plan_merge(adapter, tmp_path / "merged")
