"""Weights in the form of a trainer, a quantiser or an earlier framework, as their owners asked how to load them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.case import Bench, Table, write_json
from tests.corpus.builders.field.layouts import tokenizer_only, touch
from tests.corpus.builders.pickles import state_dict
from tests.corpus.builders.tensors import MODEL

TABLE = Table("field-trainers", in_tree=False)
_LOST = "OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory"
_UNKNOWN = "ValueError: Unrecognized model"


def _bare(bench: Bench, name: str = "llama") -> Path:
    folder = bench.copy(name)
    (folder / MODEL).unlink()
    return folder


def _small_files(bench: Bench, folder: Path) -> None:
    """Write config.json and the tokenizer."""
    tokenizer_only(bench, folder)
    shutil.copy(bench.stock / "llama" / "config.json", folder / "config.json")


@TABLE.error("weights-missing", subject="huggingface", source="verl-project/verl#2252", shows=_UNKNOWN)
def verl_before_the_merge(bench: Bench) -> None:
    """A .pt of each rank, and the small files in huggingface."""
    touch(bench.here, *(f"{n}_world_size_2_rank_{r}.pt" for n in ("model", "optim", "extra_state") for r in (0, 1)))
    write_json(bench.here / "fsdp_config.json", {"FSDP_version": 1, "world_size": 2})
    _small_files(bench, bench.here / "huggingface")


@TABLE.error(
    "weights-missing", target="actor/huggingface", source="verl-project/verl#2262", shows="no model where it is named"
)
def folder_of_small_files_of_verl(bench: Bench) -> None:
    """The folder that looks like a model is named; the shards are above it."""
    touch(bench.here / "actor", "model_world_size_1_rank_0.pt")
    _small_files(bench, bench.here / "actor" / "huggingface")


@TABLE.error(
    "weights-missing", target="actor/huggingface", source="verl-project/verl#1680", shows="no model where it is named"
)
def verl_on_megatron(bench: Bench) -> None:
    """dist_ckpt holds Megatron's shards."""
    touch(bench.here / "actor" / "dist_ckpt", "__0_0.distcp", "common.pt", "metadata.json", ".metadata")
    _small_files(bench, bench.here / "actor" / "huggingface")


@TABLE.error("weights-missing", source="https://docs.nvidia.com/nemo-framework/user-guide/24.07", shows=_LOST)
def archive_of_nemo(bench: Bench) -> None:
    """model.nemo, beside the small files of the original."""
    _small_files(bench, bench.here)
    touch(bench.here, "llama2-7b.nemo")


@TABLE.error("weights-missing", source="swiss-ai/Megatron-LM#53", shows=_UNKNOWN, shows_4="OSError: Error no file")
def older_megatron(bench: Bench) -> None:
    """iter_0001000/mp_rank_00/model_optim_rng.pt."""
    touch(bench.here / "iter_0001000" / "mp_rank_00", "model_optim_rng.pt")
    touch(bench.here, "latest_checkpointed_iteration.txt", raw=b"1000")
    tokenizer_only(bench, bench.here)


@TABLE.error("weights-missing", source="https://github.com/NVIDIA-NeMo/Megatron-Bridge", shows=_LOST)
def megatron_beside_a_config(bench: Bench) -> None:
    """iter_0000100 with the small files of the original."""
    _small_files(bench, bench.here)
    touch(bench.here / "iter_0000100", "__0_0.distcp", "common.pt", "run_config.yaml", ".metadata")
    touch(bench.here, "latest_train_state.pt")


def _zero(bench: Bench, script: str) -> None:
    folder = _bare(bench)
    touch(
        folder / "global_step500",
        "zero_pp_rank_0_mp_rank_00_model_states.pt",
        "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
    )
    (folder / "latest").write_text("global_step500", encoding="ascii")
    (folder / "zero_to_fp32.py").write_text(script, encoding="ascii")


@TABLE.error("weights-missing", source="deepspeedai/DeepSpeed#1394", shows=_LOST)
def zero_with_an_older_script(bench: Bench) -> None:
    """Before 0.15.3 the last word of zero_to_fp32.py names a file."""
    _zero(bench, 'parser.add_argument("output_file", type=str)\n')


@TABLE.error("weights-missing", source="deepspeedai/DeepSpeed#5895", shows=_LOST)
def zero_with_a_newer_script(bench: Bench) -> None:
    """And since then a directory."""
    _zero(bench, 'parser.add_argument("output_dir", type=str)\n')


@TABLE.error("weights-missing", source="https://github.com/EleutherAI/gpt-neox", shows=_LOST)
def layers_of_neox(bench: Bench) -> None:
    """A file for each layer, which no ZeRO script reads."""
    folder = _bare(bench, "gpt_neox")
    touch(folder / "global_step1000", "layer_00-model_00-model_states.pt", "mp_rank_00_model_states.pt")
    (folder / "latest").write_text("global_step1000", encoding="ascii")


