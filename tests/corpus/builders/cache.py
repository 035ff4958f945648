"""The Hugging Face cache: blobs and links of which some are gone, names that point nowhere, halves of downloads."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .case import Bench, Table, write_manifest
from .tensors import MODEL

NAME = "corpus/tiny-llama"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TABLE = Table("cache", subject="cached", manifest=True, in_tree=False, environment={"HF_HUB_CACHE": "hub"})


def _cached(bench: Bench, stock: str = "llama") -> Path:
    """Write a manifest that names `hf:corpus/tiny-llama`, and that model into `here/hub`; return its snapshot."""
    write_manifest(bench.here, cached=f"hf:{NAME}")
    return write_repository(bench.stock / stock, bench.here / "hub", NAME)


@TABLE.healthy()
def complete(bench: Bench) -> None:
    """As `hf download` leaves it."""
    _cached(bench)


@TABLE.healthy()
def with_marks_of_absence(bench: Bench) -> None:
    """`.no_exist` remembers files that the hub does not have; `trees` and `.locks` are the library's own."""
    repository = _cached(bench).parents[1]
    (repository / ".no_exist" / COMMIT).mkdir(parents=True)
    (repository / ".no_exist" / COMMIT / "adapter_config.json").touch()
    (bench.here / "hub" / ".locks" / repository.name).mkdir(parents=True)
    (bench.here / "hub" / "version.txt").write_text("1", encoding="utf-8")


@TABLE.healthy()
def with_an_older_snapshot(bench: Bench) -> None:
    """An older commit of which only the configuration was ever fetched: `main` is another, and complete."""
    snapshot = _cached(bench)
    older = snapshot.with_name("f" * 40)
    older.mkdir()
    (older / "config.json").symlink_to((snapshot / "config.json").readlink())


@TABLE.healthy()
def fetched_by_commit(bench: Bench) -> None:
    """`refs/main` is missing, and the manifest asks for the commit, which is there."""
    snapshot = _cached(bench)
    (snapshot.parents[1] / "refs" / "main").unlink()
    write_manifest(bench.here, cached=f"hf:{NAME}@{COMMIT}")


@TABLE.error("hub-not-cached", shows="OSError: We couldn't connect to 'https://huggingface.co'")
def never_downloaded(bench: Bench) -> None:
    """Nothing of this name is in the cache."""
    write_manifest(bench.here, cached="hf:Qwen/Qwen2.5-0.5B-Instruct")
    (bench.here / "hub").mkdir()


@TABLE.error("hub-ref-missing", shows="OSError: We couldn't connect; with revision=<sha> it loads")
def without_main(bench: Bench) -> None:
    """A complete snapshot, and no `refs/main`."""
    (_cached(bench).parents[1] / "refs" / "main").unlink()


@TABLE.error("hub-ref-missing", "hub-snapshot-incomplete", "hub-not-cached", shows="OSError: We couldn't connect")
def main_leads_nowhere(bench: Bench) -> None:
    """`refs/main` names a commit of which there is no snapshot."""
    (_cached(bench).parents[1] / "refs" / "main").write_text("e" * 40, encoding="utf-8")


@TABLE.error("hub-snapshot-incomplete", shows="OSError: … does not appear to have a file named model.safetensors")
def without_weights(bench: Bench) -> None:
    """The weights' link was never made: the download stopped before."""
    _drop(_cached(bench) / MODEL)


@TABLE.error("hub-snapshot-incomplete", "shard-missing", shows="OSError: … does not appear to have a file named model-")
def without_a_shard(bench: Bench) -> None:
    """One shard of nine was never fetched."""
    _drop(_cached(bench, "llama-sharded") / "model-00005-of-00009.safetensors")


@TABLE.error("hub-snapshot-incomplete", also=("hub-incomplete-download",), shows="OSError")
def download_stopped(bench: Bench) -> None:
    """The weights are a `.incomplete` blob without a link."""
    link = _cached(bench) / MODEL
    blob = link.parent / link.readlink()
    link.unlink()
    unfinished = blob.with_name(blob.name + ".incomplete")
    blob.rename(unfinished)
    os.truncate(unfinished, 1000)


@TABLE.error("hub-snapshot-incomplete", also=("hub-blob-missing",), shows="OSError")
def only_configuration(bench: Bench) -> None:
    """`AutoConfig.from_pretrained` once fetched config.json, and nobody fetched the rest."""
    for file in sorted(_cached(bench).iterdir()):
        if file.name != "config.json":
            _drop(file)


@TABLE.error("hub-blob-missing", shows="OSError: … does not appear to have a file named model.safetensors")
def blob_missing(bench: Bench) -> None:
    """The link to the weights leads to a blob that somebody deleted to gain space."""
    link = _cached(bench) / MODEL
    (link.parent / link.readlink()).unlink()


@TABLE.error("hub-blob-missing", shows="OSError")
def snapshots_copied_alone(bench: Bench) -> None:
    """Only `snapshots` and `refs` were copied to this machine: every link leads to nothing. One cause."""
    snapshot = _cached(bench)
    for blob in (snapshot.parents[1] / "blobs").iterdir():
        blob.unlink()


@TABLE.warning("hub-incomplete-download", shows="loads")
def leftover_of_a_download(bench: Bench) -> None:
    """A complete snapshot, and beside its blobs what an interrupted download of something else left."""
    blobs = _cached(bench).parents[1] / "blobs"
    (blobs / ("a" * 64 + ".incomplete")).write_bytes(bytes(100))


@TABLE.error("weights-truncated", shows="SafetensorError: incomplete metadata, file not fully covered")
def blob_cut(bench: Bench) -> None:
    """The blob is shorter than its header says."""
    link = _cached(bench) / MODEL
    os.truncate(link.parent / link.readlink(), 2000)


@TABLE.error("weights-hash-mismatch", level="integrity", shows="loads silently")
def blob_altered(bench: Bench) -> None:
    """One bit of the weights is not what the blob's name says."""
    blob = (_cached(bench) / MODEL).resolve()
    raw = bytearray(blob.read_bytes())
    raw[-3] ^= 1
    blob.write_bytes(bytes(raw))


@TABLE.healthy(
    level="integrity", manifest=False, target="hub", subject=f"models--corpus--tiny-llama/snapshots/{COMMIT}"
)
def as_a_directory(bench: Bench) -> None:
    """The cache itself given as the directory to examine: the hashes are the blobs' names."""
    _cached(bench)
    (bench.here / "sage-doctor.toml").unlink()


def _drop(link: Path) -> None:
    blob = link.parent / link.readlink()
    link.unlink()
    blob.unlink()


def fill(stock: Path, hub: Path) -> None:
    """Write the stock's `llama` as `corpus/tiny-llama` into a Hugging Face cache at `hub`."""
    write_repository(stock / "llama", hub, NAME)


def write_repository(source: Path, hub: Path, name: str) -> Path:
    """Lay `source` out as the cache does: blobs by hash, a snapshot of links, `refs/main`. Return the snapshot."""
    repository = hub / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    snapshot.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        raw = file.read_bytes()
        if file.suffix == ".safetensors":  # in Git LFS: named by the sha256 of the content
            blob = hashlib.sha256(raw).hexdigest()
        else:  # in Git: named by the sha1 of the Git blob
            blob = hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()
        (repository / "blobs" / blob).write_bytes(raw)
        (snapshot / file.name).symlink_to(os.path.join("..", "..", "blobs", blob))
    return snapshot
