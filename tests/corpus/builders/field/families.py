"""Mixtures of experts, classifiers, layers and files to spare, as the families of 2025 and 2026 have and lose them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json
from tests.corpus.builders.tensors import MODEL

TABLE = Table("field-families", in_tree=False, shows="loads")
_NOWHERE = "loads, but missing_keys"
_ONES = bytes([0, 0, 128, 63])


def _kept(folder: Path, *without: str, **more: Any) -> None:
    """Take tensors out whose names contain one of these, and put others in (`a__b` for `a.b`), all ones."""
    stored = {k: v for k, v in tensors.unpack(folder / MODEL).items() if not any(w in k for w in without)}
    for name, shape in more.items():
        size = shape[0] * (shape[1] if len(shape) > 1 else 1)
        stored[name.replace("__", ".")] = ("F32", shape, _ONES * size)
    tensors.pack(folder / MODEL, stored)


def _classifier(bench: Bench, *, head: bool, **config: Any) -> None:
    folder = bench.copy("qwen3")
    more: dict[str, list[int]] = {"score__weight": [1, 40]} if head else {}
    _kept(folder, "lm_head", **more)
    labels: dict[str, Any] = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    edit_json(folder / "config.json", architectures=["Qwen3ForSequenceClassification"], **labels, **config)


@TABLE.error("weights-keys-missing", source="modelscope/ms-swift#8477", shows=_NOWHERE)
def classifier_without_its_head(bench: Bench) -> None:
    """A merge kept the base alone."""
    _classifier(bench, head=False)


@TABLE.healthy(source="https://huggingface.co/tomaarsen/Qwen3-Reranker-0.6B-seq-cls/tree/main")
def reranker_with_its_head(bench: Bench) -> None:
    """One label, and its row."""
    _classifier(bench, head=True)


@TABLE.error(
    "weights-keys-missing",
    source="huggingface/transformers#40968",
    shows="RuntimeError: You set `ignore_mismatched_sizes` to `False`",
    shows_4=_NOWHERE,
)
def one_expert_less(bench: Bench) -> None:
    """The last of two, as config.json counts them."""
    _kept(bench.copy("mixtral"), "experts.1.")


@TABLE.error(
    "weights-keys-missing",
    source="huggingface/transformers#40968",
    shows="RuntimeError: You set `ignore_mismatched_sizes` to `False`",
    shows_4=_NOWHERE,
)
def the_first_expert_less(bench: Bench) -> None:
    """The second is there."""
    _kept(bench.copy("qwen2_moe"), "mlp.experts.0.")


@TABLE.healthy(level="load", source="vllm-project/vllm#27597", shows="loads, but unexpected_keys")
def layers_that_predict_further(bench: Bench) -> None:
    """GLM-4.6 and DeepSeek-V3: a whole layer behind the counted ones, and what joins it to them."""
    folder = bench.copy("deepseek_v3")
    stored = tensors.unpack(folder / MODEL)
    behind = {k.replace("layers.1.", "layers.2."): v for k, v in stored.items() if "layers.1." in k}
    joined = {"model.layers.2.eh_proj.weight": ("F32", [32, 64], _ONES * 2048)}
    tensors.pack(folder / MODEL, {**stored, **behind, **joined})
    edit_json(folder / "config.json", num_nextn_predict_layers=1)


@TABLE.error(
    "config-invalid",
    source="vllm-project/vllm#33521",
    shows="StrictDataclassClassValidationError",
    shows_4="ValueError: The `layer_types`",
)
def types_of_layers_misnamed(bench: Bench) -> None:
    """sliding for sliding_attention."""
    path = bench.copy("gemma3_text") / "config.json"
    edit_json(path, layer_types=[t.removesuffix("_attention") for t in read_json(path)["layer_types"]])


@TABLE.healthy(source="https://huggingface.co/mlx-community/Qwen3-0.6B-bf16/tree/main")
def index_of_one_file(bench: Bench) -> None:
    """mlx_lm.convert writes an index beside the one file that it names."""
    folder = bench.copy("qwen3")
    names = dict.fromkeys(tensors.unpack(folder / MODEL), MODEL)
    write_json(folder / tensors.INDEX, {"metadata": {"total_size": 1}, "weight_map": names})


@TABLE.healthy(source="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/tree/main")
def script_that_it_was_trained_with(bench: Bench) -> None:
    """train_script.py and data_config.json, which no file names."""
    folder = bench.copy("bert")
    (folder / "train_script.py").write_text(f"open({str(bench.bait)!r}, 'w')\n", encoding="utf-8")
    write_json(folder / "data_config.json", [])
