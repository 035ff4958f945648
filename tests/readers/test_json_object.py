import os
import sys
from pathlib import Path

import pytest

from sage_doctor.readers.json_object import JsonFile, read_json_object


def read(directory: Path, content: bytes) -> JsonFile:
    path = directory / "config.json"
    path.write_bytes(content)
    return read_json_object(path)


def test_an_object(tmp_path: Path) -> None:
    file = read(tmp_path, '{"a": 1, "ü": ["x"], "b": NaN, "c": -Infinity, "a": 2}\n'.encode())
    assert file.value is not None
    assert (file.value["a"], file.value["ü"], file.value["c"]) == (2, ["x"], float("-inf"))  # as loaders read it
    assert (file.problem, file.missing, file.where) == ("", False, "config.json")


PROBLEMS = [
    (b"", "empty", 0),
    (b" \n\t\r\n", "empty", 0),
    (bytes(4096), "filled with zero bytes", 0),
    (b"\xef\xbb\xbf{}", "starts with a byte-order mark, which JSON readers refuse", 1),
    ('{"a": 1}'.encode("utf-16"), "UTF-16 text; JSON is UTF-8", 1),
    ('{"a": 1}'.encode("utf-16-be"), "UTF-16 text; JSON is UTF-8", 1),
    ('{"a": 1}'.encode("utf-16-le"), "UTF-16 text; JSON is UTF-8", 1),
    (b'{"a": 1,\n "b": "\xff"}', "not UTF-8 text", 2),
    (b'{\n "a": 1,\n}', "not valid JSON: ", 3),
    (b'{\n "a": 1,\n "b": {\n', "not valid JSON: Expecting property name enclosed in double quotes (column 1)", 4),
    (b'{"a": 1} // comment', "not valid JSON: Extra data (column 10)", 1),
    (b"[1, 2]", "holds a JSON array where an object is expected", 1),
    (b'"text"', "holds a JSON string where an object is expected", 1),
    (b"null", "holds a JSON null where an object is expected", 1),
    (b"true", "holds a JSON boolean where an object is expected", 1),
    (b"7", "holds a JSON number where an object is expected", 1),
    (b'{"a":' * 200_000, "JSON that no reader accepts", 0),
    (b'{"a": ' + b"9" * 5000 + b"}", "JSON that no reader accepts", 0),
    (b"<!DOCTYPE html>", "not valid JSON: Expecting value (column 1)", 1),
]


@pytest.mark.parametrize("content, problem, line", PROBLEMS)
def test_problems_and_their_lines(tmp_path: Path, content: bytes, problem: str, line: int) -> None:
    file = read(tmp_path, content)
    assert file.value is None
    assert file.problem.startswith(problem)
    assert file.line == line
    assert file.where == (f"config.json:{line}" if line else "config.json")


def test_git_lfs_pointer(tmp_path: Path) -> None:
    file = read(tmp_path, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")
    assert file.lfs_pointer
    assert file.problem == "a Git LFS pointer, not the file itself"


def test_what_is_no_file_never_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("absent")
    (tmp_path / "loop").symlink_to("loop")
    assert read_json_object(tmp_path / "absent").missing
    assert read_json_object(tmp_path / "absent").problem == ""
    assert read_json_object(tmp_path / "pipe").problem == "a named pipe"
    assert read_json_object(tmp_path).problem == "a directory, not a file"
    assert read_json_object("/dev/zero").problem == "a character device"
    assert read_json_object(tmp_path / "dangling").problem == "a link to absent, which is not there"
    assert read_json_object(tmp_path / "loop").problem == "a symbolic link that leads back to itself"


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: it takes no room
    assert read_json_object(path).problem == "1.1 TB; no such file is larger than 268.4 MB"
    path.write_bytes(b'{"a": 1}')
    assert read_json_object(path, most=8).value == {"a": 1}
    assert read_json_object(path, most=7).value is None


def test_the_recursion_limit_is_left_as_it_was(tmp_path: Path) -> None:
    before = sys.getrecursionlimit()
    read(tmp_path, b"[" * 1_000_000)
    assert sys.getrecursionlimit() == before
