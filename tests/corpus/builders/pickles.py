"""Weights as pickles: executable, so the doctor must say what they are without ever loading one."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

from .case import Bench, Table, read_json, write_json
from .tensors import INDEX, MODEL, PAGE, POINTER

TABLE = Table("pickles")


class _Bait:
    """Pickled, this creates a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return (Path.touch, (self.marker,))


def baited(marker: Path) -> bytes:
    """Return a torch archive whose loading would create `marker`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Bait(marker)))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", bytes(4096))
    return file.getvalue()


@TABLE.warning(
    "weights-pickle-only",
    shows="UnpicklingError: Weights only load failed, for this one; torch < 2.6 refuses every one",
)
def only_bin(bench: Bench) -> None:
    """`pytorch_model.bin` and nothing else; unpickled in full, it would leave a file behind."""
    folder = bench.copy()
    (folder / MODEL).unlink()
    (folder / "pytorch_model.bin").write_bytes(baited(bench.bait))


@TABLE.warning("weights-pickle-only", shows="UnpicklingError: Weights only load failed")
def only_old_bin(bench: Bench) -> None:
    """The format before torch 1.6: a bare pickle."""
    folder = bench.copy()
    (folder / MODEL).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Bait(bench.bait)))


@TABLE.warning("weights-pickle-only", shows="UnpicklingError: Weights only load failed")
def only_bin_shards(bench: Bench) -> None:
    """Two pickled shards and their index."""
    _bin_shards(bench)


@TABLE.error("shard-missing", also=("weights-pickle-only",), shows="UnpicklingError: for the shard that is there")
def bin_shard_missing(bench: Bench) -> None:
    """Two pickled shards, one of them not copied."""
    (_bin_shards(bench) / "pytorch_model-00002-of-00002.bin").unlink()


@TABLE.error("weights-lfs-pointer", also=("weights-pickle-only",), shows="UnpicklingError: invalid load key, 'v'")
def bin_pointer(bench: Bench) -> None:
    """`invalid load key, 'v'`: the pointer's `version …`."""
    folder = bench.copy()
    (folder / MODEL).unlink()
    (folder / "pytorch_model.bin").write_text(POINTER, encoding="utf-8")


@TABLE.error("weights-lfs-pointer", shows="SafetensorError: header too large")
def pointer_before_a_good_bin(bench: Bench) -> None:
    """model.safetensors comes first, so the .bin beside it does not help."""
    folder = bench.copy()
    (folder / MODEL).write_text(POINTER, encoding="utf-8")
    (folder / "pytorch_model.bin").write_bytes(baited(bench.bait))


@TABLE.error("weights-empty", also=("weights-pickle-only",), shows="EOFError: Ran out of input")
def bin_empty(bench: Bench) -> None:
    """A .bin of no bytes."""
    folder = bench.copy()
    (folder / MODEL).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")


@TABLE.error("weights-not-safetensors", "weights-header-invalid", shows="SafetensorError: header too large")
def bait_under_safe_name(bench: Bench) -> None:
    """A pickle renamed to model.safetensors, to get past those who go by the name."""
    (bench.copy() / MODEL).write_bytes(pickle.dumps(_Bait(bench.bait)) + PAGE.encode())


def _bin_shards(bench: Bench) -> Path:
    folder = bench.copy("llama-sharded")
    names = read_json(folder / INDEX)["weight_map"]
    for shard in folder.glob("model-*.safetensors"):
        shard.unlink()
    (folder / INDEX).unlink()
    files = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
    weight_map = {name: files[i % 2] for i, name in enumerate(names)}
    write_json(folder / "pytorch_model.bin.index.json", {"metadata": {"total_size": 8192}, "weight_map": weight_map})
    for file in files:
        (folder / file).write_bytes(baited(bench.bait))
    return folder
