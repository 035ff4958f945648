"""What a power cut, a full disk, a stopped download or a copy that lost its links leave; and what only looks so."""

from __future__ import annotations

import os
import shutil

from tests.corpus.builders import tensors
from tests.corpus.builders.cache import write_repository
from tests.corpus.builders.case import Bench, Table, edit_json, read_json, write_json, write_manifest
from tests.corpus.builders.field.layouts import touch
from tests.corpus.builders.field.quantised import _gptq, _packed
from tests.corpus.builders.tensors import INDEX, MODEL

TABLE = Table("field-outages", in_tree=False)
_BROKEN = "SafetensorError: Error while deserializing header"
_CACHED = {"subject": "cached", "manifest": True, "environment": {"HF_HUB_CACHE": "hub"}}
_POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 123\n"


@TABLE.error("weights-truncated", source="huggingface/huggingface_hub#2197", shows="loads, and a half is zeros")
def shard_that_aria2_has_not_finished(bench: Bench) -> None:
    """hfd.sh: the file has its size, and the .aria2 beside it says how much arrived."""
    shard = bench.copy("llama-sharded") / "model-00003-of-00009.safetensors"
    raw = shard.read_bytes()
    shard.write_bytes(raw[: len(raw) // 2] + bytes(len(raw) - len(raw) // 2))
    touch(shard.parent, f"{shard.name}.aria2", raw=b"\0\1")


@TABLE.error("weights-truncated", source="Comfy-Org/ComfyUI#6744", shows=_BROKEN)
def one_shard_cut(bench: Bench) -> None:
    """A hundred bytes lack at the end of one of nine."""
    shard = bench.copy("llama-sharded") / "model-00005-of-00009.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])


@TABLE.error("weights-truncated", source="huggingface/huggingface_hub#1531", shows=_BROKEN)
def a_fifth_of_the_file(bench: Bench) -> None:
    """76,954,576 of 440,449,768 bytes."""
    path = bench.copy("bert") / MODEL
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 5])


@TABLE.error("weights-empty", source="debpalash/VoiceStudio#1056", **_CACHED)
def blob_of_no_bytes(bench: Bench) -> None:
    """The link of the snapshot leads to a blob that a full disk left empty."""
    write_manifest(bench.here, cached="hf:acme/tiny")
    snapshot = write_repository(bench.stock / "llama", bench.here / "hub", "acme/tiny")
    (snapshot / MODEL).resolve().write_bytes(b"")


@TABLE.error("path-dangling-symlink", source="keiretsu-labs/kubernetes-manifests#2517", shows="ValueError")
def snapshot_copied_with_its_links(bench: Bench) -> None:
    """cp -a of a snapshot: every file is a link to a blob that stayed."""
    snapshot = write_repository(bench.stock / "llama", bench.beside / "hub", "acme/tiny")
    bench.here.mkdir(parents=True)
    for link in snapshot.iterdir():
        (bench.here / link.name).symlink_to(os.readlink(link))
    shutil.rmtree(bench.beside / "hub")


@TABLE.error("path-dangling-symlink", source="huggingface/huggingface_hub#4550", shows="OSError: Error no file named")
def link_to_a_blob_that_was_removed(bench: Bench) -> None:
    """Only the weights' link leads nowhere."""
    path = bench.copy() / MODEL
    path.unlink()
    path.symlink_to(f"../../blobs/{'a' * 64}")


@TABLE.error("weights-lfs-pointer", source="git-lfs/git-lfs#2406", shows=_BROKEN)
def one_pointer_among_shards(bench: Bench) -> None:
    """The pull was stopped between two files."""
    (bench.copy("llama-sharded") / "model-00002-of-00009.safetensors").write_text(_POINTER, encoding="ascii")


@TABLE.error("shard-index-invalid", source="git-lfs/git-lfs#2406", shows="JSONDecodeError")
def pointer_for_an_index(bench: Bench) -> None:
    """`*.json filter=lfs`."""
    (bench.copy("llama-sharded") / INDEX).write_text(_POINTER, encoding="ascii")


@TABLE.error("shard-index-mismatch", source="huggingface/diffusers#8898", shows="loads, but with random numbers")
def shard_of_an_earlier_save(bench: Bench) -> None:
    """A file of the same name that another save wrote."""
    folder = bench.copy("llama-sharded")
    shutil.copy(folder / "model-00006-of-00009.safetensors", folder / "model-00004-of-00009.safetensors")


