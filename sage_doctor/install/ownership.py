"""Ownership of a file: one line in it says that sage-doctor wrote it and for which roles.

The line contains a digest of all others. If it matches, the file is as a version of sage-doctor wrote it, and may be
changed or removed; if not, somebody has edited it, and it is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from sage_doctor import __version__
from sage_doctor.errors import DoctorError
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, read_start
from sage_doctor.text import printable

MARK: Final = "sage-doctor-install: "
MOST_BYTES: Final = 1 << 20
_SAID: Final = "Written by sage-doctor, which leaves it alone once it is edited. "

OwnershipState = Literal["absent", "ours", "edited", "foreign"]


@frozen
class Owned:
    """The state of a path. `text` and `body` (without our line) are None if it is not readable as text."""

    state: OwnershipState
    text: str | None = None
    body: str | None = None
    roles: frozenset[str] = frozenset()


def stamp(body: str, roles: Iterable[str]) -> str:
    """Return our line about `body`. It is valid inside any comment, also in XML."""
    said = {"roles": sorted(set(roles)), "sha256": _digest(body), "version": __version__}
    return MARK + json.dumps(said).replace("--", "-\\u002d")


def stamped(body: str, roles: Iterable[str], *, after: int = 0, comment: tuple[str, str] = ("# ", "")) -> str:
    """Return `body` with our line put after its first `after` lines."""
    lines = body.splitlines(keepends=True)
    return "".join([*lines[:after], f"{comment[0]}{_SAID}{stamp(body, roles)}{comment[1]}\n", *lines[after:]])


def read_owned(text: str) -> Owned:
    """Return the ownership of a text."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines[:20]):
        _, mark, rest = line.partition(MARK)
        if mark:
            body = "".join([*lines[:number], *lines[number + 1 :]])
            said = _said(rest)
            roles = said.get("roles")
            named = frozenset(r for r in roles if isinstance(r, str)) if isinstance(roles, list) else frozenset()
            state: OwnershipState = "ours" if said.get("sha256") == _digest(body) else "edited"
            return Owned(state=state, text=text, body=body, roles=named)
    return Owned(state="foreign", text=text, body=text)


def look_at(path: Path) -> Owned:
    """Return the ownership of the file at `path`; a link or a binary file is foreign. Raises `DoctorError`."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return Owned(state="absent")
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise DoctorError(f"{printable(str(path))} is not accessible: {reason}; nothing was changed") from error
    if not stat.S_ISREG(mode):
        return Owned(state="foreign")
    try:
        return read_owned(read_start(path, MOST_BYTES).decode("utf-8"))
    except UnreadableFile as error:
        raise DoctorError(f"{printable(str(path))} cannot be read: {error}; nothing was changed") from error
    except UnicodeDecodeError:
        return Owned(state="foreign")


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _said(rest: str) -> dict[str, object]:
    try:
        said, _ = json.JSONDecoder().raw_decode(rest)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
