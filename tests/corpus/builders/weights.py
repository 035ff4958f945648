"""Weights in one file, ill in one way: fetched wrongly, cut, grown, or with a header that lies."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import zipfile
from pathlib import Path

from . import tensors
from .case import Bench, Table
from .tensors import MODEL, PAGE, POINTER

TABLE = Table("weights")
_NAMES = ("model.embed_tokens.weight", "model.norm.weight")


def _model(bench: Bench) -> Path:
    return bench.copy() / MODEL


@TABLE.error("weights-lfs-pointer", shows="SafetensorError: header too large")
def lfs_pointer(bench: Bench) -> None:
    """Cloned without `git lfs pull`."""
    _model(bench).write_text(POINTER, encoding="utf-8")


@TABLE.error("weights-not-safetensors", shows="SafetensorError: header too large")
def login_page(bench: Bench) -> None:
    """Curl saved the page of a captive portal."""
    _model(bench).write_text(PAGE, encoding="utf-8")


@TABLE.error("weights-not-safetensors", shows="SafetensorError: header too large")
def hub_refusal(bench: Bench) -> None:
    """Curl saved the hub's error message, which happens to begin as a header does."""
    _model(bench).write_text('{"error":"Access to model is restricted and you are not in the list"}', encoding="utf-8")


@TABLE.error("weights-not-safetensors", shows="SafetensorError: header too large")
def torch_zip(bench: Bench) -> None:
    """Somebody renamed pytorch_model.bin."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/data/0", bytes(4096))
    _model(bench).write_bytes(file.getvalue())


@TABLE.error("weights-not-safetensors", shows="SafetensorError: header too large")
def gguf(bench: Bench) -> None:
    """A llama.cpp file under the wrong name."""
    _model(bench).write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + bytes(4096))


@TABLE.error("weights-not-safetensors", shows="SafetensorError: header too large")
def still_compressed(bench: Bench) -> None:
    """Fetched with `Content-Encoding: gzip` and never unpacked."""
    path = _model(bench)
    path.write_bytes(gzip.compress(path.read_bytes()))


@TABLE.error("weights-empty", shows="SafetensorError: header too small")
def zero_bytes(bench: Bench) -> None:
    """The disk was full."""
    _model(bench).write_bytes(b"")


@TABLE.error("weights-empty", shows="SafetensorError: header too small")
def five_bytes(bench: Bench) -> None:
    """Less than the length field."""
    _model(bench).write_bytes(b"\x10\0\0\0\0")


@TABLE.error("weights-truncated", shows="SafetensorError: incomplete metadata, file not fully covered")
def one_byte_short(bench: Bench) -> None:
    """Cut by one byte."""
    path = _model(bench)
    os.truncate(path, path.stat().st_size - 1)


@TABLE.error("weights-truncated", shows="SafetensorError: incomplete metadata, file not fully covered")
def half(bench: Bench) -> None:
    """Cut in the middle of the data."""
    path = _model(bench)
    os.truncate(path, path.stat().st_size // 2)


@TABLE.error("weights-truncated", shows="SafetensorError: invalid header length")
def cut_within_header(bench: Bench) -> None:
    """Cut in the middle of the header."""
    os.truncate(_model(bench), 300)


@TABLE.error("weights-truncated", shows="SafetensorError: invalid header length")
def cut_after_length(bench: Bench) -> None:
    """Nothing but the length of the header."""
    os.truncate(_model(bench), 8)


@TABLE.error("weights-oversized", shows="SafetensorError: incomplete metadata, file not fully covered")
def one_byte_long(bench: Bench) -> None:
    """Grown by one byte."""
    path = _model(bench)
    path.write_bytes(path.read_bytes() + b"\0")


@TABLE.error("weights-oversized", shows="SafetensorError: incomplete metadata, file not fully covered")
def appended_twice(bench: Bench) -> None:
    """A resumed download that started again from the first byte."""
    path = _model(bench)
    path.write_bytes(path.read_bytes() * 2)


@TABLE.error("weights-header-invalid", shows="SafetensorError: header too large")
def header_of_100_megabytes(bench: Bench) -> None:
    """The length is above the format's limit of 100,000,000 bytes, and the (sparse) file is long enough for it."""
    path = _model(bench)
    path.write_bytes(struct.pack("<Q", 100_000_001) + b'{"a":')
    os.truncate(path, 250_000_000)


@TABLE.error("weights-header-invalid", shows="SafetensorError: invalid JSON in header")
def header_garbled(bench: Bench) -> None:
    """A flipped bit: the first quotation mark is no longer one."""
    path = _model(bench)
    raw = bytearray(path.read_bytes())
    raw[9] ^= 0x40
    path.write_bytes(bytes(raw))


