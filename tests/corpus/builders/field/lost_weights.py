"""Weights that are not where a loader looks: lost, under another name, in another form, or behind a stale index."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.cache import write_repository
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json, write_manifest
from tests.corpus.builders.field.layouts import tokenizer_only, touch
from tests.corpus.builders.pickles import state_dict
from tests.corpus.builders.tensors import INDEX, MODEL

TABLE = Table("field-lost-weights", in_tree=False)
_NONE = "OSError: Error no file named model.safetensors, or pytorch_model.bin, found"
_LOST = {"shows": _NONE}
_CACHED = {"subject": "cached", "manifest": True, "environment": {"HF_HUB_CACHE": "hub"}, "shows": "OSError"}


def _without_weights(bench: Bench) -> Path:
    folder = bench.copy()
    (folder / MODEL).unlink()
    return folder


def _pickled_shards(folder: Path) -> dict[str, str]:
    """Turn the shards of `folder` into .bin files and return where each tensor lies; the index stays as it was."""
    weight_map = read_json(folder / INDEX)["weight_map"]
    for shard in sorted(folder.glob("model-*.safetensors")):
        (folder / f"pytorch_{shard.stem}.bin").write_bytes(state_dict(tensors.unpack(shard)))
        shard.unlink()
    return {name: f"pytorch_{Path(file).stem}.bin" for name, file in weight_map.items()}


# Indexes


@TABLE.error(
    "shard-index-mismatch", shows="FileNotFoundError: …/model-00001-of-00009", source="hiyouga/LlamaFactory#3340"
)
def index_beside_whole_bin_shards(bench: Bench) -> None:
    """The index of safetensors that were never fetched comes before the .bin shards, which are whole."""
    folder = bench.copy("llama-sharded")
    write_json(folder / "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": _pickled_shards(folder)})


@TABLE.error(
    "shard-index-mismatch", shows="FileNotFoundError: …/model-00001-of-00009", source="huggingface/diffusers#14811"
)
def index_beside_one_whole_bin(bench: Bench) -> None:
    """Likewise, with one pytorch_model.bin."""
    folder = bench.copy()
    (folder / "pytorch_model.bin").write_bytes(state_dict(tensors.unpack(folder / MODEL)))
    (folder / MODEL).unlink()
    shutil.copy(bench.stock / "llama-sharded" / INDEX, folder / INDEX)


@TABLE.error("shard-index-mismatch", shows="FileNotFoundError: …-of-00030.safetensors", source="Neph0s/CoSER#3")
def index_of_another_sharding(bench: Bench) -> None:
    """The index expects 30 shards; the 15 that are there are whole."""
    _renumbered(bench.copy("llama-sharded"), 18)


@TABLE.error("shard-index-mismatch", shows="FileNotFoundError: …-of-00013.safetensors", source="Blaizzy/nativ#370")
def index_of_another_build(bench: Bench) -> None:
    """The index is the original's, of which two shards were left behind beside the whole new set."""
    folder = bench.copy("llama-sharded")
    _renumbered(folder, 18)
    for number in (1, 3):
        shutil.copy(folder / "model-00001-of-00009.safetensors", folder / f"model-{number:05d}-of-00018.safetensors")


def _renumbered(folder: Path, count: int) -> None:
    index = read_json(folder / INDEX)
    names = sorted(set(index["weight_map"].values()))
    other = {name: f"model-{2 * i + 1:05d}-of-{count:05d}.safetensors" for i, name in enumerate(names)}
    edit_json(folder / INDEX, weight_map={k: other[v] for k, v in index["weight_map"].items()})


@TABLE.error("shard-index-missing", **_LOST, source="unslothai/unsloth#2355")
def index_not_uploaded(bench: Bench) -> None:
    """push_to_hub_merged uploaded the shards without their index."""
    (bench.copy("llama-sharded") / INDEX).unlink()


@TABLE.error("weights-missing", **_LOST, source="ml-explore/mlx-examples#1100")
def bin_shards_without_index(bench: Bench) -> None:
    """.bin shards, of which no index says what they hold."""
    folder = bench.copy("llama-sharded")
    _pickled_shards(folder)
    (folder / INDEX).unlink()


@TABLE.error("shard-missing", shows="FileNotFoundError: …/model-00004-of-00009", source="sgl-project/sglang#32279")
def shards_half_fetched_beside_whole_bin(bench: Bench) -> None:
    """Some of the safetensors are there, and all of the .bin."""
    folder = bench.copy("llama-sharded")
    shards = {p.name: p.read_bytes() for p in folder.glob("model-*.safetensors")}
    write_json(folder / "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": _pickled_shards(folder)})
    for name in ("model-00001-of-00009.safetensors", "model-00002-of-00009.safetensors"):
        (folder / name).write_bytes(shards[name])


