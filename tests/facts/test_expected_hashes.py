import hashlib
import json
import os
import subprocess
from pathlib import Path

from sage_doctor.facts.expected_hashes import expected_hashes

COMMIT = "a" * 40
SHA256, OTHER = "c" * 64, "e" * 64


def snapshot(root: Path) -> Path:
    folder = root / "models--a--b/snapshots" / COMMIT
    folder.mkdir(parents=True)
    return folder


def test_blob_name(tmp_path: Path) -> None:
    folder = snapshot(tmp_path)
    (folder / "model.safetensors").symlink_to(f"../../blobs/{SHA256}")
    known = expected_hashes(folder, ["model.safetensors"])["model.safetensors"]
    assert (known.algorithm, known.hex) == ("sha256", SHA256)
    assert "blob" in known.source


def test_listing_of_a_snapshot_that_was_copied_without_links(tmp_path: Path) -> None:
    folder = snapshot(tmp_path)
    (folder / "model.safetensors").write_text("x")
    trees = tmp_path / "models--a--b/trees"
    trees.mkdir()
    entry = {"size": 1, "blob_id": "d" * 40, "lfs_sha256": SHA256, "lfs_size": 1}
    (trees / f"{COMMIT}.json").write_text(json.dumps({"format_version": 1, "files": {"model.safetensors": entry}}))
    known = expected_hashes(folder, ["model.safetensors"])["model.safetensors"]
    assert (known.hex, known.source) == (SHA256, f"trees/{COMMIT}.json in the cache")


def test_record_of_a_download_wins_over_the_git_index(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull}
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).write_text(name)
    for words in (["init", "-q"], ["add", "--all"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, env=environ, timeout=60, capture_output=True)
    records = tmp_path / ".cache/huggingface/download"
    records.mkdir(parents=True)
    (records / "a.safetensors.metadata").write_text(f"{COMMIT}\n{OTHER}\n99999999999\n")
    found = expected_hashes(tmp_path, ["a.safetensors", "b.safetensors", "c.safetensors", "../x"])
    assert found.keys() == {"a.safetensors", "b.safetensors"}
    assert found["a.safetensors"].hex == OTHER
    blob = b"blob 13\0b.safetensors"
    assert found["b.safetensors"].hex == hashlib.sha1(blob, usedforsecurity=False).hexdigest()


def test_nobody_recorded_anything(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("x")
    assert expected_hashes(tmp_path, ["model.safetensors"]) == {}
    assert expected_hashes(tmp_path / "absent", ["model.safetensors"]) == {}
    assert expected_hashes(tmp_path, ["../model.safetensors"]) == {}
