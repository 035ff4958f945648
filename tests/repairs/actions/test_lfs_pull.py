"""Git LFS pointers, replaced by what they stand for: real git, real git-lfs, and a remote that is a directory.

git-lfs fetches from `file://` remotes by itself (its built-in standalone transfer), so nothing here needs a network;
what is not tried is a remote over HTTP or SSH. Without git-lfs this file is not collected (`conftest.py`);
what the doctor says then is held by `test_file_repairs.py` everywhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.model_directories import MODEL, write_full
from tests.repairs.conftest import Fixer, contents

POINTER = b"version https://git-lfs.github.com/spec/v1\n"


def git(where: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(where), *words], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def clone(fixer: Fixer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone made without git-lfs: the model's weights are a pointer. Returns the model's directory."""
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    source, remote = tmp_path / "source", tmp_path / "remote.git"
    write_full(source / "zoo" / "model")
    git(tmp_path, "init", "--quiet", str(source))
    (source / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    git(source, "lfs", "install", "--local", "--skip-repo")
    git(source, "add", "--all")
    git(source, "-c", "user.name=x", "-c", "user.email=x@y", "commit", "--quiet", "--message", "a model")
    git(tmp_path, "clone", "--quiet", "--bare", str(source), str(remote))
    git(source, "remote", "add", "origin", remote.as_uri())
    git(source, "lfs", "push", "--all", "origin")
    git(tmp_path, "clone", "--quiet", remote.as_uri(), str(fixer.root / "clone"))
    model = fixer.root / "clone" / "zoo" / "model"
    assert (model / MODEL).read_bytes().startswith(POINTER)
    return model


def test_the_weights_are_fetched(fixer: Fixer, clone: Path) -> None:
    done = fixer()
    assert [(a.repair, a.status, a.reason) for a in done.attempts] == [("lfs-pull", "repaired", "")]
    assert done.after.exit_code == 0
    assert (clone / MODEL).read_bytes() == (clone.parents[3] / "source" / "zoo" / "model" / MODEL).read_bytes()
    assert not fixer.plans[0].network


def test_hooks_of_the_repository_are_not_run(fixer: Fixer, clone: Path, tmp_path: Path) -> None:
    hooks = clone.parents[1] / ".git" / "hooks"
    for name in ("post-checkout", "post-merge", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/hacked\n")
        (hooks / name).chmod(0o755)
    assert fixer.statuses() == [("lfs-pull", "repaired")]
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    "setting",
    [
        "lfs.customtransfer.evil.path",
        "lfs.standalonetransferagent",
        "lfs.extension.evil.smudge",
        "core.sshCommand",
        "core.fsmonitor",
        "credential.helper",
        "filter.lfs.smudge",
        "filter.other.smudge",
    ],
)
def test_a_repository_that_names_programs_is_refused(fixer: Fixer, clone: Path, tmp_path: Path, setting: str) -> None:
    git(clone, "config", setting, f"touch {tmp_path}/hacked")
    done = fixer()
    assert [(a.status, setting.lower() in a.reason.lower()) for a in done.attempts] == [("refused", True)]
    assert not (tmp_path / "hacked").exists()
    assert (clone / MODEL).read_bytes().startswith(POINTER)


def test_a_remote_without_the_file_leaves_the_pointer(fixer: Fixer, clone: Path) -> None:
    shutil.rmtree(clone.parents[3] / "remote.git" / "lfs")
    before = contents(clone)
    done = fixer()
    assert [a.status for a in done.attempts] == ["failed"]
    assert "git lfs pull failed (exit code" in done.attempts[0].reason
    assert contents(clone) == before


def test_the_pointer_comes_back_where_the_checks_are_not_content(
    fixer: Fixer, clone: Path, failing_verification: Sequence[str]
) -> None:
    before = contents(clone)
    assert fixer.statuses() == [("lfs-pull", "rolled-back")]
    assert failing_verification
    assert contents(clone) == before
