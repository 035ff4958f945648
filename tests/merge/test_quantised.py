"""Merging into a quantised base: refused unless asked, and then what transformers' dequantising and PEFT make of it.

bitsandbytes is not needed: `quantised/` holds small models made by it, with the tensors that transformers' dequantize()
gave of them (`quantised/make.py`). fp8 is dequantised by transformers here and now.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sage_doctor.merge import MergeRefused, apply, plan_merge

FORMS = Path(__file__).with_name("quantised")
QV = {"target_modules": ["q_proj", "v_proj", "down_proj"]}
OPTIONS: dict[str, Mapping[str, Any]] = {
    "lora": QV,
    "dora": {**QV, "use_dora": True},
    "bias": {"target_modules": ["q_proj", "o_proj"], "lora_bias": True},
    "embedding": {"target_modules": ["embed_tokens", "k_proj"], "modules_to_save": ["lm_head"]},
}


def plain_of(form: str, folder: Path) -> Path:
    """Write the model that transformers made of a quantised one, as a plain model."""
    folder.mkdir()
    config = json.loads((FORMS / form / "config.json").read_text())
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(FORMS / form / "reference.safetensors", folder / "model.safetensors")
    return folder


@pytest.fixture(params=["nf4", "nf4-double", "fp4", "int8"])
def form(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model that bitsandbytes quantised."""
    folder: Path = tmp_path / "base"
    shutil.copytree(FORMS / request.param, folder)
    (folder / "reference.safetensors").unlink()
    return folder


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", ["nf4", "nf4-double", "fp4", "int8"])
def test_every_bit_is_that_of_dequantising_and_merging_by_the_libraries(
    kind: str, option: str, zoo: ModuleType, tmp_path: Path
) -> None:
    plain = plain_of(kind, tmp_path / "plain")
    adapter = zoo.make_adapter(tmp_path / "adapter", plain, OPTIONS[option])

    plan = plan_merge(adapter, tmp_path / "merged", base=FORMS / kind, dequantize=True)
    apply(plan)

    merged = zoo.load(tmp_path / "merged")
    assert zoo.differences(merged, zoo.merged_by_peft(plain, adapter)) == []
    assert zoo.differences(merged, zoo.load(plain)), "the adapter changed nothing: the test shows nothing"
    stored = zoo.stored(tmp_path / "merged")
    assert {t.dtype for t in stored.values()} == {merged.dtype}, "nothing of the quantised form is left"
    assert "quantization_config" not in json.loads((tmp_path / "merged/config.json").read_text())


