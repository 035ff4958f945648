import json
import os
from pathlib import Path

import pytest

from sage_doctor.readers.known_hash import blob_hash, is_inside, local_dir_hash, read_hub_listing

COMMIT = "a" * 40
SHA256, SHA1 = "c" * 64, "d" * 40


def link(path: Path, target: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def test_blob_names_tell_the_hash_even_where_the_blob_is_gone(tmp_path: Path) -> None:
    assert blob_hash(link(tmp_path / "s/a", f"../../blobs/{SHA256}")) == ("sha256", SHA256)
    assert blob_hash(link(tmp_path / "s/b", f"../../blobs/{SHA1}")) == ("git-sha1", SHA1)


def test_a_link_to_a_snapshot_file_is_followed_to_its_blob_name_and_no_further(tmp_path: Path) -> None:
    link(tmp_path / "repo/blobs" / SHA256, f"../store/blobs/{'e' * 64}")
    link(tmp_path / "repo/snapshots/x/model", f"../../blobs/{SHA256}")
    assert blob_hash(link(tmp_path / "mine/model", "../repo/snapshots/x/model")) == ("sha256", SHA256)


@pytest.mark.parametrize("target", [f"../{SHA256}", "../blobs/model", f"../blobs/{SHA256}x", "../blobs/abc", "loop"])
def test_links_that_tell_nothing(tmp_path: Path, target: str) -> None:
    assert blob_hash(link(tmp_path / "s/loop", target)) is None


def test_what_is_no_link_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / SHA256).write_text("")
    assert blob_hash(tmp_path / "blobs" / SHA256) is None
    assert blob_hash(tmp_path / "absent") is None
    assert blob_hash("a\0b") is None


def test_tree_listing(tmp_path: Path) -> None:
    files = {
        "model.safetensors": {"size": 5, "blob_id": SHA1, "lfs_sha256": SHA256, "lfs_size": 7, "xet_hash": "x"},
        "config.json": {"size": 2, "blob_id": SHA1},
        "../escape": {"size": 2, "blob_id": SHA1},
        "broken": {"size": "2", "blob_id": SHA1},
        "worse": 3,
    }
    (tmp_path / "trees").mkdir()
    path = tmp_path / "trees" / f"{COMMIT}.json"
    path.write_text(json.dumps({"format_version": 1, "files": files}))
    tree = read_hub_listing(tmp_path, COMMIT)
    assert tree is not None
    assert {n: (e.size, e.algorithm, e.hex) for n, e in tree.items()} == {
        "model.safetensors": (7, "sha256", SHA256),
        "config.json": (2, "git-sha1", SHA1),
    }
    path.write_text(json.dumps({"format_version": 2, "files": files}))
    assert read_hub_listing(tmp_path, COMMIT) is None
    assert read_hub_listing(tmp_path, "../" + COMMIT) is None
    assert read_hub_listing(tmp_path, "b" * 40) is None


def record(directory: Path, name: str, text: str) -> None:
    path = directory / ".cache/huggingface/download" / f"{name}.metadata"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    file = directory / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("content")
    os.utime(file, (1712656091, 1712656091))


def test_records_of_a_download_into_a_directory(tmp_path: Path) -> None:
    record(tmp_path, "model.safetensors", f"{COMMIT}\n{SHA256}\n1712656091.5\n")
    record(tmp_path, "sub/config.json", f"{COMMIT}\n{SHA1}\n1712650000.0\n")
    record(tmp_path, "weak", f"{COMMIT}\nnot-a-hash\n1\n")
    record(tmp_path, "short", COMMIT)
    known = local_dir_hash(tmp_path, "model.safetensors")
    older = local_dir_hash(tmp_path, "sub/config.json")
    assert known is not None
    assert older is not None
    assert (known.algorithm, known.hex, known.modified_since) == ("sha256", SHA256, False)
    assert known.source == ".cache/huggingface/download/model.safetensors.metadata"
    assert older.modified_since
    assert local_dir_hash(tmp_path, "weak") is None
    assert local_dir_hash(tmp_path, "short") is None
    assert local_dir_hash(tmp_path, "../x") is None
    assert local_dir_hash(tmp_path / "absent", "model.safetensors") is None


@pytest.mark.parametrize("name,inside", [("a", True), ("a/b", True), ("..", False), ("a/../b", False), ("/a", False)])
def test_is_inside(name: str, inside: bool) -> None:
    assert is_inside(name) is inside
