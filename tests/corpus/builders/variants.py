"""Healthy directories with what the world puts into them: a doctor that cries wolf over one of these is ignored."""

from __future__ import annotations

import json
import shutil

from . import tensors
from .case import Bench, Table, edit_json, read_json, write_json
from .pickles import baited
from .tensors import INDEX, MODEL

TABLE = Table("variants", shows="loads")


@TABLE.healthy()
def with_what_a_trainer_leaves(bench: Bench) -> None:
    """Pickles of an optimizer, logs, and two checkpoints below, of which one is a whole model."""
    folder = bench.copy()
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt"):
        (folder / name).write_bytes(baited(bench.bait))
    write_json(folder / "trainer_state.json", {"global_step": 10})
    shutil.copytree(bench.stock / "llama", folder / "checkpoint-10")
    (folder / "checkpoint-10" / "optimizer.pt").write_bytes(baited(bench.bait))
    (folder / "runs" / "Jan17").mkdir(parents=True)
    (folder / "runs" / "Jan17" / "events.out.tfevents.1").write_bytes(b"\x18\0\0\0")


@TABLE.healthy()
def as_cloned_from_the_hub(bench: Bench) -> None:
    """README, licence, .gitattributes, .git, pictures."""
    folder = bench.copy()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# tiny\n", encoding="utf-8")
    (folder / "LICENSE").write_text("MIT\n", encoding="utf-8")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n", encoding="utf-8")
    (folder / ".git" / "lfs" / "objects").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (folder / "banner.png").write_bytes(b"\x89PNG\r\n")


@TABLE.healthy()
def with_the_old_format_beside(bench: Bench) -> None:
    """pytorch_model.bin beside model.safetensors, as most older repositories have: it is never looked at."""
    (bench.copy() / "pytorch_model.bin").write_bytes(baited(bench.bait))


@TABLE.healthy()
def with_other_formats_beside(bench: Bench) -> None:
    """TensorFlow, Flax, GGUF, ONNX and Meta's own: one repository for everybody."""
    folder = bench.copy()
    for name in ("tf_model.h5", "flax_model.msgpack", "rust_model.ot", "llama.Q4_K_M.gguf"):
        (folder / name).write_bytes(b"GGUF" + bytes(100))
    for place, name in (("onnx", "model.onnx"), ("original", "consolidated.00.pth")):
        (folder / place).mkdir()
        (folder / place / name).write_bytes(baited(bench.bait))
    write_json(folder / "original" / "params.json", {"dim": 32, "n_layers": 2})


@TABLE.healthy()
def with_a_variant_beside(bench: Bench) -> None:
    """`model.fp16.safetensors`, loaded by those who ask for it."""
    folder = bench.copy()
    shutil.copy(folder / MODEL, folder / "model.fp16.safetensors")


@TABLE.healthy()
def sharded_with_a_variant_beside(bench: Bench) -> None:
    """Shards and index of both kinds."""
    folder = bench.copy("llama-sharded")
    index = read_json(folder / INDEX)
    for shard in sorted(folder.glob("model-*.safetensors")):
        shutil.copy(shard, shard.with_name(shard.name.replace("model-", "model.fp16-")))
    index["weight_map"] = {k: v.replace("model-", "model.fp16-") for k, v in index["weight_map"].items()}
    write_json(folder / "model.safetensors.index.fp16.json", index)


@TABLE.healthy()
def with_consolidated_beside(bench: Bench) -> None:
    """Mistral's own file beside the converted one: other names for the same tensors."""
    folder = bench.copy("mistral")
    shutil.copy(folder / MODEL, folder / "consolidated.safetensors")
    tensors.rename(folder / "consolidated.safetensors", lambda name: name.removeprefix("model."))


@TABLE.healthy()
def only_one_shard(bench: Bench) -> None:
    """`model-00001-of-00001.safetensors` with an index."""
    folder = bench.copy()
    (folder / MODEL).rename(folder / "model-00001-of-00001.safetensors")
    names = tensors.unpack(folder / "model-00001-of-00001.safetensors")
    weight_map = dict.fromkeys(names, "model-00001-of-00001.safetensors")
    write_json(folder / INDEX, {"metadata": {"total_size": 98944}, "weight_map": weight_map})


