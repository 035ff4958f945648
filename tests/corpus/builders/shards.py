"""Weights in several files: lost ones, an index that is lost or lies, and ways out of the directory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import tensors
from .case import Bench, Table, edit_json, read_json, write_json
from .tensors import INDEX, MODEL, POINTER

TABLE = Table("shards")
_SHARDED = "llama-sharded"
_SECOND = "model-00002-of-00009.safetensors"
_FIFTH = "model-00005-of-00009.safetensors"


def _index(bench: Bench) -> Path:
    return bench.copy(_SHARDED) / INDEX


@TABLE.error("shard-missing", shows="FileNotFoundError: No such file or directory: …/model-00002-of-00009.safetensors")
def one_missing(bench: Bench) -> None:
    """A shard was not copied."""
    _index(bench).with_name(_SECOND).unlink()


@TABLE.error("shard-missing", shows="FileNotFoundError: names the first one only")
def two_missing(bench: Bench) -> None:
    """Two shards were not copied: both must be listed."""
    index = _index(bench)
    index.with_name(_SECOND).unlink()
    index.with_name(_FIFTH).unlink()


@TABLE.error("shard-index-missing", shows="OSError: Error no file named model.safetensors, or pytorch_model.bin, found")
def index_missing(bench: Bench) -> None:
    """Nine shards, and nothing says which tensor lies where."""
    _index(bench).unlink()


@TABLE.error("shard-index-invalid", shows="JSONDecodeError")
def index_cut(bench: Bench) -> None:
    """Half an index."""
    index = _index(bench)
    os.truncate(index, index.stat().st_size // 2)


@TABLE.error("shard-index-invalid", shows="JSONDecodeError: Expecting value: line 1 column 1")
def index_pointer(bench: Bench) -> None:
    """Some repositories track *.json in Git LFS, too."""
    _index(bench).write_text(POINTER, encoding="utf-8")


@TABLE.error("shard-index-invalid", shows="KeyError: 'weight_map'")
def index_without_weight_map(bench: Bench) -> None:
    """Only `metadata`."""
    edit_json(_index(bench), drop=("weight_map",))


@TABLE.error("shard-index-invalid", shows="KeyError: 'metadata'")
def index_without_metadata(bench: Bench) -> None:
    """Only `weight_map`, as a script of one's own would write it."""
    edit_json(_index(bench), drop=("metadata",))


@TABLE.error("shard-index-invalid", shows="IndexError: list index out of range")
def index_empty(bench: Bench) -> None:
    """An index of nothing."""
    edit_json(_index(bench), weight_map={})


@TABLE.error("shard-index-invalid", shows="TypeError: list indices must be integers or slices")
def index_is_an_array(bench: Bench) -> None:
    """JSON, but no object."""
    write_json(_index(bench), ["model.norm.weight"])


@TABLE.error("shard-index-mismatch", shows="loads silently: the tensor is random")
def index_names_a_tensor_nobody_holds(bench: Bench) -> None:
    """A tensor has another name in its shard than in the index."""
    index = _index(bench)
    shard = index.with_name(read_json(index)["weight_map"]["model.norm.weight"])
    tensors.rename(shard, lambda name: "model.final_norm.weight" if name == "model.norm.weight" else name)


@TABLE.error("shard-index-mismatch", shows="loads silently")
def index_forgets_a_tensor(bench: Bench) -> None:
    """A shard holds a tensor that the index does not name: others (vLLM, a merge) go by the index."""
    index = _index(bench)
    value = read_json(index)
    del value["weight_map"]["model.norm.weight"]
    write_json(index, value)


@TABLE.error("shard-index-mismatch", shows="loads silently: transformers reads the headers")
def index_sends_to_the_wrong_shard(bench: Bench) -> None:
    """The tensor lies in another shard than the index says."""
    index = _index(bench)
    value = read_json(index)
    right = value["weight_map"]["model.norm.weight"]
    value["weight_map"]["model.norm.weight"] = _SECOND if right != _SECOND else _FIFTH
    write_json(index, value)


@TABLE.error("shard-path-escape", shows="loads silently a file outside the directory")
def index_leads_out(bench: Bench) -> None:
    """`../` in the weight map; the file is there."""
    index = _index(bench)
    outside = os.path.relpath(bench.beside / "elsewhere.safetensors", index.parent)
    shutil.move(index.with_name(_SECOND), bench.beside / "elsewhere.safetensors")
    _redirect(index, outside)


@TABLE.error("shard-path-escape", shows="loads silently a file outside the directory")
def index_absolute(bench: Bench) -> None:
    """An absolute path in the weight map; the file is there."""
    index = _index(bench)
    shutil.move(index.with_name(_SECOND), bench.beside / "elsewhere.safetensors")
    _redirect(index, str(bench.beside / "elsewhere.safetensors"))


@TABLE.error("shard-path-escape", shows="ValueError: `transformers_weights` must reference a file inside")
def transformers_weights_lead_out(bench: Bench) -> None:
    """`transformers_weights` in config.json comes before every other name, and may leave the directory."""
    model = bench.copy() / MODEL
    outside = os.path.relpath(bench.beside / "elsewhere.safetensors", model.parent)
    shutil.move(model, bench.beside / "elsewhere.safetensors")
    edit_json(model.with_name("config.json"), transformers_weights=outside)


@TABLE.error("weights-missing", shows="FileNotFoundError: No such file or directory: …/other.safetensors")
def transformers_weights_missing(bench: Bench) -> None:
    """`transformers_weights` names a file that is not there; the healthy model.safetensors is not looked at."""
    edit_json(bench.copy() / "config.json", transformers_weights="other.safetensors")


@TABLE.error("weights-truncated", shows="SafetensorError: incomplete metadata, file not fully covered")
def shard_cut(bench: Bench) -> None:
    """One shard of nine lacks its end."""
    shard = _index(bench).with_name(_FIFTH)
    os.truncate(shard, shard.stat().st_size - 10)


@TABLE.error("weights-lfs-pointer", shows="SafetensorError: header too large")
def shard_pointer(bench: Bench) -> None:
    """One shard of nine was not pulled."""
    _index(bench).with_name(_SECOND).write_text(POINTER, encoding="utf-8")


@TABLE.error("weights-lfs-pointer", shows="SafetensorError: header too large")
def all_shards_pointers(bench: Bench) -> None:
    """None was pulled: still one cause, one finding."""
    for shard in _index(bench).parent.glob("model-*.safetensors"):
        shard.write_text(POINTER, encoding="utf-8")


@TABLE.warning("weights-ambiguous", shows="loads silently the stale model.safetensors")
def stale_single_file(bench: Bench) -> None:
    """Saved again in shards over an older single file, which comes first."""
    shutil.copy(bench.stock / "llama" / MODEL, bench.copy(_SHARDED) / MODEL)


def _redirect(index: Path, target: str) -> None:
    value = read_json(index)
    value["weight_map"] = {name: target if file == _SECOND else file for name, file in value["weight_map"].items()}
    write_json(index, value)
