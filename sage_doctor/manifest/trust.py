"""Whether a manifest that was found, not named, may be followed: it says which programs are run.

It is passed over where somebody else may have written it: in a model directory or a download, which come from
strangers, and where another user owns or can write the file or its directory. Users whose umask is 002 in a group of
their own are not others. Root trusts whoever called sudo, and in a container or in CI whoever owns the checkout.
"""

from __future__ import annotations

import os
import re
import stat
from itertools import islice
from pathlib import Path
from typing import Final

from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.system.trust import is_private_group

_MODEL_FILES: Final = re.compile(
    r"(?i)adapter_config\.json|model_index\.json|generation_config\.json|tokenizer(_config)?\.json|"
    r".*\.(safetensors|gguf)(\.index\.json)?|(pytorch|adapter)_model.*\.(bin|bin\.index\.json)|consolidated.*\.pth"
)
_MODEL_KEYS: Final = frozenset(
    {"model_type", "architectures", "auto_map", "transformers_version", "_name_or_path", "_class_name"}
)
_MOST_CONFIG: Final = 1 << 20
_MOST_ENTRIES: Final = 20_000
_CONTAINER: Final = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
# File systems without owners: every file has the modes that the mount names. WSL mounts Windows drives like that.
_WITHOUT_MODES: Final = frozenset({"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "drvfs"})


def why_not_trusted(path: Path) -> str:
    """Return why the manifest at `path` is not to be followed unless the user names it; empty if it may be."""
    return _stranger(path.parent) or _others(path)


def _stranger(directory: Path) -> str:
    for name in _names(directory):
        if _MODEL_FILES.fullmatch(name):
            return f"it is in a model directory ({name} is beside it)"
    for upper in (directory, *directory.parents):
        where = "" if upper == directory else f" {upper}"
        if inspect_path(upper / "adapter_config.json").kind == "file" or _is_model_config(upper / "config.json"):
            return f"it is in a model directory{where}"
        if inspect_path(upper / ".cache" / "huggingface" / "download").kind == "directory" or (
            upper.parent.name == "snapshots" and "--" in upper.parent.parent.name
        ):
            return f"it is in a download from the Hugging Face hub{where}"
    return ""


def _names(directory: Path) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in islice(entries, _MOST_ENTRIES)]
    except OSError:
        return []


def _is_model_config(path: Path) -> bool:
    """Return whether a config.json is a model's: many programs have a file of that name."""
    import json  # noqa: PLC0415 - few directories have one

    try:
        value = json.loads(read_start(path, _MOST_CONFIG))
    except (UnreadableFile, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and not _MODEL_KEYS.isdisjoint(value)


def _others(path: Path) -> str:
    """Return which other user can write the file, its directory, or what either is a link to."""
    try:
        places = [("it", os.lstat(path)), ("its directory", os.stat(path.parent))]
        if stat.S_ISLNK(places[0][1].st_mode):
            real = os.path.realpath(path)
            places += [("its directory", os.stat(os.path.dirname(real))), ("it", os.stat(real))]
    except OSError:
        return ""  # loading it says why
    strictly = any(status.st_mode & stat.S_IWOTH for _, status in places if stat.S_ISDIR(status.st_mode))
    for what, status in places:
        ours = _is_trusted_owner(status.st_uid, strictly=strictly)
        if (ours and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) or _without_modes(status.st_dev):
            continue
        if not ours:
            return f"{what} belongs to another user ({_user(status.st_uid)})"
        if stat.S_ISLNK(status.st_mode):
            continue
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX  # only owners replace what is there
        if status.st_mode & stat.S_IWOTH and not sticky:
            return f"every user can write {what}"
        if status.st_mode & stat.S_IWGRP and not sticky and not is_private_group(status.st_gid, status.st_uid):
            return f"other users of group {_group(status.st_gid)} can write {what}"
    return ""


def _is_trusted_owner(uid: int, *, strictly: bool) -> bool:
    """Return whether a file of this user may name our programs; `strictly` where anybody may leave a file."""
    if uid in (0, os.geteuid()):
        return True
    if strictly or os.geteuid() != 0:
        return False
    # Root in a container or in CI works on a checkout that belongs to the user outside.
    return os.environ.get("SUDO_UID") == str(uid) or bool(os.environ.get("CI")) or any(map(os.path.exists, _CONTAINER))


def _user(uid: int) -> str:
    import pwd  # noqa: PLC0415 - only where the owner is somebody else

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    import grp  # noqa: PLC0415 - likewise

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _without_modes(device: int) -> bool:
    """Return whether a file system on Linux has no owners and modes of its own."""
    try:
        text = read_start("/proc/self/mountinfo", 1 << 20).decode("utf-8", "replace")
    except UnreadableFile:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in text.splitlines():
        mount, _, kind = line.partition(" - ")
        if mount.split(" ")[2:3] == [number]:
            return kind.split(" ")[0] in _WITHOUT_MODES or "aname=drvfs" in kind
    return False
