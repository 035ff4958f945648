"""Finding the manifest's file, and files that are none."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sage_doctor.errors import ManifestError
from sage_doctor.manifest.load import FILE_NAME, MOST_BYTES, find_manifest, load_for_host
from tests.other_hosts import load_manifest


def fault(path: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        load_manifest(path, environ={}, hostname="h", device_tree=None, home=Path("/home/me"))
    [problem] = caught.value.problems
    return problem


def write(path: Path, text: str | bytes = "schema = 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_missing_directory_pipe_socket_and_loop_are_named_and_never_wait(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    assert fault(path) == f"{path}: no such file; `sage-doctor init` writes one"
    path.mkdir()
    assert fault(path) == f"{path}: a directory, not a manifest file"
    path.rmdir()
    os.mkfifo(path)
    assert fault(path) == f"{path}: a named pipe, not a manifest file"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert fault(path) == f"{path}: a socket, not a manifest file"
    path.unlink()
    path.symlink_to(FILE_NAME)
    assert "leads back to itself" in fault(path)
    path.unlink()
    path.symlink_to("gone")
    assert "a link to gone, which is not there" in fault(path)
    assert "NUL" not in fault(tmp_path / "a\0b")


def test_size_encoding_and_syntax(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    write(path, b"#" * (MOST_BYTES + 1))
    assert fault(path) == f"{path}: 1,048,577 bytes; a manifest has at most 1,048,576 bytes (1 MiB)"
    write(path, b"schema = 1\nx = '\xff'")
    assert fault(path) == f"{path}:2: not UTF-8 text (byte 0xff); save it as UTF-8"
    write(path, "schema = 1".encode("utf-16"))
    assert fault(path) == f"{path}:1: UTF-16 text; save it as UTF-8"
    write(path, "schema = 1\n\nx = \n")
    assert fault(path) == f"{path}:3: not valid TOML: Invalid value (column 5)"
    write(path, "schema = 1\n[vars]\na = '''\n\n")
    assert fault(path).startswith(f"{path}:3: not valid TOML: ")
    write(path, "schema = 1\nschema = 1")
    assert fault(path).startswith(f"{path}:2: not valid TOML: Cannot overwrite a value")
    write(path, "schema = 1\nx = '\x1b[31m'")
    assert "\x1b" not in fault(path)
    write(path, "schema = " + "9" * 10_000)
    assert "not a manifest" in fault(path)
    write(path, "schema = 1\na = " + "[" * 100_000)
    assert fault(path) == f"{path}:2: nested too deeply for a manifest"


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "1: schema is missing: write `schema = 1` at the top"),
        ("\nschema = 2\nmodles = 1", "2: schema must be 1, not the number 2; a newer sage-doctor may read it"),
        ("schema = 0\nmodles = 1", "1: schema must be 1, not the number 0"),
        ("schema = true", "1: schema must be 1, not the boolean true"),
        ("schema = '1'", "1: schema must be 1, not the string '1'"),
    ],
)
def test_another_schema_is_the_only_problem_told(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path / FILE_NAME, text)
    assert fault(path) == f"{path}:{problem}"


def test_exactly_one_mebibyte_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    start = b"\xef\xbb\xbfschema = 1\n"
    path = write(tmp_path / "m.toml", start + b"#" * (MOST_BYTES - len(start)))
    assert load_for_host(path).models == {}


def test_the_path_is_shown_as_short_as_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "sub" / FILE_NAME, "")
    problem = "1: schema is missing: write `schema = 1` at the top"
    monkeypatch.chdir(tmp_path)
    assert fault(tmp_path / "sub" / FILE_NAME) == f"sub/{FILE_NAME}:{problem}"
    assert fault(Path("sub", FILE_NAME)) == f"sub/{FILE_NAME}:{problem}"
    monkeypatch.chdir(tmp_path / "sub")
    assert fault(Path("..", "sub", FILE_NAME)) == f"../sub/{FILE_NAME}:{problem}"
    monkeypatch.chdir("/")
    assert fault(tmp_path / "sub" / FILE_NAME) == f"{str(tmp_path)[1:]}/sub/{FILE_NAME}:{problem}"


def test_a_deleted_working_directory_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / FILE_NAME)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert load_for_host(path).path == path
    assert "no such file" in fault(Path("relative.toml"))


def test_links_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "real" / FILE_NAME, "schema = 1\n[models.m]\nkind = 'full'\npath = '../zoo/m'\n")
    (tmp_path / "link").symlink_to("real")
    manifest = load_for_host(tmp_path / "link" / FILE_NAME)
    assert manifest.directory == tmp_path / "link"
    assert str(manifest.models["m"].path.path) == f"{tmp_path}/link/../zoo/m"


def test_the_nearest_manifest_upwards_comes_first(tmp_path: Path) -> None:
    outer = write(tmp_path / FILE_NAME)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    named = {"SAGE_DOCTOR_MANIFEST": "/named.toml"}
    assert find_manifest(deep, named) == outer
    inner = write(tmp_path / "a" / FILE_NAME)
    assert find_manifest(deep, named) == inner
    assert find_manifest(tmp_path, named) == outer


def test_a_nearer_thing_that_is_no_file_is_found_too_so_that_loading_says_so(tmp_path: Path) -> None:
    write(tmp_path / FILE_NAME)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / FILE_NAME).symlink_to("gone")
    assert find_manifest(tmp_path / "a", {}) == tmp_path / "a" / FILE_NAME


def test_then_the_environment_then_the_users_own(tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    home = {"HOME": str(tmp_path / "home")}
    config = {**home, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert find_manifest(start, home) is None
    users = write(tmp_path / "home" / ".config" / "sage-doctor" / FILE_NAME)
    assert find_manifest(start, home) == users
    assert find_manifest(start, config) is None
    assert find_manifest(start, {**home, "XDG_CONFIG_HOME": "relative"}) == users
    theirs = write(tmp_path / "config" / "sage-doctor" / FILE_NAME)
    assert find_manifest(start, config) == theirs
    named = find_manifest(start, {**config, "SAGE_DOCTOR_MANIFEST": str(tmp_path / "gone.toml")})
    assert named == tmp_path / "gone.toml"


def test_a_strangers_manifest_where_everybody_may_write_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / FILE_NAME)
    stranger = os.getuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)  # to this user, our file is somebody else's …
    if path.stat().st_uid == 0:
        os.chown(path, stranger + 1, -1)
    tmp_path.chmod(0o1777)
    assert find_manifest(tmp_path, {"HOME": str(tmp_path)}) is None


def test_this_host_is_what_the_host_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("ZOO", "/zoo")
    monkeypatch.delenv("SAGE_MACHINE", raising=False)
    text = """schema = 1
        machines.this.match.hostname = "HOST"
        models.m = { kind = "full", path = "~/{env:ZOO}" }"""
    path = write(tmp_path / FILE_NAME, text.replace("HOST", os.uname().nodename))
    manifest = load_for_host(path)
    assert manifest.machine is not None
    assert manifest.machine.name == "this"
    assert manifest.models["m"].path.text == "/home/somebody//zoo"
