"""Opening files that may be anything: pipes, sockets, devices, directories and loops never block or surprise."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Literal

from sage_doctor.system.frozen import frozen

NodeKind = Literal["file", "directory", "missing", "dangling", "loop", "special", "unreadable"]

_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@frozen
class PathInfo:
    """What lies at a path, links followed. `detail` says more where the kind is not `file` or `directory`."""

    kind: NodeKind
    size: int = 0
    mode: int = 0
    uid: int = -1
    mtime_ns: int = 0
    inode: int = 0
    device: int = 0
    is_link: bool = False
    detail: str = ""


class UnreadableFile(OSError):
    """A file cannot be read as data; the text says why, without the path."""


def inspect_path(path: str | os.PathLike[str]) -> PathInfo:
    """Return what lies at `path`. Never opens anything and never raises for what may be found on a disk."""
    try:
        own = os.lstat(path)
    except OSError as error:
        return _absent(error)
    except ValueError as error:  # embedded NUL
        return PathInfo(kind="missing", detail=str(error))
    is_link = stat.S_ISLNK(own.st_mode)
    status = own
    if is_link:
        try:
            status = os.stat(path)
        except OSError as error:
            if error.errno == errno.ELOOP:
                return PathInfo(kind="loop", is_link=True, detail="a symbolic link that leads back to itself")
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return PathInfo(kind="dangling", is_link=True, detail=f"a link to {_target(path)}, which is not there")
            return PathInfo(kind="unreadable", is_link=True, detail=os.strerror(error.errno or 0).lower())
    return _node(status, is_link)


def _node(status: os.stat_result, is_link: bool) -> PathInfo:
    form = stat.S_IFMT(status.st_mode)
    kind: NodeKind = "special"
    if form == stat.S_IFREG:
        kind = "file"
    elif form == stat.S_IFDIR:
        kind = "directory"
    return PathInfo(
        kind=kind,
        size=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
        device=status.st_dev,
        is_link=is_link,
        detail=_SPECIAL.get(form, "" if kind != "special" else "neither a file nor a directory"),
    )


def _absent(error: OSError) -> PathInfo:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return PathInfo(kind="missing")
    if error.errno == errno.ELOOP:
        return PathInfo(kind="loop", detail="a symbolic link on the way leads back to itself")
    return PathInfo(kind="unreadable", detail=os.strerror(error.errno or 0).lower())


def real_path(path: str | os.PathLike[str]) -> str:
    """Return where a path leads once its links are followed, as far as that can be told. Never raises."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # ValueError: embedded NUL
        return os.path.abspath(path)


def _target(path: str | os.PathLike[str]) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return "an unknown place"


def read_start(path: str | os.PathLike[str], count: int) -> bytes:
    """Return the first `count` bytes of a regular file, fewer where it is shorter.

    Opened without blocking and checked again after opening, so that a pipe put there in between cannot hold us.
    Raises `UnreadableFile`.
    """
    return read_range(path, 0, count)


def read_range(path: str | os.PathLike[str], start: int, count: int) -> bytes:
    """Return `count` bytes of a regular file from byte `start`, fewer at its end. Raises `UnreadableFile`."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise UnreadableFile(os.strerror(error.errno or 0).lower()) from error
    except ValueError as error:
        raise UnreadableFile(str(error)) from error
    try:
        form = stat.S_IFMT(os.fstat(handle).st_mode)
        if form != stat.S_IFREG:
            raise UnreadableFile(f"{_SPECIAL.get(form, 'a directory')}, not a file")
        parts = []
        while count > 0:
            part = os.pread(handle, min(count, 1 << 24), start)
            if not part:
                break
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return b"".join(parts)
    except UnreadableFile:
        raise
    except OSError as error:
        raise UnreadableFile(os.strerror(error.errno or 0).lower()) from error
    finally:
        os.close(handle)


def readable_by(node: PathInfo, uid: int, gids: frozenset[int], owner_gid: int = -1) -> bool:
    """Return whether the mode bits let `uid` read the node. Asks the bits, not `open()`: root reads everything."""
    if node.uid == uid:
        return bool(node.mode & stat.S_IRUSR)
    if owner_gid in gids:
        return bool(node.mode & stat.S_IRGRP)
    return bool(node.mode & stat.S_IROTH)


def exists(path: Path) -> bool:
    """Return whether something can be reached at `path`, never raising."""
    return inspect_path(path).kind in ("file", "directory", "special")
