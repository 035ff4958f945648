"""Git is asked without anything that lies in the checkout being run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sage_doctor.system.git import git


def really(directory: Path, *words: str) -> None:
    author = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    subprocess.run(["git", "-C", str(directory), *author, *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose configuration names a program wherever one may be named."""
    tree = tmp_path / "tree"
    tree.mkdir()
    really(tree, "init", "-q")
    (tree / "a.txt").write_text("one\n")
    (tree / ".gitattributes").write_text("*.txt filter=evil diff=evil\n")
    really(tree, "add", ".")
    really(tree, "commit", "-qm", "one")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\ncat\n")
    trap.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        (hooks / hook).write_text(trap.read_text())
        (hooks / hook).chmod(0o755)
    settings = {
        "core.fsmonitor": str(trap),
        "core.hooksPath": str(hooks),
        "core.sshCommand": str(trap),
        "core.pager": str(trap),
        "filter.evil.clean": str(trap),
        "filter.evil.smudge": str(trap),
        "filter.evil.process": str(trap),
        "filter.evil.required": "true",
        "diff.evil.command": str(trap),
        "diff.external": str(trap),
        "log.showSignature": "true",
        "gpg.program": str(trap),
    }
    for name, value in settings.items():
        really(tree, "config", name, value)
    (tree / "a.txt").write_text("two\n")
    return tree


@pytest.mark.parametrize(
    "words, said",
    [
        (["diff", "--name-only", "HEAD", "--"], "a.txt\n"),
        (["diff", "HEAD", "--stat", "--"], None),
        (["status", "--porcelain"], " M a.txt\n"),
        (["ls-files", "--others"], ""),
        (["log", "--format=%s"], "one\n"),
    ],
)
def test_nothing_of_the_checkout_is_run(checkout: Path, words: list[str], said: str | None) -> None:
    done = git(words, checkout)
    assert done is not None
    assert (done.code, done.text) == (0, done.text if said is None else said), done.err
    assert not (checkout.parent / "sprung").exists()


@pytest.mark.parametrize("words", [["status", "--porcelain"], ["diff", "--name-only", "HEAD", "--"]])
def test_nothing_of_a_submodule_is_run(checkout: Path, tmp_path: Path, words: list[str]) -> None:
    outer = tmp_path / "outer"
    really(tmp_path, "init", "-q", str(outer))
    really(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(checkout), "sub")
    really(outer, "commit", "-qm", "one")
    really(outer, "config", "submodule.sub.ignore", "none")
    really(outer, "config", "status.submoduleSummary", "true")
    for name in ("filter.evil.clean", "core.fsmonitor"):
        really(outer / "sub", "config", name, str(tmp_path / "trap"))
    (outer / "sub" / "a.txt").write_text("two\n")
    (tmp_path / "sprung").unlink(missing_ok=True)
    done = git(words, outer)
    assert done is not None
    assert (done.code, done.text) == (0, "")
    assert not (tmp_path / "sprung").exists()


def test_a_filter_that_cannot_be_switched_off(checkout: Path) -> None:
    really(checkout, "config", "filter.a=b.clean", "true")
    assert git(["status", "--porcelain"], checkout) is None


def test_another_repository_named_by_the_environment_is_not_meant(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    done = git(["rev-parse", "--show-toplevel"], checkout)
    assert done is not None
    assert done.text.strip() == os.path.realpath(checkout)


def test_nothing_is_fetched(checkout: Path) -> None:
    done = git(["fetch", str(checkout)], checkout)
    assert done is not None
    assert done.code != 0
    assert "not allowed" in done.last_error + done.err.decode()


def test_without_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert git(["status"], checkout) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a checkout of another user")
def test_a_checkout_of_another_user_is_believed_where_the_users_configuration_says_so(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for place in (checkout, checkout / ".git"):
        os.chown(place, 12345, 12345)
    refused = git(["ls-files"], checkout)
    assert refused is not None
    assert refused.code != 0
    (tmp_path / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    believed = git(["ls-files"], checkout)
    assert believed is not None
    assert believed.text == ".gitattributes\na.txt\n"