@TABLE.error("shard-missing", source="meta-llama/llama#1073", shows="FileNotFoundError")
def index_of_the_original_beside_gptq(bench: Bench) -> None:
    """The quantised file has a name of its own, and pytorch_model.bin.index.json is the original's."""
    folder = _packed(bench, _gptq)
    (folder / MODEL).rename(folder / "vicuna-13b-4bit-128g.safetensors")
    shards = {
        "lm_head.weight": "pytorch_model-00001-of-00002.bin",
        "model.norm.weight": "pytorch_model-00002-of-00002.bin",
    }
    write_json(folder / "pytorch_model.bin.index.json", {"metadata": {"total_size": 1}, "weight_map": shards})


@TABLE.error("weights-header-invalid", source="EricTan7/VeritasPP#2", shows=_BROKEN)
def headers_of_zeros(bench: Bench) -> None:
    """The first bytes of three shards are zeros."""
    folder = bench.copy("llama-sharded")
    for number in (1, 2, 3):
        shard = folder / f"model-0000{number}-of-00009.safetensors"
        shard.write_bytes(bytes(256) + shard.read_bytes()[256:])


def _zeros(bench: Bench, name: str, stock: str = "llama") -> None:
    path = bench.copy(stock) / name
    path.write_bytes(bytes(path.stat().st_size))


@TABLE.error("config-invalid", source="hiyouga/LlamaFactory#5155", shows="OSError: It looks like the config file")
def config_of_zeros(bench: Bench) -> None:
    """After a power cut the file has its size and no content."""
    _zeros(bench, "config.json")


@TABLE.error("weights-not-safetensors", source="hiyouga/LlamaFactory#5155", shows=_BROKEN)
def weights_of_zeros(bench: Bench) -> None:
    """The same of the weights."""
    _zeros(bench, MODEL)


@TABLE.error("shard-index-invalid", source="hiyouga/LlamaFactory#5155", shows="JSONDecodeError")
def index_of_zeros(bench: Bench) -> None:
    """The same of the index."""
    _zeros(bench, INDEX, "llama-sharded")


@TABLE.error("tokenizer-invalid", source="hiyouga/LlamaFactory#5155", shows="JSONDecodeError", shows_4="Exception")
def tokenizer_of_zeros(bench: Bench) -> None:
    """The same of the tokenizer."""
    _zeros(bench, "tokenizer.json")


# What only looks so


@TABLE.healthy(source="huggingface/huggingface_hub#3609", shows="loads")
def record_of_a_download_damaged(bench: Bench) -> None:
    """No load reads what `hf download --local-dir` keeps below .cache."""
    records = bench.copy() / ".cache" / "huggingface" / "download"
    touch(records, "config.json.metadata", "model.safetensors.metadata", raw=b"garbage")


@TABLE.healthy(source="https://huggingface.co/docs/huggingface_hub/guides/download", shows="loads")
def staging_of_xet(bench: Bench) -> None:
    """Xet's staging and the page's files beside the shards."""
    folder = bench.copy("llama-sharded")
    touch(folder / ".cache" / "huggingface" / "xet", "staging")
    touch(folder, "README.md", ".gitattributes", "LICENSE", raw=b"x")


@TABLE.healthy(source="https://huggingface.co/docs/transformers/big_models", shows="loads")
def shards_in_a_folder(bench: Bench) -> None:
    """weight_map may name files in a directory below."""
    folder = bench.copy("llama-sharded")
    index = read_json(folder / INDEX)
    (folder / "weights").mkdir()
    for shard in sorted(folder.glob("model-*.safetensors")):
        shard.rename(folder / "weights" / shard.name)
    edit_json(folder / INDEX, weight_map={k: f"weights/{v}" for k, v in index["weight_map"].items()})


@TABLE.healthy(source="Layr-Labs/d-inference#260", **_CACHED)
def hub_that_is_a_link(bench: Bench) -> None:
    """The cache lies on another disk."""
    write_manifest(bench.here, cached="hf:acme/tiny")
    write_repository(bench.stock / "llama", bench.beside / "disk", "acme/tiny")
    (bench.here / "hub").symlink_to(bench.beside / "disk")


@TABLE.healthy(source="huggingface/huggingface_hub#1396", shows="loads")
def snapshot_by_a_link(bench: Bench) -> None:
    """A link of one's own to the snapshot."""
    bench.here.symlink_to(write_repository(bench.stock / "llama", bench.beside / "hub", "acme/tiny"))


@TABLE.healthy(source="sgl-project/sglang#19850", shows="loads")
def names_of_the_library_itself(bench: Bench) -> None:
    """A state dict of LLaVA as it is since 4.52: model.language_model, where files have language_model.model."""
    new = {"language_model.model.": "model.language_model.", "language_model.lm_head": "lm_head"}
    new |= {f"{part}.": f"model.{part}." for part in ("vision_tower", "multi_modal_projector")}

    def renamed(name: str) -> str:
        return next((name.replace(old, to, 1) for old, to in new.items() if name.startswith(old)), name)

    tensors.rename(bench.copy("llava") / MODEL, renamed)
