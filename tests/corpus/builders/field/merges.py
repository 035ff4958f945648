"""What a merge would lose, and what a merge has lost: adapters with a part absent or zero, and records that say so."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json

TABLE = Table("field-merges", in_tree=False)
ADAPTER = "adapter_model.safetensors"
RECORD = "sage-doctor-merge.json"
MISSING = "loads, but Found missing adapter keys while loading the checkpoint"


def _without(bench: Bench, name: str, lost: str) -> Path:
    """Copy a stock adapter and take the tensors out whose names contain the pattern."""
    folder = bench.copy(name)
    stored = tensors.unpack(folder / ADAPTER)
    kept = {n: t for n, t in stored.items() if not re.search(lost, n)}
    assert len(kept) < len(stored), "the pattern matches nothing"
    tensors.pack(folder / ADAPTER, kept)
    return folder


def _zeroed(bench: Bench, name: str, part: str, value: bytes = bytes(4)) -> None:
    path = bench.copy(name) / ADAPTER
    for tensor in tensors.unpack(path):
        if f".lora_{part}" in tensor:
            tensors.fill(path, tensor, value)


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2566")
def one_stage_of_a_pipeline(bench: Bench) -> None:
    """Only the first stage saved its layers."""
    _without(bench, "lora", r"layers\.1\.")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2566")
def last_stage_of_a_pipeline(bench: Bench) -> None:
    """The first stage's file was overwritten by the last one's."""
    _without(bench, "lora", r"layers\.0\.")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2566")
def one_projection_of_one_layer(bench: Bench) -> None:
    """A single module of the second layer has no tensors."""
    _without(bench, "lora", r"layers\.1\.self_attn\.v_proj")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2566")
def one_projection_of_all_layers(bench: Bench) -> None:
    """The configuration names two projections, the file holds one."""
    _without(bench, "lora", r"v_proj")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2566")
def configuration_of_a_wider_run(bench: Bench) -> None:
    """adapter_config.json is that of a run with more targets."""
    edit_json(bench.copy("lora") / "adapter_config.json", target_modules=["q_proj", "k_proj", "v_proj"])


@TABLE.error("adapter-keys-unmatched", shows="loads, a part of its tensors unused", source="huggingface/peft#2772")
def configuration_of_a_narrower_run(bench: Bench) -> None:
    """The configuration names one projection of the two that were trained."""
    edit_json(bench.copy("lora") / "adapter_config.json", target_modules=["q_proj"])


def _targeting(folder: Path, *names: str) -> None:
    edit_json(folder / "adapter_config.json", target_modules=["q_proj", "v_proj", *names])


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="arcee-ai/mergekit#521")
def output_layer_targeted_without_tensors(bench: Bench) -> None:
    """Extracted from two models whose output layers do not differ."""
    _targeting(bench.copy("lora"), "lm_head")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="arcee-ai/mergekit#328")
def embedding_targeted_without_tensors(bench: Bench) -> None:
    """The tensors of the embedding were left out because its rows differ."""
    _targeting(bench.copy("lora"), "embed_tokens")


@TABLE.error(
    "adapter-keys-unmatched", shows="KeyError: 'base_model.model.classifier.weight'", source="huggingface/trl#1379"
)
def head_of_the_task_lost(bench: Bench) -> None:
    """The reward model's head is not in the file."""
    _without(bench, "lora-classifier", "classifier")


@TABLE.error(
    "adapter-keys-unmatched", shows="KeyError: 'base_model.model.classifier.weight'", source="OpenRLHF/OpenRLHF#1342"
)
def head_of_the_task_never_saved(bench: Bench) -> None:
    """Nor does the configuration name it."""
    folder = _without(bench, "lora-classifier", "classifier")
    edit_json(folder / "adapter_config.json", modules_to_save=None)


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2566")
def layer_of_a_sharded_base(bench: Bench) -> None:
    """The same over shards, where all linear layers were trained."""
    _without(bench, "lora-sharded-base", r"layers\.1\.mlp")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2566")
def layer_of_transposed_weights(bench: Bench) -> None:
    """GPT-2, whose layers are `h`."""
    _without(bench, "lora-conv1d", r"h\.1\.")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2566")
def layer_of_a_headless_base(bench: Bench) -> None:
    """The base stores its names without `transformer.`."""
    _without(bench, "lora-conv1d-bare", r"h\.0\.")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2566")
def one_of_two_matched_by_an_expression(bench: Bench) -> None:
    """The target is a regular expression, and one of the two modules it matches is absent."""
    _without(bench, "lora-regex", r"up_proj")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2699")
def second_matrix_absent(bench: Bench) -> None:
    """One pair has lost its lora_B: PEFT takes zeros."""
    _without(bench, "lora", r"layers\.1\.self_attn\.q_proj\.lora_B")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2699")
def first_matrices_absent(bench: Bench) -> None:
    """All lora_A are absent: PEFT draws them at random."""
    _without(bench, "lora", r"lora_A")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2566")
def magnitude_absent(bench: Bench) -> None:
    """DoRA without the magnitude of one module."""
    _without(bench, "lora-dora", r"layers\.0\.self_attn\.v_proj\.lora_magnitude")


@TABLE.error("adapter-keys-unmatched", shows=MISSING, source="huggingface/peft#2566")
def magnitudes_absent(bench: Bench) -> None:
    """DoRA whose magnitudes were all filtered out as no matrices."""
    _without(bench, "lora-dora", r"magnitude")


@TABLE.error(
    "adapter-keys-unmatched", shows="KeyError: 'base_model.model.lm_head.weight'", source="potamides/AutomaTikZ#19"
)
def saved_head_absent(bench: Bench) -> None:
    """modules_to_save names the output layer, whose tensor was filtered out."""
    edit_json(bench.copy("lora") / "adapter_config.json", modules_to_save=["lm_head"])


