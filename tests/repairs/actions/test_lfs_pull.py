"""Git LFS pointers, replaced by what they stand for: real git, real git-lfs, and a remote that is a directory.

git-lfs fetches from `file://` remotes by itself (its built-in standalone transfer), so nothing here needs a network;
what is not tried is a remote over HTTP or SSH. Without git-lfs this file is not collected (`conftest.py`);
what the doctor says then is held by `test_file_repairs.py` everywhere.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from sage_doctor.repairs.actions import lfs_pull
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


@pytest.mark.parametrize("where", ["config.worktree", "included"])
def test_every_file_of_the_repositorys_configuration_is_looked_at(
    fixer: Fixer, clone: Path, tmp_path: Path, where: str
) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/hacked\n")
    trap.chmod(0o755)
    top = clone.parents[1]
    git(top, "config", "extensions.worktreeConfig", "true")
    words = ["--worktree"] if where == "config.worktree" else ["--file", str(top / "more")]
    git(top, "config", *words, "lfs.customtransfer.evil.path", str(trap))
    git(top, "config", *words, "lfs.standalonetransferagent", "evil")
    if where == "included":
        git(top, "config", "include.path", "../more")
    done = fixer()
    assert [(a.status, ".git/config" in a.reason) for a in done.attempts] == [("refused", True)]
    assert not (tmp_path / "hacked").exists()


@pytest.mark.usefixtures("clone")
def test_the_users_own_programs_are_told_and_allowed(
    fixer: Fixer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gitconfig").write_text("[credential]\n\thelper = store\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    assert fixer.statuses() == [("lfs-pull", "repaired")]
    assert f"your own configuration names credential.helper ({tmp_path}/gitconfig)" in (fixer.plans[0].runs or "")


@pytest.mark.parametrize("how", ["lfsconfig", "insteadOf", "remote"])
def test_the_plan_names_the_server_that_is_asked_and_no_token(fixer: Fixer, clone: Path, how: str) -> None:
    top = clone.parents[1]
    url = "https://user:S1SECRET@127.0.0.1:1/there"
    if how == "lfsconfig":
        (top / ".lfsconfig").write_text(f"[lfs]\n\turl = {url}\n")
    elif how == "insteadOf":
        git(top, "config", f"url.{url}.insteadOf", git(top, "remote", "get-url", "origin").strip())
    else:
        git(top, "remote", "set-url", "origin", url)
    done = fixer()
    (plan,) = fixer.plans
    assert "from https://***@127.0.0.1:1/there" in plan.action
    assert plan.network
    assert [a.status for a in done.attempts] == ["failed"]
    assert "SECRET" not in "\n".join((str(plan), done.attempts[0].reason, fixer.journal.path.read_text()))


def test_a_work_tree_elsewhere_is_refused(fixer: Fixer, clone: Path, tmp_path: Path) -> None:
    git(clone, "config", "core.worktree", str(tmp_path))
    assert fixer.statuses() == [("lfs-pull", "refused")]


def test_a_server_that_drips_is_left(fixer: Fixer, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()

    class Drip(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.git-lfs+json")
            self.end_headers()
            with contextlib.suppress(OSError):
                while not stop.wait(0.1):
                    self.wfile.write(b" ")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Drip)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(lfs_pull, "STALLED_S", (1.0, 1.0))
    git(clone, "remote", "set-url", "origin", f"http://127.0.0.1:{server.server_port}/x.git")
    before = contents(clone)
    begun = time.monotonic()
    done = fixer()
    stop.set()
    server.shutdown()
    server.server_close()
    assert time.monotonic() - begun < 10
    assert [(a.status, "received nothing for 1.0 s and was ended" in a.reason) for a in done.attempts] == [
        ("failed", True)
    ]
    assert contents(clone) == before
    assert not (clone.parents[1] / ".git" / "index.lock").exists()


def test_a_remote_without_the_file_leaves_the_pointer(fixer: Fixer, clone: Path) -> None:
    shutil.rmtree(clone.parents[3] / "remote.git" / "lfs")
    before = contents(clone)
    done = fixer()
    assert [a.status for a in done.attempts] == ["failed"]
    assert "git lfs pull failed (exit code 2): " in done.attempts[0].reason
    assert contents(clone) == before


def test_the_pointer_comes_back_where_the_checks_are_not_content(
    fixer: Fixer, clone: Path, failing_verification: Sequence[str]
) -> None:
    before = contents(clone)
    assert fixer.statuses() == [("lfs-pull", "rolled-back")]
    assert failing_verification
    assert contents(clone) == before
