"""What only a deeper level sees: values, hashes, and what happens when the model is loaded and speaks."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from pathlib import Path

from . import tensors
from .case import Bench, Table, edit_json
from .tensors import ADAPTER, MODEL, POINTER

INTEGRITY = Table("integrity", level="integrity", in_tree=False)
TABLE = Table("running", level="generate", in_tree=False)
_NAN = struct.pack("<f", float("nan"))
_HEAD = "lm_head.weight"


@INTEGRITY.error("weights-nonfinite", shows="loads silently; greedy generation emits token 0")
def one_nan(bench: Bench) -> None:
    """One element of 24,736."""
    tensors.fill(bench.copy() / MODEL, "model.layers.1.mlp.up_proj.weight", _NAN, first=1)


@INTEGRITY.error("weights-nonfinite", shows="loads silently")
def infinite_in_bfloat16(bench: Bench) -> None:
    """An overflow of a merge, in 16 bits, in one shard of nine."""
    folder = bench.copy("llama-sharded")
    for shard in sorted(folder.glob("model-*.safetensors")):
        if "model.norm.weight" in tensors.unpack(shard):
            tensors.fill(shard, "model.norm.weight", b"\x80\xff", first=3)


@INTEGRITY.error("weights-nonfinite", shows="loads silently")
def nan_in_an_adapter(bench: Bench) -> None:
    """A training run that diverged."""
    path = bench.copy("lora") / ADAPTER
    tensors.fill(path, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", _NAN)


@INTEGRITY.error("weights-all-zero", shows="loads silently")
def zero_filled_tail(bench: Bench) -> None:
    """Preallocated, and the download stopped half way: the header is whole, the rest is zero."""
    path = bench.copy() / MODEL
    header, data = tensors.parts(path)
    tensors.write(path, header, data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


@INTEGRITY.error("weights-hash-mismatch", shows="loads silently")
def download_altered(bench: Bench) -> None:
    """`hf download --local-dir` noted the hash, and the file has another."""
    path = _downloaded(bench)
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(bytes(raw))


@INTEGRITY.healthy(shows="loads")
def download_intact(bench: Bench) -> None:
    """`hf download --local-dir` noted the hash, and the file has it."""
    _downloaded(bench)


@INTEGRITY.error("weights-hash-mismatch", shows="loads silently")
def work_tree_altered(bench: Bench) -> None:
    """A Git LFS work tree: the pointer in Git's index names another hash than the file has."""
    _work_tree(bench, POINTER)


@INTEGRITY.healthy(shows="loads")
def work_tree_intact(bench: Bench) -> None:
    """A Git LFS work tree after `git lfs pull`."""
    raw = (bench.stock / "llama" / MODEL).read_bytes()
    lines = POINTER.splitlines()
    _work_tree(bench, f"{lines[0]}\noid sha256:{hashlib.sha256(raw).hexdigest()}\nsize {len(raw)}\n")


@TABLE.healthy(shows="counts: w4 w5 w6 …")
def speaks(bench: Bench) -> None:
    """A model that says something else at every step."""
    bench.copy()


@TABLE.healthy(shows="counts")
def adapter_speaks(bench: Bench) -> None:
    """An adapter on its base, with an effect."""
    bench.copy("lora")


@TABLE.error("weights-nonfinite", shows="generates: token 0 for ever")
def nan_is_not_tried(bench: Bench) -> None:
    """NaN weights generate something: the finding is the cause, not what generation makes of it."""
    tensors.fill(bench.copy() / MODEL, "model.norm.weight", _NAN)


@TABLE.error(
    "weights-keys-missing",
    also=("weights-keys-unexpected",),
    level="load",
    shows="a warning in the log: the head is random",
)
def renamed(bench: Bench) -> None:
    """A script gave one tensor another name."""
    names = {_HEAD: "head.weight"}
    tensors.rename(bench.copy() / MODEL, lambda name: names.get(name, name))


