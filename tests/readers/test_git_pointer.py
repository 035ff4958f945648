import hashlib
import os
import subprocess
from pathlib import Path

from sage_doctor.readers.git_pointer import find_work_tree, index_hashes

ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}
WEIGHTS = b"weights" * 1000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{DIGEST}\nsize {len(WEIGHTS)}\n".encode()


def git(top: Path, *words: str) -> str:
    command = ["git", "-c", "init.defaultBranch=main", "-C", str(top), *words]
    return subprocess.run(command, check=True, env=ENV, capture_output=True, text=True, timeout=60).stdout.strip()


def zoo(top: Path) -> Path:
    """Make a repository whose index holds a pointer and a plain file; the work tree has the smudged weights."""
    model = top / "zoo/model"
    model.mkdir(parents=True)
    git(top, "init", "-q")
    (model / "model.safetensors").write_bytes(POINTER)
    (model / "adapter.safetensors").write_bytes(WEIGHTS)
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "models")
    (model / "model.safetensors").write_bytes(WEIGHTS)
    (model / "untracked").write_text("x")
    return model


NAMES = ["model.safetensors", "adapter.safetensors", "untracked", "absent", "../../outside"]


def test_pointers_and_plain_blobs_of_the_index(tmp_path: Path) -> None:
    model = zoo(tmp_path)
    found = index_hashes(model, NAMES)
    assert found.keys() == {"model.safetensors", "adapter.safetensors"}
    assert (found["model.safetensors"].algorithm, found["model.safetensors"].hex) == ("sha256", DIGEST)
    plain = git(tmp_path, "hash-object", str(model / "adapter.safetensors"))
    assert (found["adapter.safetensors"].algorithm, found["adapter.safetensors"].hex) == ("git-sha1", plain)


def test_packed_objects_and_a_linked_work_tree(tmp_path: Path) -> None:
    main = tmp_path / "main"
    main.mkdir()
    zoo(main)
    git(main, "gc", "-q")
    git(main, "worktree", "add", "-q", str(tmp_path / "linked"))
    found = index_hashes(tmp_path / "linked/zoo/model", ["model.safetensors"])
    assert found["model.safetensors"].hex == DIGEST


def test_strange_names(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    names = ["*", ":(top)x", "-a", "tab\tname", "line\nend"]
    for name in names:
        (tmp_path / name).write_bytes(POINTER)
    git(tmp_path, "add", "--all")
    assert index_hashes(tmp_path, names).keys() == set(names)
    assert index_hashes(tmp_path, ["t*"]) == {}


def test_programs_that_a_hostile_repository_configures_are_not_run(tmp_path: Path) -> None:
    model = zoo(tmp_path)
    oid = git(tmp_path, "rev-parse", ":zoo/model/adapter.safetensors")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\necho ran > '{tmp_path}/ran'\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "core.sshCommand", "core.alternateRefsCommand", "core.pager", "core.gitProxy"):
        git(tmp_path, "config", key, str(trap))
    git(tmp_path, "config", "core.hooksPath", str(tmp_path))
    # an object that lacks would be fetched from the promisor, by whatever program its address names
    for key, value in {
        "extensions.partialClone": "origin",
        "core.repositoryFormatVersion": "1",
        "protocol.ext.allow": "always",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::{trap} %S",
    }.items():
        git(tmp_path, "config", key, value)
    (tmp_path / ".git/objects" / oid[:2] / oid[2:]).unlink()
    for words in (["ls-files"], ["cat-file", "blob", oid]):  # the traps are real: plain Git steps into both
        subprocess.run(["git", "-C", str(tmp_path), *words], check=False, env=ENV, capture_output=True, timeout=60)
        assert (tmp_path / "ran").exists(), words
        (tmp_path / "ran").unlink()
    found = index_hashes(model, NAMES)
    assert not (tmp_path / "ran").exists()
    assert found["model.safetensors"].hex == DIGEST
    assert found["adapter.safetensors"].hex == oid


def test_nothing_is_written_into_the_repository(tmp_path: Path) -> None:
    model = zoo(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / ".git").rglob("*")}
    index_hashes(model, NAMES)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / ".git").rglob("*")} == before


def test_no_work_tree_or_a_broken_one(tmp_path: Path) -> None:
    assert find_work_tree(tmp_path / "absent") is None
    top = tmp_path / "top"
    model = top / "zoo/model"
    model.mkdir(parents=True)
    (top / ".git").write_text("gitdir: /nowhere\n")
    assert index_hashes(model, NAMES) == {}
    (top / ".git").write_text("something else")
    assert index_hashes(model, NAMES) == {}
    (top / ".git").unlink()
    (top / ".git/objects").mkdir(parents=True)
    (top / ".git/index").write_bytes(b"DIRCgarbage")
    assert index_hashes(model, NAMES) == {}
    (top / ".git/index").unlink()
    os.mkfifo(top / ".git/index")
    assert index_hashes(model, NAMES) == {}
