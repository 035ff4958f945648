"""Which manifests are passed over on the way upwards, because somebody else may have written them."""

from __future__ import annotations

import os
import pwd
import shutil
import types
from pathlib import Path

import pytest

from sage_doctor.manifest import load, trust
from sage_doctor.manifest.load import FILE_NAME, find_manifest
from sage_doctor.system.trust import is_private_group
from tests.model_directories import write_adapter, write_full, write_json

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
STRANGER = 54321


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    directory = tmp_path / "repo"
    directory.mkdir()
    directory.chmod(0o755)
    (directory / FILE_NAME).write_text("schema = 1\n")
    return directory


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_reported", set())


def found(start: Path) -> bool:
    return find_manifest(start, {"HOME": "/nowhere"}) is not None


def passed_over(start: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is said of a manifest that is passed over; searched twice, it is said once."""
    assert not found(start)
    assert not found(start)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{FILE_NAME} is passed over: " in line
    assert line.endswith("; if you trust it, name it with --manifest")
    return line


@pytest.mark.parametrize("where", [".", "examples", "a/b/c"])
@pytest.mark.parametrize("kind", ["full", "adapter", "only config.json"])
def test_in_or_below_a_model_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str, kind: str
) -> None:
    model = tmp_path / "model"
    if kind == "adapter":
        write_adapter(model, None, tensors={})
    elif kind == "full":
        write_full(model)
    else:
        model.mkdir()
        write_json(model / "config.json", {"model_type": "llama"})
    (model / where).mkdir(parents=True, exist_ok=True)
    (model / where / FILE_NAME).write_text("schema = 1\n")
    assert "in a model directory" in passed_over(model / where, capsys)


@pytest.mark.parametrize("name", ["model.safetensors", "x-q4.GGUF", "pytorch_model.bin", "tokenizer.json"])
def test_beside_weights_without_a_config(repo: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (repo / name).touch()
    assert f"({name} is beside it)" in passed_over(repo, capsys)


@pytest.mark.parametrize("mark", [".cache/huggingface/download", "models--org--name/snapshots/{}"])
def test_in_a_download(tmp_path: Path, capsys: pytest.CaptureFixture[str], mark: str) -> None:
    place = tmp_path / mark.format("a" * 40)
    place.mkdir(parents=True)
    top = place if "snapshots" in mark else tmp_path
    (top / FILE_NAME).write_text("schema = 1\n")
    assert "in a download from the Hugging Face hub" in passed_over(top, capsys)


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize(
    "what, mode, words",
    [
        (FILE_NAME, 0o666, "every user can write it"),
        (".", 0o777, "every user can write its directory"),
        (FILE_NAME, 0o664, "other users of group "),
        (".", 0o775, "other users of group "),
    ],
)
@root_only
def test_others_can_write_it(
    repo: Path, capsys: pytest.CaptureFixture[str], what: str, mode: int, words: str, *, link: bool
) -> None:
    os.chown(repo / what, -1, STRANGER)
    (repo / what).chmod(mode)
    start = repo
    if link:
        start = repo.parent / "mine"
        start.mkdir()
        (start / FILE_NAME).symlink_to(repo / FILE_NAME)
    assert words in passed_over(start, capsys)


@root_only
def test_another_users(repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_CONTAINER", ())
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("SUDO_UID", raising=False)
    os.chown(repo / FILE_NAME, STRANGER, STRANGER)
    assert f"it belongs to another user ({STRANGER})" in passed_over(repo, capsys)
    os.chown(repo, STRANGER, STRANGER)
    monkeypatch.setenv("SUDO_UID", str(STRANGER))
    assert found(repo)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER + 1)
    assert not found(repo)


@root_only
def test_roots_checkout_in_ci_belongs_to_somebody_outside(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    for path in (repo, repo / FILE_NAME):
        os.chown(path, STRANGER, STRANGER)
        path.chmod(path.stat().st_mode | 0o020)  # umask 002, in a group that has no name here
    assert found(repo)
    assert capsys.readouterr().err == ""
    repo.chmod(0o1777)
    assert not found(repo)


@root_only
def test_umask_002_in_a_group_of_ones_own(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = types.SimpleNamespace(pw_name="me")
    group = types.SimpleNamespace(gr_name="me", gr_mem=[])
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: user)
    monkeypatch.setattr("grp.getgrgid", lambda _gid: group)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    for path in (repo, repo / FILE_NAME):
        os.chown(path, STRANGER, STRANGER)
        path.chmod(path.stat().st_mode | 0o020)
    is_private_group.cache_clear()
    assert found(repo)
    is_private_group.cache_clear()
    group.gr_mem = ["me", "you"]
    assert not found(repo)
    is_private_group.cache_clear()


def test_what_is_no_model(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / "config.json").write_text('{"port": 80}')
    (repo / "data.json").touch()
    write_full(repo / "models" / "m")
    shutil.copytree(repo / "models" / "m", repo.parent / "sibling")
    (repo.parent / ".cache" / "huggingface" / "hub").mkdir(parents=True)
    assert found(repo)
    assert found(repo / "models" / "m")
    assert capsys.readouterr().err == ""


def test_file_systems_without_modes(monkeypatch: pytest.MonkeyPatch, repo: Path) -> None:
    (repo / FILE_NAME).chmod(0o777)
    repo.chmod(0o777)
    status = repo.stat()
    number = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    drive = f"90 60 {number} / /mnt/c rw - 9p C:\\134 rw,dirsync,aname=drvfs;path=C:\\;uid=1000\n"
    monkeypatch.setattr(trust, "read_start", lambda *_: drive.encode())
    assert trust.why_not_trusted(repo / FILE_NAME) == ""
    monkeypatch.setattr(trust, "read_start", lambda *_: drive.replace("drvfs", "share").encode())
    assert "every user" in trust.why_not_trusted(repo / FILE_NAME)
