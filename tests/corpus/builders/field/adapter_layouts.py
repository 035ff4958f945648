"""Directories that are taken for adapters, after public reports: of other tools, of training runs, of two things."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json
from tests.corpus.builders.tensors import ADAPTER, MODEL

TABLE = Table("field-adapter-layouts", in_tree=False)
BOTH = "loads; the adapter is put on weights that hold it already"
_MLX = {
    "fine_tune_type": "lora",
    "num_layers": 2,
    "batch_size": 4,
    "iters": 100,
    "lora_parameters": {"rank": 8, "scale": 20.0, "dropout": 0.0},
    "adapter_path": "adapters",
    "data": "data/",
}


def _mlx(bench: Bench, file: str, **config: object) -> Path:
    bench.here.mkdir()
    zeros = ("F32", [32, 8], b"\0" * 1024)
    tensors.pack(bench.here / file, {f"model.layers.0.self_attn.q_proj.lora_{p}": zeros for p in "ab"})
    write_json(bench.here / "adapter_config.json", {**_MLX, "model": str(bench.stock / "llama"), **config})
    return bench.here


@TABLE.error(
    "adapter-config-invalid", shows="TypeError: … missing required keys: {'peft_type'}", source="ml-explore/mlx-lm#1119"
)
def of_mlx(bench: Bench) -> None:
    """mlx-lm's own adapter."""
    _mlx(bench, "adapters.safetensors")


@TABLE.error("adapter-config-invalid", shows="TypeError: … missing required keys", source="ml-explore/mlx-lm#1172")
def checkpoints_of_mlx(bench: Bench) -> None:
    """With the checkpoints that mlx-lm leaves beside it."""
    folder = _mlx(bench, "adapters.safetensors")
    for step in ("0000100", "0000200"):
        shutil.copy(folder / "adapters.safetensors", folder / f"{step}_adapters.safetensors")


@TABLE.error("adapter-config-invalid", shows="TypeError: … missing required keys", source="ml-explore/mlx-examples#622")
def of_mlx_of_old(bench: Bench) -> None:
    """Earlier releases wrote numpy's format."""
    folder = _mlx(bench, "adapters.safetensors", fine_tune_type="dora")
    (folder / "adapters.safetensors").rename(folder / "adapters.npz")


@TABLE.error("adapter-config-invalid", shows="TypeError: … missing required keys", source="adapter-hub/adapters#661")
def of_adapter_hub(bench: Bench) -> None:
    """The `adapters` library, which uses the same name for its configuration."""
    bench.here.mkdir()
    config = {"config": {"reduction_factor": 16}, "config_id": "9076f36a74755ac4", "hidden_size": 768}
    named = {"model_class": "BertAdapterModel", "model_name": "bert-base-uncased", "model_type": "bert", "name": "sst2"}
    write_json(bench.here / "adapter_config.json", {**config, **named, "version": "adapters.0.2.1"})
    (bench.here / "pytorch_adapter.bin").write_bytes(b"PK\x03\x04")


@TABLE.error("adapter-config-invalid", shows="TypeError: … missing required keys", source="huggingface/peft#1661")
def configuration_of_the_model(bench: Bench) -> None:
    """The base's config.json was saved under the adapter's name."""
    folder = bench.copy("lora")
    shutil.copy(bench.stock / "llama" / "config.json", folder / "adapter_config.json")


@TABLE.error("adapter-config-invalid", shows="TypeError: … missing required keys", source="huggingface/peft#1168")
def configuration_of_a_custom_model(bench: Bench) -> None:
    """That of ChatGLM, with its own code."""
    write_json(
        bench.copy("lora") / "adapter_config.json",
        {
            "_name_or_path": "/home/ChatGLM/ChatGLM3/chatglm3-6b",
            "architectures": ["ChatGLMForConditionalGeneration"],
            "auto_map": {"AutoConfig": "configuration_chatglm.ChatGLMConfig"},
            "model_type": "chatglm",
            "hidden_size": 4096,
        },
    )


@TABLE.error("weights-missing", shows="no model: ValueError: Unrecognized model", source="huggingface/peft#298")
def a_training_run(bench: Bench) -> None:
    """Checkpoints below, the tokenizer at the top."""
    bench.copy("lora", bench.here / "checkpoint-9")
    bench.copy("lora", bench.here / "checkpoint-10")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bench.stock / "llama" / name, bench.here / name)
    write_json(bench.here / "trainer_state.json", {"global_step": 10})


@TABLE.error("weights-missing", shows="no model: ValueError: Unrecognized model", source="huggingface/peft#718")
def a_named_adapter_below(bench: Bench) -> None:
    """A checkpoint of an adapter that is called `LoraAdapter`."""
    bench.copy("lora", bench.here / "LoraAdapter")
    shutil.copy(bench.stock / "llama" / "tokenizer.json", bench.here / "tokenizer.json")