@TABLE.error("weights-header-invalid", shows="SafetensorError: invalid UTF-8 in header")
def header_not_utf8(bench: Bench) -> None:
    """A byte that no UTF-8 text holds."""
    path = _model(bench)
    raw = bytearray(path.read_bytes())
    raw[12] = 0xFF
    path.write_bytes(bytes(raw))


@TABLE.error("weights-header-invalid", shows="SafetensorError: invalid JSON in header")
def header_is_an_array(bench: Bench) -> None:
    """JSON, but no object."""
    path = _model(bench)
    tensors.write(path, "[1, 2, 3]", tensors.parts(path)[1])


@TABLE.error("weights-header-invalid", shows="SafetensorError: invalid JSON in header")
def dtype_unknown(bench: Bench) -> None:
    """A dtype that safetensors does not have."""
    tensors.rewrite(_model(bench), lambda header: header[_NAMES[1]].update(dtype="F33"))


@TABLE.error("weights-header-invalid", shows="SafetensorError: invalid offset")
def overlap(bench: Bench) -> None:
    """Two tensors claim the same bytes."""

    def change(header: tensors.Header) -> None:
        first, second = (header[name] for name in _NAMES)
        second["data_offsets"] = [first["data_offsets"][0], first["data_offsets"][0] + 128]

    tensors.rewrite(_model(bench), change)


@TABLE.error("weights-header-invalid", shows="SafetensorError: invalid offset")
def hole(bench: Bench) -> None:
    """Bytes between two tensors that belong to none."""
    path = _model(bench)
    header, data = tensors.parts(path)
    last = max((k for k in header if k != "__metadata__"), key=lambda k: header[k]["data_offsets"][1])
    start, end = header[last]["data_offsets"]
    header[last]["data_offsets"] = [start + 8, end + 8]
    tensors.write(path, header, data[:start] + bytes(8) + data[start:])


@TABLE.error("weights-header-invalid", shows="SafetensorError: invalid shape, data type, or offset for tensor")
def shape_disagrees_with_span(bench: Bench) -> None:
    """The norm says 64 elements where 32 lie."""
    tensors.rewrite(_model(bench), lambda header: header[_NAMES[1]].update(shape=[64]))


@TABLE.error("weights-header-invalid", shows="SafetensorError: overflow")
def shape_overflows(bench: Bench) -> None:
    """A product of sizes beyond 64 bits."""
    tensors.rewrite(_model(bench), lambda header: header[_NAMES[1]].update(shape=[2**62, 2**62]))


@TABLE.error("weights-header-invalid", shows="loads silently: the last one counts")
def tensor_named_twice(bench: Bench) -> None:
    """The same entry twice: readers do not agree on which one counts, so one of them is always surprised."""
    path = _model(bench)
    header, data = tensors.parts(path)
    text = json.dumps(header, separators=(",", ":"))
    again = json.dumps(header[_NAMES[1]], separators=(",", ":"))
    tensors.write(path, text[:-1] + f',"{_NAMES[1]}":{again}}}', data)


@TABLE.error("weights-missing", shows="OSError: Error no file named model.safetensors, or pytorch_model.bin, found")
def only_a_variant(bench: Bench) -> None:
    """`model.fp16.safetensors` is loaded only by those who ask for the variant."""
    path = _model(bench)
    path.rename(path.with_name("model.fp16.safetensors"))


@TABLE.error("weights-missing", shows="OSError: Error no file named model.safetensors, or pytorch_model.bin, found")
def only_other_formats(bench: Bench) -> None:
    """GGUF, TensorFlow and Flax: nothing that transformers 5 looks for."""
    path = _model(bench)
    path.with_name("llama.gguf").write_bytes(b"GGUF" + bytes(60))
    path.rename(path.with_name("flax_model.msgpack"))


@TABLE.error("weights-missing", shows="OSError: Error no file named model.safetensors, or pytorch_model.bin, found")
def tokenizer_and_config_only(bench: Bench) -> None:
    """Everything small is there."""
    _model(bench).unlink()


@TABLE.error(
    "weights-missing",
    shows="ValueError: Unrecognized model in …. Should have a `model_type` key",
    among_many="info",  # nobody named it, and somebody may keep a tokenizer alone
)
def tokenizer_only(bench: Bench) -> None:
    """The incident: a merged model of which only the tokenizer arrived. One cause: the model was never copied."""
    path = _model(bench)
    path.unlink()
    for name in ("config.json", "generation_config.json"):
        path.with_name(name).unlink()
