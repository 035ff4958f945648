"""What trainers, converters and downloads leave in place of a model, as their owners asked about it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.corpus.builders import tensors
from tests.corpus.builders.cache import write_repository
from tests.corpus.builders.case import Bench, Table, read_json, write_json, write_manifest
from tests.corpus.builders.field.layouts import tokenizer_only, touch
from tests.corpus.builders.pickles import state_dict
from tests.corpus.builders.tensors import INDEX, MODEL

TABLE = Table("field-checkpoints", in_tree=False)
_LOST = "OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory"
_UNKNOWN = "ValueError: Unrecognized model"
_SHAPES = "RuntimeError: You set `ignore_mismatched_sizes` to `False`"
_SHAPES_4 = "RuntimeError: Error(s) in loading state_dict"
_Stored = tuple[str, list[int], bytes]


def _bare(bench: Bench, name: str = "llama") -> Path:
    folder = bench.copy(name)
    (folder / MODEL).unlink()
    return folder


def _cut(stored: _Stored, axis: int) -> _Stored:
    """Return the first half of a matrix of float32, along an axis."""
    dtype, (rows, columns), raw = stored
    if axis == 0:
        return dtype, [rows // 2, columns], raw[: len(raw) // 2]
    lines = (raw[i * columns * 4 : i * columns * 4 + columns * 2] for i in range(rows))
    return dtype, [rows, columns // 2], b"".join(lines)


# The weights under names of a trainer


@TABLE.error("config-missing", source="Qualcomm-AI-research/outlier-free-transformers#3", shows=_UNKNOWN)
def state_of_accelerate(bench: Bench) -> None:
    """accelerator.save_state: weights, and no config.json."""
    touch(bench.here, "optimizer.bin", "scheduler.bin", "random_states_0.pkl")
    shutil.copy(bench.stock / "llama" / MODEL, bench.here / MODEL)


@TABLE.error("weights-missing", subject="model", source="NVIDIA-NeMo/Automodel#1512", shows=_UNKNOWN)
def automodel(bench: Bench) -> None:
    """NeMo Automodel: model/ has a shard of its own naming and a hidden config, optim/ the rest."""
    touch(bench.here / "optim", "__0_0.distcp", ".metadata")
    kept = bench.here / "model" / ".hf_metadata"
    kept.mkdir(parents=True)
    shutil.copy(bench.stock / "llama" / "config.json", kept / "config.json")
    shutil.copy(bench.stock / "llama" / MODEL, kept.parent / "shard-00001-model-00001-of-00001.safetensors")


@TABLE.error("weights-missing", subject="huggingface", source="verl-project/verl#770", shows=_UNKNOWN)
def actor_of_verl(bench: Bench) -> None:
    """The folder called huggingface holds everything but weights: those are a .pt of each rank."""
    touch(bench.here, *(f"{n}_world_size_2_rank_{r}.pt" for n in ("model", "optim", "extra_state") for r in (0, 1)))
    tokenizer_only(bench, bench.here / "huggingface")
    shutil.copy(bench.stock / "llama" / "config.json", bench.here / "huggingface" / "config.json")


@TABLE.error("weights-keys-missing", source="verl-project/verl#4761", shows="loads, but with random numbers")
def folder_of_verl_with_adapters_inside(bench: Bench) -> None:
    """Where it does hold weights, they are those of a model that PEFT wraps."""

    def wrapped(name: str) -> str:
        return "base_model.model." + name.replace("_proj.weight", "_proj.base_layer.weight")

    folder = bench.copy("llama-sharded")
    for shard in folder.glob("model-*.safetensors"):
        tensors.rename(shard, wrapped)
    index = read_json(folder / INDEX)
    write_json(folder / INDEX, {**index, "weight_map": {wrapped(k): v for k, v in index["weight_map"].items()}})


@TABLE.error("weights-missing", source="Lightning-AI/litgpt#879", shows=_LOST)
def litgpt(bench: Bench) -> None:
    """lit_model.pth."""
    touch(_bare(bench), "lit_model.pth", "model_config.yaml")


@TABLE.error("weights-missing", source="JustVugg/colibri#586", shows=_LOST)
def shards_of_another_engine(bench: Bench) -> None:
    """out-00000.safetensors and _meta."""
    folder = bench.copy()
    (folder / MODEL).rename(folder / "out-00000.safetensors")
    touch(folder, "_meta")


@TABLE.error("weights-missing", source="NVIDIA-NeMo/Megatron-Bridge#911", shows=_UNKNOWN)
def megatron(bench: Bench) -> None:
    """iter_0000000 and the tokenizer beside it."""
    touch(bench.here / "iter_0000000", "__0_0.distcp", "common.pt", "run_config.yaml")
    touch(bench.here, "latest_checkpointed_iteration.txt", raw=b"0")
    tokenizer_only(bench, bench.here)


@TABLE.error("weights-unreadable", source="JIA-Lab-research/LISA#155", shows=_LOST)
def directory_with_the_name_of_a_file(bench: Bench) -> None:
    """zero_to_fp32.py of DeepSpeed 0.15.3 takes its last word for a directory."""
    folder = _bare(bench) / "pytorch_model.bin"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(state_dict(tensors.unpack(bench.stock / "llama" / MODEL)))


@TABLE.error(
    "weights-keys-missing", source="Lightning-AI/pytorch-lightning#17192", shows="loads, but with random numbers"
)
def flat_parameters(bench: Bench) -> None:
    """FSDP's own flat parameter, saved as it is."""
    path = bench.copy() / MODEL
    count = sum(len(raw) // 4 for _, _, raw in tensors.unpack(path).values())
    tensors.pack(path, {"_fsdp_wrapped_module.flat_param": ("F32", [count], bytes([1]) * 4 * count)})


# Shapes


@TABLE.error("weights-shape-mismatch", source="NVIDIA-NeMo/Megatron-Bridge#5375", shows=_SHAPES, shows_4=_SHAPES_4)
def rows_of_padding(bench: Bench) -> None:
    """Megatron pads the vocabulary to its processes, and the export kept the rows."""
    path = bench.copy() / MODEL
    ends = ("model.embed_tokens.weight", "lm_head.weight")
    tensors.pack(
        path,
        {
            k: (d, [128, s[1]], raw + bytes(32 * s[1] * 4)) if k in ends else (d, s, raw)
            for k, (d, s, raw) in tensors.unpack(path).items()
        },
    )


@TABLE.error(
    "load-keys-mismatched",
    level="load",
    source="huggingface/transformers#16639",
    shows=_SHAPES,
    shows_4=_SHAPES_4,
)
def bias_of_another_vocabulary(bench: Bench) -> None:
    """The embedding was cut to the vocabulary, the bias of the head was not."""
    path, name = bench.copy("bert") / MODEL, "cls.predictions.bias"
    stored = tensors.unpack(path)
    tensors.pack(path, {**stored, name: ("F32", [100], stored[name][2] + bytes(16))})


@TABLE.error("load-keys-mismatched", level="load", source="VainF/Torch-Pruning#495", shows=_SHAPES, shows_4=_SHAPES_4)
def heads_pruned(bench: Bench) -> None:
    """Half of the heads went, and config.json was not told."""
    path = bench.copy() / MODEL
    axes = {"q_proj.weight": 0, "o_proj.weight": 1}
    stored = tensors.unpack(path)
    halved = {k: _cut(v, a) for k, v in stored.items() for end, a in axes.items() if k.endswith(end)}
    tensors.pack(path, {**stored, **halved})


@TABLE.error(
    "load-keys-mismatched", level="load", source="huggingface/transformers#40840", shows=_SHAPES, shows_4=_SHAPES_4
)
def one_layer_pruned(bench: Bench) -> None:
    """Each layer has a width of its own after structured pruning."""
    path = bench.copy("qwen3") / MODEL
    axes = {"layers.1.mlp.gate_proj.weight": 0, "layers.1.mlp.up_proj.weight": 0, "layers.1.mlp.down_proj.weight": 1}
    stored = tensors.unpack(path)
    halved = {k: _cut(v, a) for k, v in stored.items() for end, a in axes.items() if k.endswith(end)}
    tensors.pack(path, {**stored, **halved})


# Downloads and links


@TABLE.error("shard-index-invalid", source="youssofal/MTPLX#234", shows="JSONDecodeError: Extra data")
def index_resumed_past_its_end(bench: Bench) -> None:
    """A whole index, and behind it the end of a newer one."""
    path = bench.copy("llama-sharded") / INDEX
    raw = path.read_bytes()
    path.write_bytes(raw + raw[-300:])


@TABLE.error("weights-missing", source="modelscope/modelscope#1271", shows=_LOST)
def download_of_modelscope_stopped(bench: Bench) -> None:
    """The small files came; the weights are a part in ._____temp."""
    folder = _bare(bench)
    touch(folder, ".msc", ".mdl", raw=b"x")
    touch(folder / "._____temp", MODEL, raw=bytes(5000))
    write_json(folder / "configuration.json", {"framework": "pytorch"})


@TABLE.error("shard-missing", source="huggingface/huggingface_hub#2284", shows="FileNotFoundError: No such file")
def shard_linked_to_another_machine(bench: Bench) -> None:
    """One shard is a link to a disk that is not here."""
    shard = bench.copy("llama-sharded") / "model-00003-of-00009.safetensors"
    shard.unlink()
    shard.symlink_to("/mnt/nas7/models/llama/model-00003-of-00009.safetensors")


@TABLE.error(
    "shard-missing",
    "hub-snapshot-incomplete",
    subject="cached",
    manifest=True,
    environment={"HF_HUB_CACHE": "hub"},
    also=("hub-incomplete-download",),
    source="tenstorrent/tt-inference-server#4986",
    shows="OSError: … does not appear to have files named",
)
def one_shard_timed_out(bench: Bench) -> None:
    """The second of two shards came, the first is an .incomplete blob: the next deploy took the snapshot for whole."""
    write_manifest(bench.here, cached="hf:acme/tiny")
    snapshot = write_repository(bench.stock / "llama-sharded", bench.here / "hub", "acme/tiny")
    link = snapshot / "model-00001-of-00009.safetensors"
    blob = link.resolve()
    link.unlink()
    blob.rename(blob.with_name(f"{blob.name}.incomplete"))


@TABLE.error(
    "module-missing", source="huggingface/sentence-transformers#2459", shows="loads with transformers; ST cannot"
)
def modules_that_point_beside(bench: Bench) -> None:
    """modules.json names 0_Transformer, and the model was moved to the top."""
    folder = bench.copy("bert")
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32})
    kinds = {"0_Transformer": "Transformer", "1_Pooling": "Pooling"}
    write_json(
        folder / "modules.json",
        [{"idx": i, "name": str(i), "path": p, "type": f"sentence_transformers.models.{k}"}
         for i, (p, k) in enumerate(kinds.items())],
    )  # fmt: skip
