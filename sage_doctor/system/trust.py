"""Whether a file that we wrote earlier is still only ours: what others could have written is not read back."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import Final

from sage_doctor.text import printable, shell_quote

_MOST_LINKS: Final = 40
# What was passed over in this process, each file once, with the reason. A command says it at its end.
_passed_over: dict[str, str] = {}


def is_trusted(path: Path) -> bool:
    """Return whether nobody but this user and root could have written what is at `path`; what is not, is noted.

    `passed_over` returns the notes.
    """
    reason = why_untrusted(path)
    if reason:
        _passed_over[os.fspath(path)] = reason
    return not reason


def passed_over() -> list[str]:
    """Return a sentence for each reason why earlier results were passed over, and forget them."""
    by_reason: dict[str, str] = {}
    for path, reason in _passed_over.items():
        by_reason.setdefault(reason, path)
    _passed_over.clear()
    return [f"{printable(p, limit=300)} is neither read nor written: {reason}" for reason, p in by_reason.items()]


def why_untrusted(path: Path) -> str:
    """Return why somebody else could have written what is at `path`, empty if nobody could. It need not exist.

    Asked of every directory from the root on, links followed one by one: owner and mode. In a directory like /tmp,
    where everybody may write and only owners may rename (the sticky bit), what lies below must be ours.
    """
    waiting = [p for p in os.path.abspath(path).split("/") if p]
    place, links = "/", 0
    while True:
        try:
            found = os.lstat(place)
            target = os.readlink(place) if stat.S_ISLNK(found.st_mode) else None
        except OSError:
            return ""  # nothing there to be read, in directories that are ours
        if waiting and target is None and not stat.S_ISDIR(found.st_mode):
            return ""  # no directory, so that nothing is below
        reason = _why_writable(place, found)
        if reason:
            return reason
        if target is not None:
            links += 1
            place = "/" if target.startswith("/") else os.path.dirname(place)
            waiting = [*(p for p in target.split("/") if p), *waiting]
        if not waiting or links > _MOST_LINKS:
            return ""
        part = waiting.pop(0)
        place = os.path.dirname(place) if part == ".." else os.path.join(place, part) if part != "." else place


def _why_writable(place: str, found: os.stat_result) -> str:
    shown, user = printable(place, limit=300), os.geteuid()
    if found.st_uid not in (0, user):
        return f"{shown} belongs to another user ({found.st_uid})"
    if stat.S_ISLNK(found.st_mode) or (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX):
        return ""  # a link's own mode means nothing; in a sticky directory, the owner of each entry counts
    shared = bool(found.st_mode & stat.S_IWGRP) and not (
        is_private_group(found.st_gid, found.st_uid) and not _has_acl(place)
    )
    if not shared and not found.st_mode & stat.S_IWOTH:
        return ""
    # Root may own what all programs need to write to: there, advice could do harm.
    hint = f"; chmod go-w {shell_quote(place)}" if user == found.st_uid != 0 else ""
    return f"other users can write to {shown} (mode {stat.S_IMODE(found.st_mode):o}){hint}"


@lru_cache(maxsize=64)
def is_private_group(gid: int, owner: int) -> bool:
    """Return whether nobody but the owner is in the group: it has the owner's name or number, and no other member."""
    import grp  # noqa: PLC0415 - hardly anybody's directories are writable by a group
    import pwd  # noqa: PLC0415

    try:
        group = grp.getgrgid(gid)
        name, members = group.gr_name, set(group.gr_mem)
    except KeyError:
        name, members = str(gid), set()
    try:
        user = pwd.getpwuid(owner).pw_name
    except KeyError:
        user = str(owner)
    return members <= {user, "root"} and (gid == 0 or name == user)


def _has_acl(place: str) -> bool:
    """Return whether an access list may give the right to write to more users; then the group's bits are its mask."""
    try:
        return bool(os.getxattr(place, "system.posix_acl_access"))
    except (OSError, AttributeError):  # there is none, or this system has none
        return False
