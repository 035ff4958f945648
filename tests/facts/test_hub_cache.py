import os
from pathlib import Path

import pytest

from sage_doctor.facts.hub_cache import (
    cache_root,
    list_cached_models,
    repo_folder,
    resolve_hub,
)
from sage_doctor.readers.repo_id import is_repo_id

COMMIT, OTHER = "a" * 40, "b" * 40
SHA256, SHA1 = "c" * 64, "d" * 40
REPO = "Qwen/Qwen2.5-0.5B-Instruct"


def cache(root: Path, commit: str = COMMIT, *, ref: str | None = COMMIT) -> Path:
    """Lay out the repository as huggingface_hub does; return its folder."""
    folder = repo_folder(root, REPO)
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    snapshot = folder / "snapshots" / commit
    (snapshot / "sub").mkdir(parents=True)
    (folder / "blobs" / SHA256).write_bytes(b"weights")
    (folder / "blobs" / SHA1).write_bytes(b"{}")
    (snapshot / "model.safetensors").symlink_to(f"../../blobs/{SHA256}")
    (snapshot / "sub/config.json").symlink_to(f"../../../blobs/{SHA1}")
    if ref is not None:
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs/main").write_text(ref)
    return folder


@pytest.mark.parametrize(
    "environ,expected",
    [
        ({}, "/home/sprout/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/xdg", "HF_HOME": "~/hf"}, "/home/sprout/hf/hub"),
        ({"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "$DISK/${NAME}/hub", "DISK": "/nvme"}, "/nvme/${NAME}/hub"),
    ],
)
def test_cache_root(environ: dict[str, str], expected: str) -> None:
    assert cache_root(environ, Path("/home/sprout")) == Path(expected)


@pytest.mark.parametrize("text", [REPO, "gpt2", "a/b.c_d-e"])
def test_repository_ids(text: str) -> None:
    assert is_repo_id(text)


@pytest.mark.parametrize(
    "text", ["", "..", "../x", "a/..", "a/b/c", "/etc", "a--b", "a/b.git", "./final_model", "a/b\n", "é/x", "~/x"]
)
def test_what_is_no_repository_id(tmp_path: Path, text: str) -> None:
    assert not is_repo_id(text)
    facts = resolve_hub(tmp_path, text)
    assert (facts.status, facts.folder) == ("not-cached", tmp_path)
    assert "repository id" in facts.detail
    with pytest.raises(ValueError, match="repository id"):
        repo_folder(tmp_path, text)


def test_found(tmp_path: Path) -> None:
    folder = cache(tmp_path)
    facts = resolve_hub(tmp_path, REPO)
    assert (facts.status, facts.commit, facts.snapshots) == ("found", COMMIT, (COMMIT,))
    assert facts.snapshot == folder / "snapshots" / COMMIT
    assert facts.files == {"model.safetensors": 7, "sub/config.json": 2}
    assert (facts.dangling, facts.incomplete, facts.expected, facts.missing) == ((), (), None, ())
    assert resolve_hub(tmp_path, REPO, COMMIT).status == "found"


def test_not_cached(tmp_path: Path) -> None:
    assert resolve_hub(tmp_path, REPO).status == "not-cached"
    assert resolve_hub(tmp_path / "absent", REPO, COMMIT).status == "not-cached"
    (repo_folder(tmp_path, REPO) / "snapshots").mkdir(parents=True)
    assert resolve_hub(tmp_path, REPO).status == "not-cached"


def test_ref_missing(tmp_path: Path) -> None:
    cache(tmp_path, ref=None)
    facts = resolve_hub(tmp_path, REPO)
    assert (facts.status, facts.commit, facts.snapshots) == ("ref-missing", None, (COMMIT,))
    assert resolve_hub(tmp_path, REPO, COMMIT).status == "found"
    assert resolve_hub(tmp_path, REPO, COMMIT[:8]).status == "ref-missing"


def test_snapshot_missing(tmp_path: Path) -> None:
    cache(tmp_path, ref=OTHER)
    facts = resolve_hub(tmp_path, REPO)
    assert (facts.status, facts.commit) == ("snapshot-missing", OTHER)
    assert resolve_hub(tmp_path, REPO, OTHER).status == "snapshot-missing"


def test_a_ref_written_by_hand_with_a_line_end_is_not_found_by_the_hub_either(tmp_path: Path) -> None:
    cache(tmp_path, ref=COMMIT + "\n")
    facts = resolve_hub(tmp_path, REPO)
    assert (facts.status, facts.commit) == ("snapshot-missing", COMMIT)
    assert "blanks" in facts.detail


@pytest.mark.parametrize("revision", ["..", "../../x", "/etc/passwd", "", "a\0b"])
def test_hostile_revisions(tmp_path: Path, revision: str) -> None:
    cache(tmp_path)
    facts = resolve_hub(tmp_path, REPO, revision)
    assert (facts.status, facts.snapshot) == ("not-cached", None)
    assert "not a revision" in facts.detail


def test_a_ref_that_leads_out_is_no_snapshot(tmp_path: Path) -> None:
    cache(tmp_path, ref="../../..")
    assert resolve_hub(tmp_path, REPO).status == "snapshot-missing"


def test_branches_with_slashes(tmp_path: Path) -> None:
    folder = cache(tmp_path)
    (folder / "refs/refs/pr").mkdir(parents=True)
    (folder / "refs/refs/pr/1").write_text(COMMIT)
    assert resolve_hub(tmp_path, REPO, "refs/pr/1").status == "found"


def test_pipes_in_the_cache_hold_nobody(tmp_path: Path) -> None:
    folder = cache(tmp_path, ref=None)
    (folder / "refs").mkdir()
    os.mkfifo(folder / "refs/main")
    os.mkfifo(folder / "snapshots" / COMMIT / "pipe")
    assert resolve_hub(tmp_path, REPO).status == "ref-missing"
    assert "pipe" not in resolve_hub(tmp_path, REPO, COMMIT).files


def test_dangling_links_and_unfinished_downloads(tmp_path: Path) -> None:
    folder = cache(tmp_path)
    (folder / "blobs" / SHA256).unlink()
    (folder / "blobs" / f"{SHA256}.incomplete").write_bytes(b"weig")
    (folder / "blobs" / f"{SHA256}.1f2e3d4c.incomplete").write_bytes(b"we")
    (folder / "trees").mkdir()
    (folder / "trees" / f"{COMMIT}.json").write_text(
        '{"format_version": 1, "files": {'
        f'"model.safetensors": {{"size": 7, "blob_id": "{SHA1}", "lfs_sha256": "{SHA256}", "lfs_size": 7}},'
        f'"tokenizer.json": {{"size": 3, "blob_id": "{SHA1}"}}}}}}'
    )
    facts = resolve_hub(tmp_path, REPO)
    assert facts.status == "found"
    assert [(d.name, d.target) for d in facts.dangling] == [("model.safetensors", f"../../blobs/{SHA256}")]
    assert [(i.size, i.expected) for i in facts.incomplete] == [(2, 7), (4, 7)]
    assert facts.missing == ("tokenizer.json",)


def test_cached_models(tmp_path: Path) -> None:
    folder = cache(tmp_path)
    (tmp_path / "datasets--a--b/snapshots" / COMMIT).mkdir(parents=True)
    (tmp_path / "models--..--x/snapshots" / COMMIT).mkdir(parents=True)
    (tmp_path / "models--empty").mkdir()
    (model,) = list_cached_models(tmp_path)
    assert (model.repo_id, model.commit) == (REPO, COMMIT)
    assert (model.snapshot, model.size) == (folder / "snapshots" / COMMIT, 9)
    assert list_cached_models(tmp_path / "absent") == ()


def test_cached_model_without_a_ref_is_its_newest_snapshot(tmp_path: Path) -> None:
    folder = cache(tmp_path, ref=None)
    cache(tmp_path, OTHER, ref=None)
    os.utime(folder / "snapshots" / COMMIT, (1, 1))
    (model,) = list_cached_models(tmp_path)
    assert model.commit == OTHER
