"""Weights as pickles: executable, so the doctor must say what they are without ever loading one."""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
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


def state_dict(stored: Mapping[str, tuple[str, list[int], bytes]]) -> bytes:
    """Return tensors of 32 or 16 bits as `torch.save` writes them, written without torch: a zip with a pickle."""
    storages = {"F32": "FloatStorage", "BF16": "BFloat16Storage", "F16": "HalfStorage"}
    text = io.BytesIO()
    text.write(b"\x80\x02}(")
    for number, (name, (dtype, shape, _raw)) in enumerate(stored.items()):
        count = math.prod(shape)
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        text.write(_string(name) + b"ctorch._utils\n_rebuild_tensor_v2\n((")
        text.write(_string("storage") + f"ctorch\n{storages[dtype]}\n".encode() + _string(str(number)))
        text.write(_string("cpu") + _number(count) + b"tQ" + _number(0))
        text.write(b"(" + b"".join(map(_number, shape)) + b"t(" + b"".join(map(_number, strides)) + b"t\x89")
        text.write(b"ccollections\nOrderedDict\n)RtR")
    text.write(b"u.")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", text.getvalue())
        archive.writestr("archive/byteorder", "little")
        for number, (_, _, raw) in enumerate(stored.values()):
            archive.writestr(f"archive/data/{number}", raw)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def _string(text: str) -> bytes:
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


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