def make_fp8(folder: Path, plain: Path, *, block: int, scale: str, shards: bool = False) -> Path:
    """Write a model in fp8 with a scale for each block, as DeepSeek and Qwen publish theirs."""
    import torch
    from safetensors.torch import load_file, save_file

    folder.mkdir()
    config = json.loads((plain / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [block, block],
        "modules_to_not_convert": ["lm_head"],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {}
    for name, value in load_file(plain / "model.safetensors").items():
        if value.dim() != 2 or any(word in name for word in ("embed", "lm_head", "gate.weight")):
            tensors[name] = value
            continue
        rows, columns = (n // block for n in value.shape)
        blocks = value.float().reshape(rows, block, columns, block)
        scales = blocks.abs().amax(dim=(1, 3)) / 448
        quantized = (blocks / scales[:, None, :, None]).reshape(value.shape).to(torch.float8_e4m3fn)
        tensors[name], tensors[f"{name}_scale_inv"] = quantized, scales.to(getattr(torch, scale))
    if not shards:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    halves = {"model-00001-of-00002.safetensors": sorted(tensors)[::2]}
    halves["model-00002-of-00002.safetensors"] = sorted(tensors)[1::2]
    for file, names in halves.items():  # a matrix and its scales lie in different files
        save_file({n: tensors[n] for n in names}, folder / file, metadata={"format": "pt"})
    where = {n: file for file, names in halves.items() for n in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("block, scale, shards", [(16, "float32", False), (8, "bfloat16", True)])
@pytest.mark.parametrize("kind", ["llama", "mixtral"])
def test_fp8_is_what_transformers_makes_of_it(
    kind: str, block: int, scale: str, shards: bool, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    quantized = make_fp8(tmp_path / "fp8", base_of(kind), block=block, scale=scale, shards=shards)
    plain = zoo.load(quantized)  # without a GPU, transformers dequantises
    adapter = zoo.make_adapter(tmp_path / "adapter", base_of(kind), {"target_modules": ["q_proj", "o_proj"]})

    apply(plan_merge(adapter, tmp_path / "merged", base=quantized, dequantize=True))

    merged = zoo.load(tmp_path / "merged")
    assert zoo.differences(merged, zoo.merged_by_peft(quantized, adapter)) == []
    assert zoo.differences(plain, zoo.load(base_of(kind))), "nothing was rounded: the test shows nothing"
    if shards:
        index = json.loads((tmp_path / "merged/model.safetensors.index.json").read_text())["weight_map"]
        assert index.keys() == zoo.stored(tmp_path / "merged").keys()


@pytest.mark.usefixtures("quiet")
def test_one_scale_for_a_whole_matrix(zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    quantized = make_fp8(tmp_path / "fp8", base_of("llama"), block=16, scale="float32")
    tensors = load_file(quantized / "model.safetensors")
    tensors = {n: torch.tensor(0.5) if n.endswith("_scale_inv") else t for n, t in tensors.items()}
    save_file(tensors, quantized / "model.safetensors")
    adapter = zoo.make_adapter(tmp_path / "adapter", base_of("llama"), {"target_modules": ["q_proj"]})

    apply(plan_merge(adapter, tmp_path / "merged", base=quantized, dequantize=True))

    name = "model.layers.1.mlp.up_proj.weight"
    assert torch.equal(zoo.stored(tmp_path / "merged")[name], (tensors[name].float() * 0.5).to(torch.bfloat16))


@pytest.mark.usefixtures("quiet")
def test_unless_asked_it_is_refused_and_what_would_be_lost_is_said(form: Path, zoo: ModuleType, tmp_path: Path) -> None:
    adapter = zoo.make_adapter(tmp_path / "adapter", plain_of(form_name(form), tmp_path / "plain"), QV)

    with pytest.raises(MergeRefused, match="quantised") as refusal:
        plan_merge(adapter, tmp_path / "merged", base=form)

    assert "--dequantize" in refusal.value.next_step
    assert "rounded away" in refusal.value.next_step
    text = str(plan_merge(adapter, tmp_path / "merged", base=form, dequantize=True))
    assert "loses    the quantised format: " in text


def form_name(form: Path) -> str:
    settings = json.loads((form / "config.json").read_text())["quantization_config"]
    if settings["load_in_8bit"]:
        return "int8"
    return str(settings["bnb_4bit_quant_type"]) + ("-double" if settings["bnb_4bit_use_double_quant"] else "")


@pytest.mark.usefixtures("quiet")
def test_an_adapter_that_touches_nothing_quantised_leaves_the_rest_as_it_is(
    form: Path, zoo: ModuleType, tmp_path: Path
) -> None:
    plain = plain_of(form_name(form), tmp_path / "plain")
    adapter = zoo.make_adapter(tmp_path / "adapter", plain, {"target_modules": ["embed_tokens", "lm_head"]})

    apply(plan_merge(adapter, tmp_path / "merged", base=form))

    ours, theirs = zoo.stored(tmp_path / "merged"), zoo.stored(form)
    reference = zoo.merged_by_peft(plain, adapter).state_dict()
    changed = {"model.embed_tokens.weight", "lm_head.weight"}
    assert (tmp_path / "merged/config.json").read_bytes() == (form / "config.json").read_bytes()
    assert all(zoo.torch().equal(ours[n], reference[n] if n in changed else theirs[n]) for n in theirs)
    with pytest.raises(MergeRefused, match="quantised"):
        plan_merge(adapter, tmp_path / "wide", base=form, dtype="float32")


@pytest.mark.usefixtures("quiet")
def test_the_record_says_what_the_base_was(zoo: ModuleType, tmp_path: Path) -> None:
    adapter = zoo.make_adapter(tmp_path / "adapter", plain_of("nf4-double", tmp_path / "plain"), QV)

    apply(plan_merge(adapter, tmp_path / "merged", base=FORMS / "nf4-double", dequantize=True))

    record = json.loads((tmp_path / "merged/sage-doctor-merge.json").read_text())["dequantized_from"]
    assert record["method"] == "bitsandbytes nf4"
    assert record["quantization_config"]["bnb_4bit_use_double_quant"] is True
    assert any("rounded away" in sentence for sentence in record["lost"])


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tensors: {n: t for n, t in tensors.items() if not n.endswith(name)}


def with_state(text: bytes) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(tensors: dict[str, Any]) -> dict[str, Any]:
        import torch

        raw = torch.tensor(list(text), dtype=torch.uint8)
        return {n: raw.clone() if "quant_state" in n else t for n, t in tensors.items()}

    return change


BROKEN: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "no maxima": without("q_proj.weight.absmax"),
    "no table": without("q_proj.weight.quant_map"),
    "no state": without("quant_state.bitsandbytes__nf4"),
    "no JSON": with_state(b"\x80\x04garbage"),
    "a list": with_state(b"[1]"),
    "no shape": with_state(b'{"blocksize": 64, "dtype": "bfloat16"}'),
    "another shape": with_state(b'{"blocksize": 64, "dtype": "bfloat16", "shape": [8, 8]}'),
    "a huge shape": with_state(b'{"blocksize": 64, "dtype": "bfloat16", "shape": [4611686018427387904, 8]}'),
    "no blocks": with_state(b'{"blocksize": 0, "dtype": "bfloat16", "shape": [32, 32]}'),
    "deep": with_state(b"[" * 60000),
}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("dequantize", [False, True])
def test_numbers_that_are_not_understood_are_never_merged(
    what: str, dequantize: bool, zoo: ModuleType, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    base = tmp_path / "base"
    shutil.copytree(FORMS / "nf4", base)
    (base / "reference.safetensors").unlink()
    save_file(BROKEN[what](load_file(base / "model.safetensors")), base / "model.safetensors")
    adapter = zoo.make_adapter(tmp_path / "adapter", plain_of("nf4", tmp_path / "plain"), QV)

    with pytest.raises(MergeRefused, match=r"cannot be dequantised here: .*[a-z]") as refusal:
        plan_merge(adapter, tmp_path / "merged", base=base, dequantize=dequantize)

    assert "unquantised model" in refusal.value.next_step


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("method", ["gptq", "awq", "hqq", "compressed-tensors", "", "\x1b[2J"])
def test_other_forms_are_refused_with_the_way_out(
    method: str, zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    base = tmp_path / "base"
    shutil.copytree(base_of("llama"), base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": method}}))
    tensors = {
        n.replace("q_proj.weight", "q_proj.qweight"): t for n, t in load_file(base / "model.safetensors").items()
    }
    save_file(tensors, base / "model.safetensors")
    adapter = zoo.make_adapter(tmp_path / "adapter", base_of("llama"), QV)

    for dequantize in (False, True):
        with pytest.raises(MergeRefused, match="cannot be dequantised here") as refusal:
            plan_merge(adapter, tmp_path / "merged", base=base, dequantize=dequantize)
        assert "quantise the result" in refusal.value.next_step
        assert "\x1b" not in str(refusal.value)


@pytest.mark.usefixtures("quiet")
def test_dequantising_a_plain_base_changes_nothing(
    zoo: ModuleType, base_of: Callable[..., Path], tmp_path: Path
) -> None:
    adapter = zoo.make_adapter(tmp_path / "adapter", base_of("llama"), QV)

    asked = plan_merge(adapter, tmp_path / "merged", dequantize=True)

    assert asked == plan_merge(adapter, tmp_path / "merged")
