"""Models in the Hugging Face cache."""

import json
from pathlib import Path

import pytest

from sage_doctor.system.mounts import DeclaredMount, Mount, MountTable
from tests.model_directories import MODEL, write_cached, write_full

from .cases import Bench, Case, Cases

CASES = Cases()
MANIFEST = '[models.m]\nkind = "full"\npath = "hf:org/name"\n'


def cached(bench: Bench) -> Path:
    cache = bench.root / "hub"
    bench.environ["HF_HUB_CACHE"] = str(cache)
    bench.manifest(MANIFEST, "m")
    return write_cached(cache, "org/name")


def listed(snapshot: Path, *names: str) -> None:
    """Write what the hub listed for the snapshot, as huggingface_hub 1.x keeps it."""
    trees = snapshot.parents[1] / "trees"
    trees.mkdir()
    files = {n: {"size": 1, "blob_id": "a" * 40} for n in names}
    (trees / f"{snapshot.name}.json").write_text(json.dumps({"format_version": 1, "files": files}))


@CASES.passes("check_hub")
@CASES.passes("check_hub_blobs")
def whole(bench: Bench) -> None:
    cached(bench)


@CASES.skips("check_hub", "is not in the Hugging Face cache")
@CASES.skips("check_hub_blobs", "is not in the Hugging Face cache")
def a_path(bench: Bench) -> None:
    write_full(bench.here)


@CASES.finds("check_hub", "hub-not-cached", "org/name is not in")
def never_downloaded(bench: Bench) -> None:
    bench.environ["HF_HUB_CACHE"] = str(bench.root / "hub")
    bench.manifest(MANIFEST, "m")


@CASES.finds("check_hub", "hub-ref-missing", "refs/main is missing")
def downloaded_by_commit(bench: Bench) -> None:
    (cached(bench).parents[1] / "refs" / "main").unlink()


@CASES.finds("check_hub", "hub-snapshot-incomplete", "not in the cache")
def ref_to_nothing(bench: Bench) -> None:
    (cached(bench).parents[1] / "refs" / "main").write_text("d" * 40)


@CASES.finds("check_hub_blobs", "hub-blob-missing", MODEL)
def blob_gone(bench: Bench) -> None:
    (cached(bench) / MODEL).resolve().unlink()


@CASES.finds("check_hub_blobs", "hub-snapshot-incomplete", "tokenizer.model")
def file_never_fetched(bench: Bench) -> None:
    snapshot = cached(bench)
    listed(snapshot, *(p.name for p in snapshot.iterdir()), "tokenizer.model", "README.md")


@CASES.passes("check_hub_blobs")
def files_that_no_session_needs(bench: Bench) -> None:
    """A cache that `from_pretrained` filled has the files it asked for, and no others."""
    snapshot = cached(bench)
    rest = ("README.md", "eval_results.json", "consolidated.safetensors", "pytorch_model.bin", "onnx/model.onnx")
    listed(snapshot, *(p.name for p in snapshot.iterdir()), *rest)


@CASES.finds("check_hub_blobs", "hub-incomplete-download", "2 bytes", severity="warning")
def download_cut_off(bench: Bench) -> None:
    (cached(bench).parents[1] / "blobs" / ("e" * 64 + ".incomplete")).write_bytes(b"ab")


@CASES.finds("check_hub", "volume-not-mounted", "models--org--name is on")
def a_cache_on_a_disk_that_is_not_mounted(bench: Bench) -> None:
    bench.environ["HF_HOME"] = str(bench.root / "disk/hf")
    (bench.root / "disk").mkdir()
    bench.manifest(MANIFEST, "m")
    declared = DeclaredMount(point=str(bench.root / "disk"), source="/dev/null", told_by="/etc/fstab")
    bench.mounts = MountTable(mounted=(Mount(point="/", kind="ext4", source="x"),), declared=(declared,))


@CASES.finds("check_hub", "filesystem-failed", "input/output error")
def a_ref_that_cannot_be_read(bench: Bench) -> None:
    ref = cached(bench).parents[1] / "refs/main"
    ref.unlink()
    ref.symlink_to("/proc/self/mem")  # its first page is nobody's: EIO


@CASES.finds("check_hub", "path-unreadable", "config.json has mode 0000")
def a_file_that_nobody_may_read(bench: Bench) -> None:
    (cached(bench) / "config.json").chmod(0o000)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_the_missing_ref_is_written_by_the_command(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    snapshot = cached(bench)
    ref = snapshot.parents[1] / "refs" / "main"
    ref.unlink()
    (found,) = bench.run("check_hub").findings
    assert any(snapshot.name in c and str(ref) in c for c in found.fix.commands)
