import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from sage_doctor.facts import hashing
from sage_doctor.facts.hashing import hash_file, hash_files
from sage_doctor.readers.known_hash import Algorithm
from sage_doctor.system.fingerprint import Fingerprint
from sage_doctor.system.path_info import UnreadableFile

CONTENT = os.urandom(3 * (1 << 20) + 17)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files just written are taken for settled; nobody can set their inodes' times back."""
    monkeypatch.setattr(hashing, "_RACY_NS", -1)


def weights(directory: Path, name: str = "model.safetensors") -> Path:
    path = directory / name
    path.write_bytes(CONTENT)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def poison(cache: Path) -> None:
    """Change every remembered sha256, so that an answer tells whether it was remembered."""
    data = json.loads(cache.read_text())
    for entry in data["files"].values():
        entry["sha256"] = "f" * 64
    cache.write_text(json.dumps(data))


def one(path: Path, cache: Path | None, algorithm: Algorithm = "sha256") -> str | UnreadableFile:
    return hash_files([(path, algorithm)], cache=cache)[path, algorithm]


def test_hashes(tmp_path: Path) -> None:
    path = weights(tmp_path)
    assert hash_file(path) == SHA256
    assert hash_file(path, "git-sha1") == GIT
    (tmp_path / "empty").write_bytes(b"")
    assert hash_file(tmp_path / "empty", "git-sha1") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_many_at_once_with_progress(tmp_path: Path) -> None:
    paths = [weights(tmp_path, f"{n}.safetensors") for n in range(5)]
    seen: list[int] = []
    found = hash_files([(p, a) for p in paths for a in ("sha256", "git-sha1")], workers=4, progress=seen.append)
    assert set(found.values()) == {SHA256, GIT}
    assert len(found) == 10
    assert sum(seen) == 10 * len(CONTENT)
    assert hash_files([]) == {}


def test_remembered_while_nothing_changes(tmp_path: Path) -> None:
    path, cache = weights(tmp_path), tmp_path / "deep/er/hashes.json"
    both: list[tuple[Path, Algorithm]] = [(path, "sha256"), (path, "git-sha1")]
    assert set(hash_files(both, cache=cache).values()) == {SHA256, GIT}
    poison(cache)
    seen: list[int] = []
    found = hash_files(both, cache=cache, progress=seen.append)
    assert list(found.values()) == ["f" * 64, GIT]
    assert sum(seen) == 2 * len(CONTENT)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    assert os.listdir(cache.parent) == ["hashes.json"]


def test_forgotten_when_time_size_or_inode_change(tmp_path: Path) -> None:
    path, cache = weights(tmp_path), tmp_path / "hashes.json"
    one(path, cache)
    poison(cache)
    os.utime(path, (1_700_000_000, 1_700_000_001))
    assert one(path, cache) == SHA256
    poison(cache)
    os.replace(weights(tmp_path, "copy"), path)
    os.utime(path, (1_700_000_000, 1_700_000_001))
    assert one(path, cache) == SHA256


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_RACY_NS", 2_000_000_000)
    cache = tmp_path / "hashes.json"
    assert one(weights(tmp_path), cache) == SHA256  # its date was set back
    assert not cache.exists()


def test_a_file_rewritten_in_place_is_hashed_again_although_its_date_was_set_back(tmp_path: Path) -> None:
    path, cache = weights(tmp_path), tmp_path / "hashes.json"
    before = path.stat()
    assert one(path, cache) == SHA256
    with path.open("r+b") as file:  # as unpacking a second archive over the first one does
        file.write(bytes(len(CONTENT)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    assert one(path, cache) == hashlib.sha256(bytes(len(CONTENT))).hexdigest()


def test_a_cache_of_the_version_that_did_not_look_at_ctime_is_not_believed(tmp_path: Path) -> None:
    path, cache = weights(tmp_path), tmp_path / "hashes.json"
    status = path.stat()
    identity = [status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev]
    entry = {"identity": identity, "fingerprint": [*Fingerprint.of(status)], "sha256": "f" * 64}
    cache.write_text(json.dumps({"version": 1, "files": {str(path): entry}}))
    assert one(path, cache) == SHA256


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 3, "files": {}}',
        '{"version": 2, "files": []}',
        '{"version": 2, "files": {"PATH": 7}}',
        '{"version": 2, "files": {"PATH": {"fingerprint": "FINGERPRINT", "sha256": "short"}}}',
        '{"version": 2, "files": {"PATH": {"fingerprint": "FINGERPRINT", "sha256": null}}}',
    ],
)
def test_a_broken_cache_is_an_empty_one(tmp_path: Path, text: str) -> None:
    path, cache = weights(tmp_path), tmp_path / "hashes.json"
    found = json.dumps(Fingerprint.of(path.stat()))
    cache.write_text(text.replace("PATH", str(path)).replace('"FINGERPRINT"', found))
    assert one(path, cache) == SHA256
    poison(cache)
    assert one(path, cache) == "f" * 64


def test_a_cache_that_cannot_be_written_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    assert one(weights(tmp_path), tmp_path / "file/hashes.json") == SHA256


def test_another_runs_entries_are_kept(tmp_path: Path) -> None:
    cache = tmp_path / "hashes.json"
    first, second = weights(tmp_path, "first"), weights(tmp_path, "second")
    one(first, cache)
    one(second, cache)
    assert json.loads(cache.read_text())["files"].keys() == {str(first), str(second)}


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "absent", tmp_path / "pipe", tmp_path, Path("a\0b")):
        assert isinstance(one(path, None), UnreadableFile)
    with pytest.raises(UnreadableFile, match="no such file"):
        hash_file(tmp_path / "absent")


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = weights(tmp_path)

    def grow(_: int) -> None:
        with path.open("ab") as file:
            file.write(b"x")

    def rewrite(_: int) -> None:
        os.utime(path, (1_700_000_000, 1_700_000_001))

    for change in (grow, rewrite):
        found = hash_files([(path, "sha256")], cache=tmp_path / "hashes.json", progress=change)
        assert str(found[path, "sha256"]) == "changed while it was being read"
    assert not (tmp_path / "hashes.json").exists()
