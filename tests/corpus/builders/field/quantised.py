"""Quantised weights that config.json says nothing of, lists of layers of another length, merges nobody can read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json
from tests.corpus.builders.tensors import MODEL
from tests.corpus.builders.tokens import SPECIAL

TABLE = Table("field-quantised", in_tree=False)
_Stored = tuple[str, list[int], bytes]
_BYTES = {"I32": 4, "F32": 4, "F16": 2, "U8": 1, "I8": 1, "F8_E4M3": 1}


def _of(dtype: str, *shape: int) -> _Stored:
    return dtype, list(shape), bytes(math.prod(shape) * _BYTES[dtype])


def _packed(bench: Bench, layer: Callable[[str, int, int], dict[str, _Stored]]) -> Path:
    """Copy a model with each matrix of its layers stored as `layer` says; return the directory."""
    folder = bench.copy()
    stored: dict[str, _Stored] = {}
    for name, tensor in tensors.unpack(folder / MODEL).items():
        rows, columns = (*tensor[1], 1)[:2]
        stored.update(layer(name.removesuffix(".weight"), rows, columns) if "_proj." in name else {name: tensor})
    tensors.pack(folder / MODEL, stored)
    return folder


def _gptq(layer: str, rows: int, columns: int) -> dict[str, _Stored]:
    return {
        f"{layer}.qweight": _of("I32", columns // 8, rows),
        f"{layer}.qzeros": _of("I32", 1, rows // 8),
        f"{layer}.scales": _of("F16", 1, rows),
        f"{layer}.g_idx": _of("I32", columns),
    }


@TABLE.error("config-invalid", source="intel/auto-round#168", shows="loads: 14 missing")
def gptq_in_a_file_of_its_own(bench: Bench) -> None:
    """AutoGPTQ reads quantize_config.json, transformers config.json."""
    settings = {"bits": 4, "group_size": 128, "desc_act": False, "sym": True}
    write_json(_packed(bench, _gptq) / "quantize_config.json", settings)


@TABLE.error("config-invalid", source="unslothai/unsloth#6200", shows="loads")
def fp8_with_its_scales(bench: Bench) -> None:
    """Blocks of FP8 and their scales: the raw values are read as weights, and the scales dropped."""
    _packed(
        bench,
        lambda n, rows, columns: {
            f"{n}.weight": _of("F8_E4M3", rows, columns),
            f"{n}.weight_scale_inv": _of("F32", 1, 1),
        },
    )


@TABLE.error("config-invalid", source="unslothai/unsloth#6200", shows="loads: 14 missing")
def compressed_tensors(bench: Bench) -> None:
    """What llm-compressor packs."""
    _packed(
        bench,
        lambda n, rows, columns: {
            f"{n}.weight_packed": _of("I32", rows, columns // 8),
            f"{n}.weight_scale": _of("F16", rows, 1),
        },
    )


@TABLE.error(
    "config-invalid",
    source="unslothai/unsloth#1601",
    shows="RuntimeError: You set `ignore_mismatched",
    shows_4="RuntimeError: Error(s) in loading state_dict",
)
def four_bits_of_bitsandbytes(bench: Bench) -> None:
    """The opposite of a left-over setting: it was taken out, and the weights are still in four bits."""
    _packed(
        bench,
        lambda n, rows, columns: {
            f"{n}.weight": _of("U8", rows * columns // 2, 1),
            f"{n}.weight.absmax": _of("F32", 8),
            f"{n}.weight.quant_map": _of("F32", 16),
        },
    )


@TABLE.healthy(source="kekzl/imp#1450", shows="loads")
def fp8_that_is_cast(bench: Bench) -> None:
    """Numbers of eight bits without scales: a load casts them."""
    _packed(bench, lambda n, rows, columns: {f"{n}.weight": _of("F8_E4M3", rows, columns)})


@TABLE.error(
    "config-invalid",
    source="transformers 5.23, configuration_utils.py",
    shows="StrictDataclassClassValidationError",
    shows_4="ValueError: `num_hidden_layers` (2) must be",
)
def a_layer_too_many_in_the_list(bench: Bench) -> None:
    """Layers were taken out of the weights and num_hidden_layers, and the list kept its length."""
    edit_json(bench.copy("qwen3") / "config.json", layer_types=["full_attention"] * 3)


@TABLE.error(
    "config-invalid",
    source="transformers 5.23, configuration_utils.py",
    shows="StrictDataclassClassValidationError",
    shows_4="loads",
)
def a_list_that_is_not_asked_for(bench: Bench) -> None:
    """The list of another architecture, which this one does not read: 5 compares it all the same."""
    edit_json(bench.copy("mistral") / "config.json", layer_types=["full_attention"] * 3)


def _merges(bench: Bench, *merges: object) -> None:
    path = bench.copy() / "tokenizer.json"
    value = read_json(path)
    vocabulary = {token: i for i, token in enumerate((*SPECIAL, "a", "b", "ab", "abb", "a b"))}
    value["model"] = {"type": "BPE", "vocab": vocabulary, "merges": list(merges), "unk_token": "<unk>"}
    write_json(path, value)


@TABLE.healthy(source="huggingface/tokenizers#909", shows="loads")
def merges_as_text(bench: Bench) -> None:
    """As files were written before tokenizers 0.20."""
    _merges(bench, "#version: 0.2", "a b", "ab b")


@TABLE.error("tokenizer-invalid", source="huggingface/tokenizers#909", shows="Exception: ")
def merges_with_a_space_inside(bench: Bench) -> None:
    """Saved as text, a merge of tokens with spaces in them cannot be read back."""
    _merges(bench, "a b", "a  b")


@TABLE.error("tokenizer-invalid", source="huggingface/tokenizers#1541", shows="Exception: ")
def merges_of_tokens_that_are_gone(bench: Bench) -> None:
    """A token was taken out of the vocabulary, and the merge that makes it stayed."""
    _merges(bench, ["a", "b"], ["b", "a"])


@TABLE.error("tokenizer-invalid", source="modelscope/ms-swift#2494", shows="Exception: ")
def merges_of_both_forms(bench: Bench) -> None:
    """A file put together from one of before tokenizers 0.20 and one of after."""
    _merges(bench, ["a", "b"], "ab b")
