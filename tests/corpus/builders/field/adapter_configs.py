"""Adapters after public reports on PEFT, TRL, ms-swift, tinker and others: configurations that contradict tensors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, write_json
from tests.corpus.builders.tensors import ADAPTER

TABLE = Table("field-adapter-configs", in_tree=False)
CONFIG = "adapter_config.json"
MISFIT = "RuntimeError: Error(s) in loading state_dict: size mismatch"
IGNORED = "loads, but Found missing adapter keys"
UNUSED = "loads, its other tensors unused"
NO_MATCH = "NoMatchingPeftModuleError"
NO_MATCH_4 = "ValueError"
LABELS = "RuntimeError: Error(s) in loading"
Build = Callable[[Bench], None]


def _edited(stock: str, **values: Any) -> Build:
    def build(bench: Bench) -> None:
        edit_json(bench.copy(stock) / CONFIG, **values)

    return build


def _error(name: str, code: str, build: Build, source: str, shows: str, shows_4: str = "") -> None:
    build.__name__ = name
    TABLE.error(code, shows=shows, shows_4=shows_4, source=source)(build)


PRUNED = {f"model.layers.{n}.self_attn.q_proj.lora_E": [True, False, False, False] for n in (0, 1)}
VISION = r".*language_model.*(q_proj|v_proj)"
RANK, SHAPE, KEYS = "adapter-rank-mismatch", "adapter-shape-mismatch", "adapter-keys-unmatched"
SWIFT = "modelscope/ms-swift#8453"

_error("targets_of_another_class", KEYS, _edited("lora", target_modules=VISION), SWIFT, NO_MATCH, NO_MATCH_4)
_error("all_excluded", KEYS, _edited("lora", exclude_modules=".*layers.*"), SWIFT, NO_MATCH, NO_MATCH_4)
_error("a_layer_excluded", KEYS, _edited("lora", exclude_modules=r".*layers\.1\..*"), SWIFT, UNUSED)
_error(
    "rank_pattern_that_training_ignored",
    RANK,
    _edited("lora", rank_pattern={"q_proj": 2}),
    "MakazhanAlpamys/Soup#803",
    MISFIT,
)
_error(
    "pruned_in_the_configuration_only", RANK, _edited("adalora", rank_pattern=PRUNED), "huggingface/peft#1539", MISFIT
)
_error(
    "prefix_of_another_length", SHAPE, _edited("prefix-tuning", num_virtual_tokens=8), "zai-org/ChatGLM3#404", MISFIT
)
_error("prefix_for_more_layers", SHAPE, _edited("prefix-tuning", num_layers=3), "zai-org/ChatGLM-6B#806", MISFIT)
_error(
    "prompt_of_another_length", SHAPE, _edited("prompt-tuning", num_virtual_tokens=8), "zai-org/ChatGLM-6B#1047", MISFIT
)
_error(
    "inputs_not_targeted",
    "adapter-config-invalid",
    _edited("ia3", feedforward_modules=["up_proj"]),
    "huggingface/peft#2429",
    "ValueError",
)
_error("inputs_called_outputs", SHAPE, _edited("ia3", feedforward_modules=[]), "huggingface/peft#2429", MISFIT)
_error(
    "several_bases",
    "adapter-base-unset",
    _edited("lora", base_model_name_or_path=["a/b"]),
    "huggingface/peft#340",
    "TypeError",
)


@TABLE.error("adapter-keys-unmatched", shows=IGNORED, source="NVIDIA-NeMo/Megatron-Bridge#6031")
def exported_without_its_magnitudes(bench: Bench) -> None:
    """`use_dora` in the configuration, and only A and B in the file."""
    path = bench.copy("lora-dora") / ADAPTER
    tensors.pack(path, {n: t for n, t in tensors.unpack(path).items() if "magnitude" not in n})


@TABLE.error("adapter-targets-missing", shows=NO_MATCH, shows_4=NO_MATCH_4, source="modelscope/ms-swift#7891")
def names_of_megatron(bench: Bench) -> None:
    """Of an export that renamed nothing."""
    folder = bench.copy("lora")
    tensors.rename(
        folder / ADAPTER,
        lambda n: n.replace("self_attn.q_proj", "self_attention.linear_qkv").replace(
            "self_attn.v_proj", "self_attention.linear_proj"
        ),
    )
    edit_json(folder / CONFIG, target_modules=["linear_qkv", "linear_proj"])


@TABLE.error("adapter-keys-unmatched", shows="loads, base behaviour", source="NVIDIA-NeMo/Megatron-Bridge#1272")
def matrices_called_as_in_megatron(bench: Bench) -> None:
    """`adapter.linear_in` and `adapter.linear_out` for A and B."""
    tensors.rename(
        bench.copy("lora") / ADAPTER,
        lambda n: n.replace("lora_A", "adapter.linear_in").replace("lora_B", "adapter.linear_out"),
    )


def _of_tinker(bench: Bench, stock: str) -> None:
    folder = bench.copy(stock)
    held = tensors.unpack(folder / ADAPTER)
    numbers = {"lora_A": ("F32", [4, 32], bytes(4 * 32 * 4)), "lora_B": ("F32", [96, 4], bytes(96 * 4 * 4))}
    more = {f"base_model.model.model.unembed_tokens.{p}.weight": t for p, t in numbers.items()}
    tensors.pack(folder / ADAPTER, {**held, **more})
    edit_json(folder / CONFIG, target_modules=r".*(q_proj|v_proj|unembed_tokens)")


@TABLE.error(
    "adapter-keys-unmatched",
    shows="loads, the output layer's tensors unused",
    source="thinking-machines-lab/tinker-cookbook#193",
)
def output_layer_of_tinker(bench: Bench) -> None:
    """`unembed_tokens`, which transformers calls lm_head."""
    _of_tinker(bench, "lora")


@TABLE.healthy(
    shows="loads", source="huggingface/peft#2256", level="load", also=("adapter-unmergeable", "weights-unverified")
)
def prefix_of_a_classifier(bench: Bench) -> None:
    """Its head stands below `base_model.` alone, and the base has none."""
    bench.copy("prefix-classifier")


@TABLE.warning("adapter-config-newer", shows="loads", shows_4="loads", source="huggingface/peft#1511")
def field_of_nobody(bench: Bench) -> None:
    """`use_original_init`, which no release of PEFT has had."""
    edit_json(bench.copy("lora") / CONFIG, use_original_init=True)


@TABLE.healthy(shows="loads", source="huggingface/peft#2275")
def fields_of_a_newer_release_that_say_nothing(bench: Bench) -> None:
    """Null, false and empty in every field that came later."""
    edit_json(bench.copy("lora") / CONFIG, eva_config=None, corda_config=None, lora_bias=False, some_new_option=None)


@TABLE.healthy(shows="loads", source="huggingface/sentence-transformers#2979")
def of_sentence_transformers(bench: Bench) -> None:
    """Its files beside those of PEFT."""
    folder = bench.copy("lora-features")
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False})
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"))
    modules = [
        {"idx": i, "name": str(i), "path": p, "type": f"sentence_transformers.models.{k}"}
        for i, (p, k) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))


@TABLE.healthy(shows="loads", source="huggingface/peft#1087")
def of_peft_0_2(bench: Bench) -> None:
    """The fields that were there in 2023, `enable_lora` among them."""
    folder = bench.copy("lora-t5")
    said = json.loads((folder / CONFIG).read_text())
    kept = (
        "base_model_name_or_path",
        "bias",
        "inference_mode",
        "lora_alpha",
        "peft_type",
        "r",
        "target_modules",
        "task_type",
    )
    write_json(folder / CONFIG, {**{k: said[k] for k in kept}, "enable_lora": None, "merge_weights": False})


@TABLE.healthy(shows="loads", source="ModelCloud/GPTQModel#1358")
def ranks_by_whole_names(bench: Bench) -> None:
    """A pattern for each module, by its whole name."""
    edit_json(
        bench.copy("lora") / CONFIG,
        rank_pattern={"model.layers.0.self_attn.q_proj": 4},
        alpha_pattern={"model.layers.1.self_attn.v_proj": 2},
    )


@TABLE.warning("adapter-left-beside-weights", shows="loads", source="OpenRLHF/OpenRLHF#209")
def of_a_reward_model(bench: Bench) -> None:
    """The whole model was saved beside the adapter."""
    folder = bench.copy("lora")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(bench.stock / "llama" / name, folder / name)