@TABLE.error("weights-missing", source="hiyouga/LlamaFactory#3573", shows=_LOST)
def fsdp_of_accelerate(bench: Bench) -> None:
    """pytorch_model_fsdp_0 beside optimizer_0."""
    folder = _bare(bench)
    for name in ("pytorch_model_fsdp_0", "optimizer_0"):
        touch(folder / name, "__0_0.distcp", ".metadata")


@TABLE.error(
    "weights-missing", source="https://github.com/hiyouga/LlamaFactory/blob/main/scripts/hf2dcp.py", shows=_LOST
)
def shards_in_model(bench: Bench) -> None:
    """torch.distributed.checkpoint in model and optim."""
    folder = _bare(bench)
    for name in ("model", "optim"):
        touch(folder / name, "__0_0.distcp", ".metadata")


@TABLE.error(
    "weights-missing", source="https://docs.pytorch.org/torchtune/stable/deep_dives/checkpointer.html", shows=_LOST
)
def parts_of_torchtune(bench: Bench) -> None:
    """hf_model_0001_0.pt and its like: parts of one state dict."""
    folder = _bare(bench)
    for number in (1, 2):
        stored = tensors.unpack(bench.stock / "llama" / MODEL)
        (folder / f"hf_model_000{number}_0.pt").write_bytes(state_dict(stored))
    touch(folder, "recipe_state.pt")


@TABLE.error("weights-missing", source="huggingface/transformers#34017", shows=_UNKNOWN)
def llama_of_meta(bench: Bench) -> None:
    """consolidated.00.pth, params.json and tokenizer.model of tiktoken."""
    touch(bench.here, "consolidated.00.pth")
    write_json(bench.here / "params.json", {"dim": 32, "n_layers": 2})
    (bench.here / "tokenizer.model").write_text("IQ== 0\nIg== 1\n", encoding="ascii")


@TABLE.error("weights-missing", source="google/maxtext#551", shows=_LOST)
def orbax(bench: Bench) -> None:
    """0/items of MaxText, and the small files of the original."""
    _small_files(bench, bench.here)
    touch(bench.here / "0" / "items", "manifest.ocdbt", "_METADATA", "ocdbt.process_0/manifest.ocdbt")


@TABLE.error("weights-missing", source="huggingface/transformers#23810", shows=_LOST)
def flax_in_shards(bench: Bench) -> None:
    """flax_model-00001-of-00002.msgpack and its index."""
    folder = _bare(bench, "t5")
    touch(folder, "flax_model-00001-of-00002.msgpack", "flax_model-00002-of-00002.msgpack")
    write_json(folder / "flax_model.msgpack.index.json", {"metadata": {}, "weight_map": {}})


@TABLE.error("weights-missing", source="https://github.com/google-research/bert", shows=_LOST)
def first_bert(bench: Bench) -> None:
    """bert_model.ckpt of TensorFlow 1."""
    touch(_bare(bench, "bert"), *(f"bert_model.ckpt.{n}" for n in ("index", "meta", "data-00000-of-00001")))


@TABLE.error("weights-missing", source="Lightning-AI/litgpt#1986", shows=_LOST)
def litgpt_with_its_prompt_style(bench: Bench) -> None:
    """lit_model.pth, which is no state dict of transformers' names."""
    touch(_bare(bench), "lit_model.pth", "model_config.yaml", "prompt_style.yaml")


@TABLE.error(
    "weights-missing", source="https://lightning.ai/docs/pytorch/stable/common/checkpointing_basic.html", shows=_LOST
)
def epoch_of_lightning(bench: Bench) -> None:
    """epoch=3-step=1000.ckpt."""
    touch(_bare(bench), "epoch=3-step=1000.ckpt")


@TABLE.error("weights-missing", source="dropbox/hqq#70", shows=_LOST)
def saved_by_hqq(bench: Bench) -> None:
    """qmodel.pt of AutoHQQHFModel.save_quantized."""
    touch(_bare(bench), "qmodel.pt")


@TABLE.error("weights-missing", source="huggingface/community-events#100", target="run", shows="no model at its top")
def run_with_checkpoints_alone(bench: Bench) -> None:
    """The tokenizer at the top, whole models in checkpoint-12000 and checkpoint-16000."""
    tokenizer_only(bench, bench.here / "run")
    for step in (12000, 16000):
        bench.copy(to=bench.here / "run" / f"checkpoint-{step}")


@TABLE.error("weights-missing", source="Blaizzy/mlx-audio#832", shows="no model of transformers", shows_4="OSError")
def whisper_of_mlx(bench: Bench) -> None:
    """weights.safetensors and a config.json, no more."""
    bench.here.mkdir(parents=True)
    shutil.copy(bench.stock / "whisper" / MODEL, bench.here / "weights.safetensors")
    write_json(bench.here / "config.json", {"model_type": "whisper", "n_mels": 80, "n_audio_ctx": 1500})
