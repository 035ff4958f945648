import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sage_doctor.system.path_info import (
    PathInfo,
    UnreadableFile,
    exists,
    inspect_path,
    read_range,
    read_start,
    readable_by,
)


@contextmanager
def without_rights() -> Iterator[None]:
    """Act as a user to whom mode bits apply: root reads everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_and_directories(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"seven b")
    path.chmod(0o640)
    node = inspect_path(path)
    status = path.stat()
    assert (node.kind, node.size, node.mode, node.uid, node.is_link) == ("file", 7, 0o640, os.getuid(), False)
    assert (node.inode, node.device, node.mtime_ns) == (status.st_ino, status.st_dev, status.st_mtime_ns)
    assert inspect_path(tmp_path).kind == "directory"
    (tmp_path / "link").symlink_to("file")
    link = inspect_path(tmp_path / "link")
    assert (link.kind, link.size, link.is_link, link.inode) == ("file", 7, True, status.st_ino)


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "through a file").symlink_to("file/below")
    assert inspect_path(tmp_path / "absent").kind == "missing"
    assert inspect_path(tmp_path / "file/below").kind == "missing"
    assert inspect_path("a\0b").kind == "missing"
    assert inspect_path(tmp_path / "dangling").detail == "a link to nowhere, which is not there"
    assert inspect_path(tmp_path / "through a file").kind == "dangling"
    assert (inspect_path(tmp_path / "self").kind, inspect_path(tmp_path / "self/below").kind) == ("loop", "loop")
    assert inspect_path(tmp_path / ("x" * 300)) == PathInfo(kind="unreadable", detail="file name too long")


def test_what_may_not_be_looked_at(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "file").touch()
    (tmp_path / "link").symlink_to("closed/file")
    tmp_path.chmod(0o755)
    parents = [
        p for p in tmp_path.parents if p.stat().st_uid == os.getuid() and p.name.startswith(("pytest-", "popen-"))
    ]
    for p in parents:
        p.chmod(0o755)
    closed.chmod(0)
    with without_rights():
        behind, link = inspect_path(closed / "file"), inspect_path(tmp_path / "link")
        with pytest.raises(UnreadableFile, match=r"^permission denied$"):
            read_start(closed / "file", 1)
    closed.chmod(0o700)
    assert (behind.kind, behind.detail) == ("unreadable", "permission denied")
    assert (link.kind, link.is_link) == ("unreadable", True)


def test_ranges(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)))
    assert read_start(path, 3) == b"\0\1\2"
    assert read_range(path, 250, 100) == bytes(range(250, 256))
    assert read_range(path, 256, 1) == b""
    assert read_range(path, 0, 0) == b""
    with path.open("r+b") as file:
        file.truncate(40_000_000)
    assert len(read_range(path, 1, 1 << 62)) == 39_999_999


def test_reading_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("directory").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    said = {}
    for path in ("pipe", "directory", "socket", "/dev/zero", "/dev/tty", "absent", "a\0b"):
        with pytest.raises(UnreadableFile) as caught:
            read_start(path, 1 << 40)
        said[path] = str(caught.value)
    assert said.pop("/dev/tty") in ("a character device, not a file", "no such device or address")
    assert said == {
        "pipe": "a named pipe, not a file",
        "directory": "a directory, not a file",
        "socket": "no such device or address",
        "/dev/zero": "a character device, not a file",
        "absent": "no such file or directory",
        "a\0b": "embedded null byte",
    }


def test_special_files_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert inspect_path(tmp_path / "pipe").detail == "a named pipe"
    assert (inspect_path("/dev/null").kind, inspect_path("/dev/null").detail) == ("special", "a character device")


@pytest.mark.parametrize(
    "mode, uid, gids, readable",
    [
        (0o400, 7, (), True),
        (0o044, 7, (70,), False),  # the owner's bits count for the owner, whatever the others say
        (0o040, 8, (70,), True),
        (0o404, 8, (70,), False),  # likewise for the group
        (0o040, 8, (71,), False),
        (0o004, 8, (), True),
    ],
)
def test_mode_bits(mode: int, uid: int, gids: tuple[int, ...], readable: bool) -> None:
    node = PathInfo(kind="file", mode=mode, uid=7)
    assert readable_by(node, uid, frozenset(gids), owner_gid=70) is readable


def test_exists(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    assert [exists(tmp_path), exists(Path("/dev/null")), exists(tmp_path / "dangling")] == [True, True, False]
