"""A quantisation and rotary positions, as config.json asks for them."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.builders import tensors
from tests.library_sources import write_library
from tests.model_directories import MODEL, write_full

from .cases import SESSION, Bench, Case, Cases

SPEC = importlib.util.find_spec("transformers")
LIBRARY = (Path(str(SPEC.origin)).parents[1],) if SPEC is not None else ()
CASES = Cases()


def asking(bench: Bench, **config: Any) -> Path:
    bench.session = replace(SESSION, site_packages=(write_library(bench.root / "site-packages"),))
    return write_full(bench.here, **config)


def packed(bench: Bench, method: str) -> None:
    path = asking(bench, quantization_config={"quant_method": method}) / MODEL
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"'))


def by_the_installed_library(bench: Bench, **config: Any) -> None:
    bench.session = replace(SESSION, site_packages=LIBRARY)
    write_full(bench.here, **config)


@CASES.passes("check_rotary_positions")
@CASES.skips("check_quantization", "names no quantisation")
def plain(bench: Bench) -> None:
    asking(bench)


@CASES.passes("check_dtype")
def dtype_of_torch(bench: Bench) -> None:
    asking(bench, dtype="bfloat16", torch_dtype="fp16")


@CASES.skips("check_dtype", "names no dtype")
def no_dtype(bench: Bench) -> None:
    asking(bench, dtype=None)


@CASES.finds("check_dtype", "config-invalid", 'torch_dtype is "torch.float16"')
def dtype_with_its_module(bench: Bench) -> None:
    asking(bench, torch_dtype="torch.float16")


@CASES.finds("check_dtype", "config-invalid", 'dtype is "auto"')
def dtype_of_a_call(bench: Bench) -> None:
    asking(bench, dtype="auto")


@CASES.passes("check_config_values")
def values_of_their_types(bench: Bench) -> None:
    asking(bench, rms_norm_eps=1e-5, attention_dropout=0, rope_parameters={}, hidden_act="silu", unheard_of="1")


@CASES.finds("check_config_values", "config-invalid", "rms_norm_eps is '1e-6', where float is expected")
def number_as_a_text(bench: Bench) -> None:
    asking(bench, rms_norm_eps="1e-6")


@CASES.finds("check_config_values", "config-invalid", "rms_norm_eps is 1, where float is expected")
def number_without_a_point(bench: Bench) -> None:
    asking(bench, rms_norm_eps=1)


@CASES.finds("check_config_values", "config-invalid", "attention_dropout is True, where int | float | None is expected")
def true_for_a_number(bench: Bench) -> None:
    asking(bench, attention_dropout=True)


@CASES.finds("check_config_values", "config-invalid", "hidden_act is 'swiglu', an activation that it does not have")
def activation_unknown(bench: Bench) -> None:
    asking(bench, hidden_act="swiglu")


PROJECTION = "model.layers.0.mlp.up_proj.weight"


def in_eight_bits(bench: Bench, **scales: tuple[str, list[int], bytes]) -> None:
    path = asking(bench) / MODEL
    whole = {name: tensor for name, tensor in tensors.unpack(path).items() if name != PROJECTION}
    tensors.pack(path, {**whole, PROJECTION: ("F8_E4M3", [4, 4], bytes(16)), **scales})


@CASES.finds("check_quantization", "config-invalid", f"quantised (FP8: {PROJECTION} and 0 more)")
def quantised_and_not_said(bench: Bench) -> None:
    in_eight_bits(bench, **{f"{PROJECTION}_scale_inv": ("F32", [1, 1], bytes(4))})


@CASES.skips("check_quantization", "names no quantisation")
def numbers_of_eight_bits(bench: Bench) -> None:
    in_eight_bits(bench)


@CASES.finds("check_layer_types", "config-invalid", "layer_types names 3 layers, and num_hidden_layers is 2")
def layer_types_of_another_length(bench: Bench) -> None:
    asking(bench, num_hidden_layers=2, layer_types=["full_attention"] * 3)


@CASES.finds("check_layer_types", "config-invalid", "layer_types names 'sliding', which is no type of layer that it")
def a_type_of_layer_unknown(bench: Bench) -> None:
    by_the_installed_library(bench, model_type="gemma3_text", num_hidden_layers=2, layer_types=["sliding", "full"])


@CASES.passes("check_layer_types")
def types_of_an_earlier_release(bench: Bench) -> None:
    by_the_installed_library(bench, model_type="jamba", num_hidden_layers=2, layer_types=["mamba", "attention"])


@CASES.passes("check_layer_types")
def layer_types_of_each_layer(bench: Bench) -> None:
    asking(bench, num_hidden_layers=2, layer_types=["full_attention"] * 2)


@CASES.passes("check_attention")
def attention_and_a_window(bench: Bench) -> None:
    by_the_installed_library(bench, model_type="mistral", sliding_window=4096, _attn_implementation="sdpa")


@CASES.passes("check_attention")
def attention_from_the_hub(bench: Bench) -> None:
    by_the_installed_library(bench, attn_implementation="kernels-community/flash-attn3")


@CASES.passes("check_attention")
def attention_of_the_models_own_module(bench: Bench) -> None:
    by_the_installed_library(bench, model_type="doge", _attn_implementation="doge_flex_attention")


@CASES.finds("check_attention", "config-invalid", "attn_implementation is 'xformers', an attention that it does not")
def attention_unknown(bench: Bench) -> None:
    by_the_installed_library(bench, attn_implementation="xformers")


@CASES.finds("check_attention", "config-invalid", "loads it, and fails at the first prompt")
def window_of_zero(bench: Bench) -> None:
    by_the_installed_library(bench, model_type="mistral", sliding_window=0)


@CASES.finds("check_attention", "config-invalid", "text_config.sliding_window is null")
def no_window_for_layers_that_slide(bench: Bench) -> None:
    text = {"model_type": "gemma3_text", "sliding_window": None, "layer_types": ["sliding_attention"]}
    by_the_installed_library(bench, model_type="gemma3", text_config=text)


@CASES.finds("check_quantization", "config-invalid", "quantised (bitsandbytes), but they are plain F32")
def left_over(bench: Bench) -> None:
    asking(bench, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})


@CASES.finds("check_quantization", "config-invalid", "has quantization_config: null, with which")
def null_in_version_4(bench: Bench) -> None:
    asking(bench, quantization_config=None)
    (bench.root / "site-packages" / "transformers" / "configuration_utils.py").write_text(
        "self.quantization_config.to_dict() if not isinstance(self.quantization_config, dict) else {}"
    )


@CASES.skips("check_quantization", "names no quantisation")
def null_in_version_5(bench: Bench) -> None:
    asking(bench, quantization_config=None)


@CASES.finds("check_quantization", "config-type-unknown", "quantised by MLX")
def of_mlx(bench: Bench) -> None:
    path = asking(bench, quantization={"group_size": 32, "bits": 4}) / MODEL
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"U32"'))


@CASES.finds("check_quantization", "config-invalid", "without quant_method")
def of_no_method(bench: Bench) -> None:
    asking(bench, quantization_config={"bits": 4})


@CASES.skips("check_quantization", "names no quantisation")
def of_neither_width(bench: Bench) -> None:
    asking(bench, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": False})


@CASES.passes("check_quantization")
def quantised_as_it_says(bench: Bench) -> None:
    packed(bench, "gptq")


@CASES.finds("check_quantization", "config-type-unknown", "(5.23.0) cannot read")
def unknown_method(bench: Bench) -> None:
    packed(bench, "modelopt")


@CASES.passes("check_quantization")
def unknown_method_over_plain_weights(bench: Bench) -> None:
    asking(bench, quantization_config={"quant_method": "modelopt"})


@CASES.passes("check_rotary_positions")
def stretched(bench: Bench) -> None:
    asking(bench, rope_scaling={"type": "linear", "factor": 2.0})


@CASES.finds("check_rotary_positions", "config-invalid", "of the type 'linear' lacks factor")
def without_its_factor(bench: Bench) -> None:
    asking(bench, rope_scaling={"rope_type": "linear"})


@CASES.finds("check_rotary_positions", "config-invalid", "of the type 'su', which the session's transformers does not")
def of_an_unknown_type(bench: Bench) -> None:
    asking(bench, rope_parameters={"rope_type": "su"})


@CASES.finds("check_rotary_positions", "config-invalid", "where a name is expected")
def of_no_type(bench: Bench) -> None:
    asking(bench, rope_scaling={"rope_type": 7})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