@TABLE.error("adapter-no-effect", "weights-all-zero", level="integrity", shows="loads", source="huggingface/peft#1402")
def never_trained(bench: Bench) -> None:
    """Every lora_B is zero, as DeepSpeed left them."""
    _zeroed(bench, "lora", "B")


@TABLE.error("adapter-no-effect", "weights-all-zero", level="integrity", shows="loads", source="tloen/alpaca-lora#357")
def never_trained_negative_zeros(bench: Bench) -> None:
    """The zeros have a sign, after a scaling by a negative number."""
    _zeroed(bench, "lora", "B", b"\0\0\0\x80")


@TABLE.healthy(source="huggingface/peft#1402", level="integrity", shows="loads")
def half_trained(bench: Bench) -> None:
    """One layer's lora_B is zero: frozen in a second stage. The adapter changes the model."""
    path = bench.copy("lora") / ADAPTER
    for tensor in tensors.unpack(path):
        if "layers.1." in tensor and ".lora_B" in tensor:
            tensors.fill(path, tensor, bytes(4))


@TABLE.healthy(source="huggingface/peft#2566", shows="loads")
def only_the_layers_that_were_trained(bench: Bench) -> None:
    """The configuration says that the second layer alone was trained."""
    folder = _without(bench, "lora", r"layers\.0\.")
    edit_json(folder / "adapter_config.json", layers_to_transform=[1])


@TABLE.healthy(source="huggingface/peft#2566", shows="loads")
def only_what_was_not_excluded(bench: Bench) -> None:
    """A layer was excluded by name."""
    folder = _without(bench, "lora", r"layers\.0\.")
    excluded = [f"model.layers.0.self_attn.{n}" for n in ("q_proj", "v_proj")]
    edit_json(folder / "adapter_config.json", exclude_modules=excluded)


@TABLE.healthy(source="huggingface/peft#2566", shows="loads")
def named_in_full(bench: Bench) -> None:
    """The targets are whole names, as PEFT writes them for irregular choices."""
    folder = _without(bench, "lora", r"layers\.0\.self_attn\.q|layers\.1\.self_attn\.v")
    names = ["model.layers.0.self_attn.v_proj", "model.layers.1.self_attn.q_proj"]
    edit_json(folder / "adapter_config.json", target_modules=names)


@TABLE.healthy(source="huggingface/transformers#36594", shows="loads")
def base_stores_a_layer_more(bench: Bench) -> None:
    """The base holds a layer that predicts a further token and that the library does not build."""
    folder = bench.copy("lora")
    base = bench.copy("llama", bench.beside / "base")
    stored = tensors.unpack(base / "model.safetensors")
    more = {n.replace("layers.1.", "layers.2."): t for n, t in stored.items() if "layers.1." in n}
    tensors.pack(base / "model.safetensors", {**stored, **more})
    edit_json(base / "config.json", num_nextn_predict_layers=1)
    edit_json(folder / "adapter_config.json", base_model_name_or_path=str(base))


def _merged(bench: Bench, **values: Any) -> Path:
    """Lay out a merged model whose record says so much of its merge."""
    folder = bench.copy("llama")
    record = {
        "schema_version": 1,
        "dtype": "as stored",
        "outputs": [{"path": "model.safetensors", "sha256": "0" * 64}],
        "tensors": {"written": 21, "changed": 4},
        "delta": {"cosine": 0.99},
        **values,
    }
    write_json(folder / RECORD, record)
    return folder


def _recorded(name: str, source: str, **values: Any) -> Callable[[Bench], None]:
    def build(bench: Bench) -> None:
        _merged(bench, **values)

    build.__name__ = name
    TABLE.warning("merge-partial" if "delta" not in values else "merge-delta-vanishes", shows="loads", source=source)(
        build
    )
    return build


_recorded("rounded_away", "huggingface/peft#1388", delta={"cosine": 0.06, "changed_share": 0.011})
_recorded("half_rounded_away", "QwenLM/Qwen#1168", delta={"cosine": 0.49})
_recorded("returned_the_base", "unslothai/unsloth#3091", delta={"cosine": 0.0})
_recorded("merged_in_part", "huggingface/peft#2566", uncovered=["model.layers.1.self_attn.q_proj"])
_recorded("merged_with_zeros", "huggingface/peft#1402", unchanged=["model.layers.1.self_attn.q_proj.weight"])


@TABLE.healthy(source="huggingface/peft#1388", shows="loads")
def merged_well(bench: Bench) -> None:
    """The record says that nothing is lost."""
    _merged(bench)


@TABLE.healthy(source="huggingface/peft#1388", shows="loads")
def merged_before_records_said_more(bench: Bench) -> None:
    """A record of an older version."""
    folder = _merged(bench)
    value = read_json(folder / RECORD)
    write_json(folder / RECORD, {k: v for k, v in value.items() if k != "delta"} | {"surviving_delta": 1.0})


@TABLE.healthy(source="huggingface/peft#1388", shows="loads")
def trained_on_since(bench: Bench) -> None:
    """The record is of the weights before: they were saved anew a day later."""
    folder = _merged(bench, delta={"cosine": 0.1})
    written = (folder / RECORD).stat().st_mtime
    os.utime(folder / RECORD, (written - 86_400, written - 86_400))


@TABLE.healthy(source="huggingface/peft#1388", shows="loads")
def record_without_sense(bench: Bench) -> None:
    """Values of other types than a merge writes."""
    _merged(bench, delta=[1], uncovered="all", unchanged=[None], tensors=7)