@TABLE.error(
    "adapter-weights-missing", shows="HFValidationError: Repo id must be", source="huggingface/transformers#28531"
)
def a_run_with_its_configuration(bench: Bench) -> None:
    """The last save did not happen; the checkpoints are there, one adapter deeper."""
    folder = bench.copy("lora")
    bench.copy("lora", folder / "checkpoint-300" / "policy")
    (folder / ADAPTER).unlink()


@TABLE.error(
    "adapter-weights-missing", shows="HFValidationError: Repo id must be", source="mymusise/ChatGLM-Tuning#198"
)
def weights_under_another_name(bench: Bench) -> None:
    """The adapter's tensors in `chatglm-lora.safetensors`."""
    folder = bench.copy("lora")
    (folder / ADAPTER).rename(folder / "chatglm-lora.safetensors")


@TABLE.error("adapter-weights-missing", shows="HFValidationError: Repo id must be", source="huggingface/peft#420")
def weights_under_a_models_name(bench: Bench) -> None:
    """In `model.safetensors`, as a trainer without PEFT support saves them."""
    folder = bench.copy("lora")
    (folder / ADAPTER).rename(folder / MODEL)


@TABLE.error("adapter-base-broken", shows="loads on the inner adapter's base", source="hiyouga/LlamaFactory#2588")
def on_an_adapter(bench: Bench) -> None:
    """DPO on an SFT adapter that was never merged."""
    inner = bench.copy("lora", bench.beside / "sft")
    edit_json(bench.copy("lora") / "adapter_config.json", base_model_name_or_path=str(inner))


@TABLE.error("adapter-base-broken", shows="loads on the inner adapter's base", source="huggingface/trl#692")
def on_an_adapter_with_a_tokenizer(bench: Bench) -> None:
    """The same, where the SFT run saved its tokenizer as well."""
    inner = bench.copy("lora", bench.beside / "final_checkpoint")
    shutil.copy(bench.stock / "llama" / "tokenizer.json", inner / "tokenizer.json")
    edit_json(bench.copy("lora-dora") / "adapter_config.json", base_model_name_or_path=str(inner))


@TABLE.error(
    "config-invalid", shows="ImportError: Using `bitsandbytes` 4-bit quantization", source="unslothai/unsloth#1601"
)
def on_a_base_that_is_quantised_by_word_only(bench: Bench) -> None:
    """The base is a merge in 16 bits with the quantization_config of the 4 bit model it came from."""
    base = bench.copy("llama", bench.beside / "merged")
    edit_json(base / "config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    edit_json(bench.copy("lora") / "adapter_config.json", base_model_name_or_path=str(base))


def _both(bench: Bench, base: str) -> Path:
    folder = bench.copy("llama")
    for name in (ADAPTER, "adapter_config.json"):
        shutil.copy(bench.stock / "lora" / name, folder / name)
    edit_json(folder / "adapter_config.json", base_model_name_or_path=base)
    return folder


@TABLE.error(
    "adapter-left-beside-weights",
    shows=f"no model at its base; {BOTH}",
    source="huggingface/peft#1381",
    shows_4="HFValidationError: the base is asked for",
)
def merged_over_the_adapter(bench: Bench) -> None:
    """`merge_and_unload().save_pretrained()` into the adapter's directory; the base is not on this machine."""
    _both(bench, "/data/models/llama-base")


@TABLE.warning("adapter-left-beside-weights", shows=BOTH, source="huggingface/peft#1381")
def merged_over_the_adapter_beside_its_base(bench: Bench) -> None:
    """The same with the base here: as an adapter it is well."""
    _both(bench, str(bench.stock / "llama"))


@TABLE.healthy(
    shows="no model is asked of the hub: transformers takes the directory",
    source="huggingface/transformers#43746",
    shows_4="OSError: it is asked of the hub",
)
def a_model_with_its_own_adapter(bench: Bench) -> None:
    """Granite Speech: the adapter names the repository it lies in."""
    _both(bench, "ibm-granite/granite-speech-3.3-2b")


@TABLE.healthy(shows="loads", source="huggingface/transformers#43781")
def a_model_with_an_adapter_of_this_directory(bench: Bench) -> None:
    """The same, by path."""
    _both(bench, str(bench.here))


@TABLE.healthy(shows="loads", source="huggingface/peft#1381")
def merged_beside_the_adapter(bench: Bench) -> None:
    """The merged model in a directory of its own, below the adapter's."""
    folder = bench.copy("lora")
    bench.copy("llama", folder / "merged")


@TABLE.healthy(shows="loads", source="ml-explore/mlx-lm#1120")
def read_by_mlx_as_well(bench: Bench) -> None:
    """PEFT's files, to which mlx-lm added its keys and its weights."""
    folder = bench.copy("lora")
    values = read_json(folder / "adapter_config.json")
    write_json(folder / "adapter_config.json", {**values, "fine_tune_type": None, "num_layers": None})
    shutil.copy(folder / ADAPTER, folder / "adapters.safetensors")
