import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from sage_doctor.readers.safetensors_header import HeaderProblem, read_header

TWO = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
}


def packed(header: Any, data: int = 0, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + bytes(data)


def problem_of(directory: Path, content: bytes) -> HeaderProblem:
    path = directory / "model.safetensors"
    path.write_bytes(content)
    header = read_header(path)
    assert header.size == len(content)
    assert header.problem is not None
    return header.problem


def test_what_the_library_wrote(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    arrays = {"x": np.arange(6, dtype="float32").reshape(2, 3), "scalar": np.array(1, dtype="int64")}
    save_file(arrays, path, metadata={"format": "pt"})
    header = read_header(path)
    assert header.problem is None
    assert header.metadata == {"format": "pt"}
    assert (header.tensors["x"].dtype, header.tensors["x"].shape, header.tensors["x"].elements) == ("F32", (2, 3), 6)
    assert (header.tensors["scalar"].shape, header.tensors["scalar"].elements) == ((), 1)
    content = path.read_bytes()
    for name, array in arrays.items():  # offsets count from the beginning of the file
        assert content[header.tensors[name].start : header.tensors[name].end] == array.tobytes()


@pytest.mark.parametrize("lacking", [1, 2, 31, 32])
def test_missing_data_are_counted_exactly(tmp_path: Path, lacking: int) -> None:
    whole = packed(TWO, 32)
    problem = problem_of(tmp_path, whole[:-lacking])
    assert problem.code == "weights-truncated"
    assert problem.evidence["bytes_lacking"] == lacking
    assert problem.evidence["expected_bytes"] == len(whole)
    assert f"({lacking} byte{'s' * (lacking > 1)} missing)" in problem.message


@pytest.mark.parametrize("kept", [8, 9, 50])
def test_cut_off_inside_the_header(tmp_path: Path, kept: int) -> None:
    whole = packed(TWO)
    problem = problem_of(tmp_path, whole[:kept])
    assert problem.code == "weights-truncated"
    assert problem.evidence["bytes_lacking_at_least"] == len(whole) - kept


@pytest.mark.parametrize("length", [0x280, 0x480, 0x8B1F])
def test_a_length_that_begins_like_a_pickle_or_an_archive(tmp_path: Path, length: int) -> None:
    header = json.dumps(TWO).encode().ljust(length)
    (tmp_path / "t.safetensors").write_bytes(packed(header, 32))
    assert read_header(tmp_path / "t.safetensors").problem is None
    assert problem_of(tmp_path, packed(header)[:8]).code == "weights-truncated"


def test_longer_than_the_header_says(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, packed(TWO, 32 + 5))
    assert problem.code == "weights-oversized"
    assert problem.message.startswith("5 bytes longer")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 988097824\n"


def test_git_lfs_pointer(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, POINTER)
    assert problem.code == "weights-lfs-pointer"
    assert problem.evidence == {"oid": "sha256:" + "ab" * 32, "size": 988097824}


@pytest.mark.parametrize("size", [b"many", b"9" * 40, b"\xc2\xb2", b""])
def test_pointer_with_an_impossible_size(tmp_path: Path, size: bytes) -> None:
    problem = problem_of(tmp_path, b"version https://git-lfs\noid \x1b[2J\nsize " + size + b"\n")
    assert problem.evidence == {"oid": r"\x1b[2J"}


@pytest.mark.parametrize("size", range(8))
def test_nothing_or_next_to_nothing(tmp_path: Path, size: int) -> None:
    assert problem_of(tmp_path, b"\x10" * size).code == "weights-empty"


SOMETHING_ELSE = {
    "an HTML page": b"<!DOCTYPE html>\n<html><body>404</body></html>",
    "an XML document": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "a GGUF model": b"GGUF\x03\0\0\0" + bytes(64),
    "a zip archive (the form of a PyTorch pickle)": b"PK\x03\x04\x14\0\0\0\x08\x08" + bytes(64),
    "a gzip archive": b"\x1f\x8b\x08\x08\xaa\xbb\xcc\x5d" + bytes(64),
    "a Python pickle": b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(64),
    "a JSON text": b'{"error":{"message":"Repository not found"}}',
    "a text": b"Access to model is restricted. You must be authenticated to access it.",
    "a file of zero bytes": bytes(4096),
}


@pytest.mark.parametrize("what", SOMETHING_ELSE)
def test_something_else_under_this_name(tmp_path: Path, what: str) -> None:
    problem = problem_of(tmp_path, SOMETHING_ELSE[what])
    assert (problem.code, problem.evidence) == ("weights-not-safetensors", {"content": what})


INVALID = {
    "the header is not valid JSON": packed(b'{"a": ['.ljust(40)),
    "the header is not valid JSON: no reader accepts it": packed(b'{"a":' * 4000),
    "the header is not UTF-8 text": packed(b'{"\xff\xfe": 1}'),
    "the header is not a JSON object": packed(b"[1, 2, 3]"),
    "the header's __metadata__ is not a map of texts": packed({"__metadata__": {"epoch": 3}}),
    "the header's entry for a is not an object": packed({"a": None}),
    "a has the unknown dtype F7": packed({"a": {"dtype": "F7", "shape": [], "data_offsets": [0, 0]}}),
    "a has no usable dtype": packed({"a": {"dtype": [[]], "shape": [], "data_offsets": [0, 0]}}),
    "a has no usable shape or data_offsets": packed({"a": {"dtype": "U8", "shape": [-1], "data_offsets": [0, 0]}}),
    "a: no machine can hold shape": packed({"a": {"dtype": "U8", "shape": [2**63, 2], "data_offsets": [0, 0]}}),
    "a: shape [2] of U8 takes 2 bytes, the header gives it 3": packed(
        {"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 3]}}, 3
    ),
    "a: shape [1] of F4 takes 4 bits, no whole number of bytes": packed(
        {"a": {"dtype": "F4", "shape": [1], "data_offsets": [0, 1]}}, 1
    ),
    "the data of b leaves a hole before it": packed(
        {**TWO, "b": {"dtype": "BF16", "shape": [4], "data_offsets": [28, 36]}}, 36
    ),
    "the data of b overlaps the tensor before it": packed(
        {**TWO, "b": {"dtype": "BF16", "shape": [4], "data_offsets": [20, 28]}}, 28
    ),
    "the header names a twice": packed(b'{"a":1,' + json.dumps(TWO).encode()[1:], 32),
    "the header states the dtype of a twice": packed(
        b'{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1
    ),
    "the header is 1 bytes long": packed(b" "),
    "the header claims 100.0 MB; readers accept 100.0 MB at most": packed(b"{}".ljust(600), 0, 100_000_001),
}


@pytest.mark.parametrize("message", INVALID)
def test_an_invalid_header_is_named(tmp_path: Path, message: str) -> None:
    problem = problem_of(tmp_path, INVALID[message])
    assert problem.code == "weights-header-invalid"
    assert problem.message.startswith(message)


def test_names_from_a_file_are_made_safe_to_show(tmp_path: Path) -> None:
    problem = problem_of(tmp_path, packed({"\x1b]0;owned\x07": 1}))
    assert "\x1b" not in problem.message
    assert problem.evidence == {"tensor": "\x1b]0;owned\x07"}  # as it is: JSON escapes it


def test_a_shape_of_a_hundred_thousand_huge_numbers(tmp_path: Path) -> None:
    shape = [2**64 - 1] * 100_000
    problem = problem_of(tmp_path, packed({"a": {"dtype": "U8", "shape": shape, "data_offsets": [0, 0]}}))
    assert problem.code == "weights-header-invalid"
    assert len(problem.message) < 300


def test_a_header_of_ninety_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    entry = '"blk.%07d' + "x" * 900 + '":{"dtype":"U8","shape":[1],"data_offsets":[%d,%d]}'
    raw = ("{" + ",".join(entry % (n, n, n + 1) for n in range(92_000)) + "}").encode()
    assert 85_000_000 < len(raw) < 100_000_000
    path.write_bytes(packed(raw, 92_000))
    header = read_header(path)
    assert header.problem is None
    assert len(header.tensors) == 92_000


def special_files(directory: Path) -> dict[str, Path]:
    """Make one of each thing that would block, fill memory or lead in circles where it were opened carelessly."""
    paths = {n: directory / n for n in ("pipe", "socket", "directory", "loop", "dangling", "missing", "tail")}
    os.mkfifo(paths["pipe"])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(paths["socket"]))
    paths["directory"].mkdir()
    paths["loop"].symlink_to("tail")
    paths["tail"].symlink_to("loop")
    paths["dangling"].symlink_to("absent")
    paths["link to a device"] = directory / "zero"
    paths["link to a device"].symlink_to("/dev/zero")
    return paths


def test_special_files_never_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    said = {}
    for name, path in special_files(tmp_path).items():
        problem = read_header(path).problem
        assert problem is not None
        assert problem.code == "weights-unreadable"
        said[name] = problem.message
    assert said == {
        "pipe": "a named pipe",
        "socket": "a socket",
        "directory": "a directory, not a file",
        "loop": "a symbolic link that leads back to itself",
        "tail": "a symbolic link that leads back to itself",
        "dangling": "a link to absent, which is not there",
        "missing": "not there",
        "link to a device": "a character device",
    }