@TABLE.warning("weights-keys-unexpected", level="load", shows="a warning in the log")
def more_than_the_model_has(bench: Bench) -> None:
    """A value head that a trainer saved along."""
    path = bench.copy() / MODEL
    tensors.pack(path, {**tensors.unpack(path), "v_head.summary.weight": ("F32", [1, 32], b"\0\0\x80\x3f" * 32)})


@TABLE.error(
    "load-keys-mismatched",
    "weights-shape-mismatch",
    "load-failed",
    level="load",
    shows="RuntimeError: You set `ignore_mismatched_sizes` to `False`",
)
def inner_width_of_another_model(bench: Bench) -> None:
    """A size that only the architecture explains."""
    edit_json(bench.copy() / "config.json", intermediate_size=96)


@TABLE.error("load-failed", "package-missing", level="load", shows="ImportError: flash_attn")
def needs_what_is_not_installed(bench: Bench) -> None:
    """The configuration asks for an attention that this environment does not have."""
    edit_json(bench.copy() / "config.json", attn_implementation="flash_attention_2")


@TABLE.error("adapter-no-effect", "weights-all-zero", shows="the base's logits to the bit")
def adapter_never_trained(bench: Bench) -> None:
    """Every lora_B is zero, as before the first step."""
    path = bench.copy("lora") / ADAPTER
    for name in tensors.unpack(path):
        if ".lora_B." in name:
            tensors.fill(path, name, bytes(4))


@TABLE.error("generate-degenerate", shows="w50 w50 w50 …")
def one_word_for_ever(bench: Bench) -> None:
    """Every state looks the same to the head, and one of its rows is larger than the others."""
    path = bench.copy() / MODEL
    tensors.fill(path, "model.embed_tokens.weight", struct.pack("<f", 0.5))
    rows = (struct.pack("<f", 0.9 if row == 50 else 0.001 * (row + 1)) * 32 for row in range(96))
    stored = tensors.unpack(path)
    tensors.pack(path, {**stored, _HEAD: ("F32", [96, 32], b"".join(rows))})


@TABLE.error("generate-nonfinite", shows="token 0 for ever")
def overflows(bench: Bench) -> None:
    """Finite weights whose products are beyond the reach of 16 bits."""
    folder = bench.copy()
    large, one = struct.pack("<e", 60000.0), struct.pack("<e", 0.01)
    halves = {
        name: ("F16", shape, (large if name == _HEAD else one) * (len(raw) // 4))
        for name, (_, shape, raw) in tensors.unpack(folder / MODEL).items()
    }
    ones = struct.pack("<e", 1.0) * 32
    halves["model.norm.weight"] = ("F16", [32], ones)
    tensors.pack(folder / MODEL, halves)
    edit_json(folder / "config.json", dtype="float16")


def _downloaded(bench: Bench) -> Path:
    folder = bench.copy()
    notes = folder / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    for file in sorted(folder.iterdir()):
        if file.is_file():
            raw = file.read_bytes()
            git = hashlib.sha1(b"blob %d\0" % len(raw) + raw)
            etag = (hashlib.sha256(raw) if file.suffix == ".safetensors" else git).hexdigest()
            note = f"{'0123456789abcdef' * 2}01234567\n{etag}\n4102444800.0\n"
            (notes / f"{file.name}.metadata").write_text(note, encoding="utf-8")
    return folder / MODEL


def _work_tree(bench: Bench, pointer: str) -> None:
    folder = bench.copy()
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n", encoding="utf-8")
    git = shutil.which("git") or "git"

    def run(*words: str, given: str = "") -> str:
        done = subprocess.run([git, "-C", str(folder), *words], input=given, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    run("init", "--quiet")
    blob = run("hash-object", "-w", "--stdin", given=pointer)
    run("update-index", "--add", "--cacheinfo", f"100644,{blob},{MODEL}")