@TABLE.error("shard-missing", shows="FileNotFoundError: …/model-00013-of-00015", source="oobabooga/textgen#3640")
def last_shards_never_came(bench: Bench) -> None:
    """The download said `Done` without the last shards."""
    folder = bench.copy("llama-sharded")
    for number in (7, 8, 9):
        (folder / f"model-0000{number}-of-00009.safetensors").unlink()


# Forms that a trainer writes


@TABLE.error("weights-missing", **_LOST, source="hiyouga/LlamaFactory#477")
def zero_shards(bench: Bench) -> None:
    """ZeRO-3 without gathering: the weights are in global_step1000."""
    folder = _without_weights(bench)
    touch(folder / "global_step1000", *(f"zero_pp_rank_{r}_mp_rank_00_optim_states.pt" for r in (0, 1)))
    touch(folder, "training_args.bin", "scheduler.pt", "rng_state_0.pth")
    (folder / "latest").write_text("global_step1000\n", encoding="ascii")
    (folder / "zero_to_fp32.py").write_text("#!/usr/bin/env python\n", encoding="ascii")


@TABLE.error("weights-missing", **_LOST, source="deepspeedai/DeepSpeed#5895")
def zero_shards_under_another_tag(bench: Bench) -> None:
    """`latest` names the folder, and there is no script."""
    folder = _without_weights(bench)
    touch(folder / "epoch3", "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "mp_rank_00_model_states.pt")
    (folder / "latest").write_text("epoch3", encoding="ascii")


@TABLE.error("weights-missing", **_LOST, source="huggingface/accelerate#2603")
def fsdp_shards(bench: Bench) -> None:
    """SHARDED_STATE_DICT: pytorch_model_fsdp_0 with .distcp files."""
    folder = _without_weights(bench)
    touch(folder / "pytorch_model_fsdp_0", "__0_0.distcp", "__1_0.distcp", ".metadata")
    touch(folder / "optimizer_0", "__0_0.distcp", ".metadata")


@TABLE.error("weights-missing", **_LOST, source="neelsjain/NEFTune#2")
def fsdp_shards_at_the_top(bench: Bench) -> None:
    """.distcp files in the directory itself."""
    touch(_without_weights(bench), "__0_0.distcp", ".metadata")


@TABLE.error("weights-missing", **_LOST, source="d8ahazard/sd_dreambooth_extension#1013")
def only_what_a_trainer_resumes_from(bench: Bench) -> None:
    """Optimizer and schedule, no weights."""
    touch(_without_weights(bench), "optimizer.pt", "scheduler.pt", "training_args.bin", "optimizer.bin")


@TABLE.error("weights-missing", **_LOST, source="AnswerDotAI/fsdp_qlora#48")
def state_dict_under_its_own_name(bench: Bench) -> None:
    """model_state_dict.safetensors."""
    folder = bench.copy()
    (folder / MODEL).rename(folder / "model_state_dict.safetensors")


# Names


@TABLE.error("weights-missing", **_LOST, source="safetensors/safetensors#273")
def pytorch_model_safetensors(bench: Bench) -> None:
    """The name of a pickle with the ending of a safetensors file."""
    folder = bench.copy()
    (folder / MODEL).rename(folder / "pytorch_model.safetensors")


@TABLE.error("weights-missing", **_LOST, source="lm-sys/FastChat#1530")
def name_of_the_model(bench: Bench) -> None:
    """vicuna-7B-1.1-GPTQ-4bit-128g.safetensors."""
    folder = bench.copy()
    (folder / MODEL).rename(folder / "vicuna-7B-1.1-GPTQ-4bit-128g.safetensors")


@TABLE.error("weights-missing", **_LOST, source="https://github.com/s4rduk4r/alpaca_lora_4bit_readme/issues/5")
def several_by_name(bench: Bench) -> None:
    """Two whole files, neither under a name that a loader knows."""
    folder = bench.copy()
    shutil.copy(folder / MODEL, folder / "llama-30b-4bit-128g.safetensors")
    (folder / MODEL).rename(folder / "llama-30b-4bit.safetensors")


@TABLE.error("weights-missing", **_LOST, source="https://huggingface.co/docs/hub/models-downloading")
def saved_by_a_browser(bench: Bench) -> None:
    """`model (1).safetensors`."""
    folder = bench.copy()
    (folder / MODEL).rename(folder / "model (1).safetensors")


@TABLE.error("weights-missing", **_LOST, source="Kwai-Kolors/Kolors#7")
def only_the_half_precision_variant(bench: Bench) -> None:
    """model.fp16.safetensors alone, for want of space."""
    folder = bench.copy()
    (folder / MODEL).rename(folder / "model.fp16.safetensors")


@TABLE.error("config-missing", shows="ValueError: Unrecognized model", source="oobabooga/textgen#147")
def config_in_capitals(bench: Bench) -> None:
    """Config.json, from a file system where that is the same name."""
    folder = bench.copy()
    (folder / "config.json").rename(folder / "Config.json")


@TABLE.error("config-missing", shows="ValueError: Unrecognized model", source="ggml-org/llama.cpp#5345")
def config_with_an_ending(bench: Bench) -> None:
    """config.json.txt, as an editor saved it."""
    folder = bench.copy()
    (folder / "config.json").rename(folder / "config.json.txt")


# Forms of other programs


@TABLE.error("weights-missing", **_LOST, source="Lightricks/ComfyUI-LTXVideo#163")
def only_gguf(bench: Bench) -> None:
    """config.json and tokenizer, and the weights as GGUF."""
    touch(_without_weights(bench), "gemma-3-1b-it-q4_0.gguf", raw=b"GGUF\x03\0\0\0" + bytes(60))


@TABLE.error("weights-missing", shows="ValueError: Unrecognized model", source="vllm-project/vllm#33253")
def only_mistrals_own(bench: Bench) -> None:
    """consolidated.safetensors, params.json and tekken.json, and nothing of transformers'."""
    folder = bench.here
    folder.mkdir(parents=True)
    shutil.copy(bench.stock / "mistral" / MODEL, folder / "consolidated.safetensors")
    write_json(folder / "params.json", {"dim": 32, "n_layers": 2})
    write_json(folder / "tekken.json", {"config": {"pattern": "."}, "vocab": []})


@TABLE.error("weights-missing", shows="ValueError: Unrecognized model", source="meta-llama/llama3#231")
def metas_own_download(bench: Bench) -> None:
    """download.sh: consolidated.00.pth, params.json, checklist.chk, and a tiktoken file called tokenizer.model."""
    touch(bench.here, "consolidated.00.pth")
    write_json(bench.here / "params.json", {"dim": 32, "n_layers": 2})
    (bench.here / "checklist.chk").write_text(f"{'0' * 32}  consolidated.00.pth\n", encoding="ascii")
    (bench.here / "tokenizer.model").write_text("IQ== 0\nIg== 1\n", encoding="ascii")


@TABLE.error("weights-missing", **_LOST, source="huggingface/transformers#41233")
def only_tensorflow(bench: Bench) -> None:
    """tf_model.h5, which transformers 5 does not read any more."""
    touch(_without_weights(bench), "tf_model.h5", raw=b"\x89HDF\r\n\x1a\n" + bytes(60))


@TABLE.error("weights-missing", **_LOST, source="https://huggingface.co/turboderp/Llama-3.1-8B-Instruct-exl2")
def only_for_exllama(bench: Bench) -> None:
    """output.safetensors."""
    folder = bench.copy()
    (folder / MODEL).rename(folder / "output.safetensors")


@TABLE.error("weights-missing", **_LOST, source="https://huggingface.co/onnx-community/Llama-3.2-1B-Instruct")
def only_onnx(bench: Bench) -> None:
    """The weights are in onnx/."""
    touch(_without_weights(bench) / "onnx", "model.onnx", "model.onnx_data")


# Downloads and directories


@TABLE.error("weights-missing", **_LOST, source="huggingface/huggingface_hub#4196")
def download_into_a_directory_interrupted(bench: Bench) -> None:
    """`hf download --local-dir` was stopped: a part file below .cache/huggingface/download."""
    records = _without_weights(bench) / ".cache" / "huggingface" / "download"
    touch(records, f"AbC123_-xxxxxxxxxxxxxxxxxxxx.{'a' * 64}.incomplete", raw=bytes(1000))
    touch(records, "model.safetensors.lock", "config.json.lock", "config.json.metadata", raw=b"")


@TABLE.error("weights-missing", **_LOST, source="Layr-Labs/d-inference#36")
def part_file_of_another_downloader(bench: Bench) -> None:
    """model.safetensors.part."""
    touch(_without_weights(bench), "model.safetensors.part", raw=bytes(1000))


@TABLE.error(
    "weights-missing",
    subject="m",
    manifest=True,
    shows="OSError",
    source="ggml-org/llama.cpp#4634",
)
def unpacked_too_deep(bench: Bench) -> None:
    """The session names the directory; the model is two levels below."""
    bench.copy(to=bench.here / "finetune" / "output" / "final")
    write_manifest(bench.here, m="finetune")


@TABLE.error(
    "tokenizer-missing", shows="ValueError", target="run/checkpoint-500", manifest=False, source="kaistAI/LangBridge#13"
)
def tokenizer_one_level_up(bench: Bench) -> None:
    """A checkpoint without tokenizer files, which the run's directory has."""
    bench.copy(to=bench.here / "run")
    checkpoint = bench.here / "run" / "checkpoint-500"
    checkpoint.mkdir()
    for name in ("config.json", MODEL):
        shutil.copy(bench.here / "run" / name, checkpoint / name)
    # The truth is tried where the case lies.
    for name in ("config.json", MODEL):
        shutil.copy(bench.here / "run" / name, bench.here / name)


# The Hugging Face cache


def _cached(bench: Bench) -> Path:
    write_manifest(bench.here, cached="hf:acme/tiny")
    return write_repository(bench.stock / "llama", bench.here / "hub", "acme/tiny")


def _links_to_texts(snapshot: Path, separator: str = "/") -> None:
    for link in sorted(snapshot.iterdir()):
        target = str(link.readlink())
        link.unlink()
        link.write_text(target.replace("/", separator), encoding="ascii")


@TABLE.error("hub-blob-missing", **_CACHED, source="huggingface/huggingface_hub#1062")
def links_became_texts(bench: Bench) -> None:
    """A copy wrote each link as a text with the path it led to; the blobs are there."""
    _links_to_texts(_cached(bench))


@TABLE.error("hub-blob-missing", **_CACHED, source="huggingface/huggingface_hub#1067")
def links_of_windows_became_texts(bench: Bench) -> None:
    """Likewise with backslashes."""
    _links_to_texts(_cached(bench), "\\")


@TABLE.error("hub-blob-missing", **_CACHED, source="huggingface/transformers#22228")
def links_became_texts_and_blobs_are_gone(bench: Bench) -> None:
    """And one of the blobs was not copied."""
    snapshot = _cached(bench)
    blob = (snapshot / MODEL).resolve()
    _links_to_texts(snapshot)
    blob.unlink()


@TABLE.error(
    "hub-blob-missing",
    shows="no model itself",
    subject=f"models--acme--tiny/snapshots/{'0123456789abcdef' * 2}01234567",
    source="huggingface/huggingface_hub#1388",
)
def links_became_texts_in_a_directory(bench: Bench) -> None:
    """The same, found by a look through the cache: one finding."""
    bench.here.mkdir(parents=True)
    _links_to_texts(write_repository(bench.stock / "llama", bench.here, "acme/tiny"))


@TABLE.error("hub-snapshot-incomplete", **_CACHED, source="huggingface/huggingface_hub#4624")
def main_moved_to_a_commit_without_weights(bench: Bench) -> None:
    """refs/main went on, of the new commit only config.json was fetched; the older snapshot is whole."""
    snapshot = _cached(bench)
    newer = snapshot.with_name("b" * 40)
    newer.mkdir()
    (newer / "config.json").symlink_to((snapshot / "config.json").readlink())
    (snapshot.parents[1] / "refs" / "main").write_text(newer.name, encoding="ascii")


@TABLE.error(
    "hub-not-cached",
    **{**_CACHED, "environment": {"HF_HOME": "old", "HF_HUB_CACHE": "new"}},
    source="RBLN-SW/vllm-rbln#944",
)
def cache_on_the_old_disk(bench: Bench) -> None:
    """Sessions use a new cache; the model is in the one below HF_HOME."""
    write_manifest(bench.here, cached="hf:acme/tiny")
    write_repository(bench.stock / "llama", bench.here / "old" / "hub", "acme/tiny")
    (bench.here / "new").mkdir()


@TABLE.error(
    "hub-snapshot-incomplete", **_CACHED, also=("hub-incomplete-download",), source="huggingface/huggingface_hub#2374"
)
def blob_half_fetched(bench: Bench) -> None:
    """The weights are an `.incomplete` blob that no link names."""
    snapshot = _cached(bench)
    blob = (snapshot / MODEL).resolve()
    (snapshot / MODEL).unlink()
    blob.rename(blob.with_name(f"{blob.name}.incomplete"))


@TABLE.error("weights-missing", shows="OSError", source="https://huggingface.co/docs/transformers/main_classes/trainer")
def pickle_under_another_name(bench: Bench) -> None:
    """A state dict as model.pt."""
    folder = bench.copy()
    (folder / "model.pt").write_bytes(state_dict(tensors.unpack(folder / MODEL)))
    (folder / MODEL).unlink()


@TABLE.error("weights-missing", shows="ValueError", source="FreedomIntelligence/GrammarGPT#3")
def tokenizer_beside_a_checkpoint(bench: Bench) -> None:
    """The run saved its tokenizer; its weights are in a checkpoint below."""
    tokenizer_only(bench, bench.here)
    bench.copy(to=bench.here / "checkpoint-2")