@TABLE.healthy()
def index_with_bare_metadata(bench: Bench) -> None:
    """`metadata` is there and empty: nothing reads what could be in it."""
    edit_json(bench.copy("llama-sharded") / INDEX, metadata={})


@TABLE.healthy()
def index_with_wrong_total(bench: Bench) -> None:
    """`total_size` counts for nobody; tools that cut shards forget to change it."""
    edit_json(bench.copy("llama-sharded") / INDEX, metadata={"total_size": 1, "total_parameters": 7})


@TABLE.healthy()
def shards_in_a_folder(bench: Bench) -> None:
    """The index names shards in a folder below it."""
    folder = bench.copy("llama-sharded")
    (folder / "shards").mkdir()
    index = read_json(folder / INDEX)
    for shard in sorted(folder.glob("model-*.safetensors")):
        shard.rename(folder / "shards" / shard.name)
    index["weight_map"] = {name: f"shards/{file}" for name, file in index["weight_map"].items()}
    write_json(folder / INDEX, index)


@TABLE.healthy()
def weights_under_a_name_of_their_own(bench: Bench) -> None:
    """`transformers_weights` names the file."""
    folder = bench.copy()
    (folder / MODEL).rename(folder / "counting.safetensors")
    edit_json(folder / "config.json", transformers_weights="counting.safetensors")


@TABLE.healthy(shows="loads, but with an unexpected key")
def header_as_the_format_allows(bench: Bench) -> None:
    """No `__metadata__`, padding, tensors in another order than their bytes, and an entry without elements."""
    path = bench.copy() / MODEL
    header, data = tensors.parts(path)
    header.pop("__metadata__")
    header["model.layers.0.self_attn.empty"] = {"dtype": "F32", "shape": [0, 4], "data_offsets": [len(data)] * 2}
    text = json.dumps(dict(reversed(list(header.items())))) + " " * 1003
    tensors.write(path, text, data)


@TABLE.healthy()
def quantised_to_8_bits(bench: Bench) -> None:
    """FP8 with a scale for every block: the matrices have neighbours that no config size explains."""
    folder = bench.copy()
    stored = tensors.unpack(folder / MODEL)
    quantised: dict[str, tuple[str, list[int], bytes]] = {}
    for name, (dtype, shape, raw) in stored.items():
        if "proj" in name:
            quantised[name] = ("F8_E4M3", shape, bytes([0x38]) * (len(raw) // 4))
            quantised[f"{name}_scale_inv"] = ("F32", [1, 1], b"\0\0\x80\x3f")
        else:
            quantised[name] = (dtype, shape, raw)
    tensors.pack(folder / MODEL, quantised)
    edit_json(
        folder / "config.json",
        quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"},
    )


@TABLE.healthy(shows="loads, but with unexpected keys, as DeepSeek-V3 itself")
def with_a_layer_for_drafting(bench: Bench) -> None:
    """DeepSeek-V3 and its kin ship one layer more than `num_hidden_layers`, for multi-token prediction."""
    folder = bench.copy("deepseek_v3")
    stored = tensors.unpack(folder / MODEL)
    extra = {k.replace("layers.1.", "layers.2."): v for k, v in stored.items() if ".layers.1." in k}
    extra["model.layers.2.eh_proj.weight"] = ("F32", [32, 64], bytes([0, 0, 128, 63]) * 2048)
    tensors.pack(folder / MODEL, {**stored, **extra})
    edit_json(folder / "config.json", num_nextn_predict_layers=1)


@TABLE.healthy()
def tied_and_stored_twice(bench: Bench) -> None:
    """A tied head that was written out all the same."""
    path = bench.copy("qwen2-tied-padded") / MODEL
    stored = tensors.unpack(path)
    tensors.pack(path, {**stored, "lm_head.weight": stored["model.embed_tokens.weight"]})


@TABLE.healthy()
def config_of_an_older_transformers(bench: Bench) -> None:
    """`torch_dtype` and `rope_theta` as version 4 wrote them, no `head_dim`, and the hub's own keys."""
    folder = bench.copy()
    edit_json(
        folder / "config.json",
        drop=("dtype", "rope_parameters", "head_dim"),
        torch_dtype="float32",
        rope_theta=10000.0,
        rope_scaling=None,
        _name_or_path="/home/sprout/models/llama",
        transformers_version="4.40.0",
    )
    (folder / "generation_config.json").unlink()
