"""The directory that a merge replaces: what the new model takes the place of, what is carried over, what would be lost.

A merge makes weights, their index, configuration, tokenizer and record. Everything else is somebody's work and is
carried over: files as hard links (copies where the file system has none), links as links, directories with what is
below them. Pipes, sockets, devices and files of others that cannot be read cannot be carried over, and an adapter's
files must not be: loaders would apply that adapter on top of the merged model.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path

from sage_doctor.merge.companions import CONFIGS, TOKENIZER, is_model_file
from sage_doctor.merge.places import Removed, inode_of
from sage_doctor.merge.refusal import MergeRefused, refused
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.merge_record import RECORD, merge_hashes
from sage_doctor.system.atomic_write import sync_directory
from sage_doctor.system.frozen import frozen
from sage_doctor.system.mounts import read_mounts, why_not_written
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.walk import Walk
from sage_doctor.text import join_limited, printable

_WEIGHTS = re.compile(
    r"^(?:(?:model|pytorch_model|tf_model|flax_model|consolidated)(?:[-.]\d+(?:-of-\d+)?)?"
    r"\.(?:safetensors|bin|h5|msgpack|pth)(?:\.index\.json)?)$",
    re.ASCII,
)
_INDEXED = re.compile(r"[^/.][^/]*(?:/[^/.][^/]*)*\.(?:safetensors|bin)", re.ASCII)
_ADAPTER = re.compile(r"^adapter_(?:config\.json|model\.(?:safetensors|bin))$")
_DOWNLOAD = re.compile(r"^\.cache/huggingface/download/(?P<name>.+)\.(?:metadata|lock)$")
_MOST_ENTRIES = 20_000
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
_OWN = ""  # the directory itself among its entries

Entry = tuple[object, ...]  # its kind, and what tells that it is still the same


@frozen
class Present:
    """The directory at a target; `entries` are all names in and below it, relative, as they are now.

    `replaced` are the old model's files, `kept` is carried over, `deleted` says of each name why it cannot be.
    """

    removed: Removed
    entries: Mapping[str, Entry] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    deleted: Mapping[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether there is a directory to be replaced."""
        return _OWN in self.entries

    @property
    def top_kept(self) -> list[str]:
        """The carried names of the directory itself, those of directories with a slash."""
        return [n + ("/" if self.entries[n][0] == "directory" else "") for n in self.kept if "/" not in n]

    def lost(self) -> Mapping[str, Entry]:
        """Return the entries that are not carried over."""
        return {n: self.entries[n] for n in (*self.replaced, *self.deleted, *([_OWN] if self.exists else []))}


def read_present(target: Path, *, written: frozenset[str], tokenizer: bool) -> Present:
    """Return what is at the target; `written` are the names that the merge writes, `tokenizer` says if it brings one.

    Raises `MergeRefused` if the directory cannot be replaced.
    """
    if not _is_replaceable(target):
        return Present(removed=Removed(path=target))
    try:
        entries = _scan(target)
    except OSError as error:
        raise _undeletable(target, f"cannot be read: {os.strerror(error.errno or 0).lower()}") from error
    model = written | {RECORD} | _indexed(target) | CONFIGS | (TOKENIZER if tokenizer else frozenset())
    replaced, kept, deleted = [], [], {}
    for name, (kind, *_) in entries.items():
        if kind == "directory" and name in written:
            raise _undeletable(target / name, "is a directory where the merge writes a file")
        if name == _OWN:
            continue
        if why := _why_lost(name, str(kind), written):
            deleted[name] = why
        elif kind != "directory" and _is_replaced(name, model):
            replaced.append(name)
        else:
            kept.append(name)
    directories = {inode for kind, inode, *_ in entries.values() if kind == "directory"}
    files = Counter(inode for kind, inode, *_ in entries.values() if kind == "file")
    return Present(
        removed=Removed(path=target, directories=frozenset(directories), files=files),  # type: ignore[arg-type]
        entries=entries,
        replaced=tuple(replaced),
        kept=tuple(kept),
        deleted=deleted,
    )


def _why_lost(name: str, kind: str, written: frozenset[str]) -> str:
    """Return why an entry cannot be carried over, or an empty text."""
    if kind not in ("file", "link", "directory"):
        return kind
    if _ADAPTER.match(name) and name not in written:  # what is written may be an adapter that is copied
        return "loaders would apply it on top of the model"
    return ""


def _is_replaced(name: str, model: frozenset[str]) -> bool:
    """Return whether a file is one of the old model's, or what `hf download` remembers of one."""
    download = _DOWNLOAD.match(name)
    return name in model or bool(_WEIGHTS.match(name)) or (download is not None and _is_replaced(download[1], model))


def _is_replaceable(target: Path) -> bool:
    """Return whether there is a directory at the target. Raises `MergeRefused` if it cannot be replaced."""
    shown = printable(str(target))
    node, parent = inspect_path(target), inspect_path(target.parent)
    apart = why_not_written(target)
    if apart:
        raise refused(f"{shown} would be on the wrong disk", f"{printable(apart)}")
    if parent.kind != "directory":
        raise refused(
            f"{printable(str(target.parent))} is not a directory", f"mkdir it, or choose another --out than {shown}."
        )
    if node.kind == "missing":
        return False
    if node.kind != "directory":
        raise refused(f"{shown} is {node.detail or 'a ' + node.kind}, not a directory", "Choose another --out.")
    if node.device != parent.device:
        raise refused(
            f"{shown} is a mount point, which cannot be replaced in one step",
            f"Choose a directory in it: {shown}/merged.",
        )
    below = f"{os.path.realpath(target)}/"
    mounted = [m.point for m in read_mounts().mounted if m.point.startswith(below)]
    if mounted:
        raise refused(f"{join_limited(mounted)} is mounted in {shown}", "Unmount it, or choose another --out.")
    names = os.listdir(target) if os.access(target, os.R_OK | os.X_OK) else []
    if names and not any(is_model_file(n) for n in names):
        raise refused(f"{shown} contains files, but none of a model", "Choose another --out.")
    return True


def _indexed(target: Path) -> frozenset[str]:
    """Return the weight files that an index or the record of an earlier merge in the directory names."""
    found = set(merge_hashes(target))
    for name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        names = (read_json_object(target / name).value or {}).get("weight_map")
        found |= {v for v in names.values() if isinstance(v, str)} if isinstance(names, dict) else set()
    return frozenset(n for n in found if _INDEXED.fullmatch(n))


def _scan(target: Path) -> dict[str, Entry]:
    """Return everything in and below the target. Raises `MergeRefused` for what could not be deleted afterwards."""
    found: dict[str, Entry] = {}
    device = os.lstat(target).st_dev
    walk = Walk(roots=[target], most_entries=_MOST_ENTRIES)
    for listing in walk.listings():
        status = os.lstat(listing.path)
        if status.st_dev != device:
            raise _undeletable(Path(listing.path), "is on another file system")
        if listing.problem or not os.access(listing.path, os.R_OK | os.W_OK | os.X_OK):
            raise _undeletable(Path(listing.path), "cannot be read and written")
        name = os.path.relpath(listing.path, target)
        found[_OWN if name == "." else name] = ("directory", inode_of(status))
        for entry in listing.files:
            found[os.path.relpath(entry.path, target)] = _entry(Path(entry.path), entry.stat(follow_symlinks=False))
    if not walk.complete or walk.too_deep:
        raise refused(
            f"{printable(str(target))} contains more than {_MOST_ENTRIES} files, or directories too deep for a model",
            "Choose another --out.",
        )
    return dict(sorted(found.items()))


def _entry(path: Path, status: os.stat_result) -> Entry:
    form = stat.S_IFMT(status.st_mode)
    if form == stat.S_IFLNK:
        return "link", inode_of(status), os.readlink(path)
    if form != stat.S_IFREG:
        return _KINDS.get(form, "a device"), inode_of(status)
    if os.geteuid() not in (0, status.st_uid) and not os.access(path, os.R_OK):
        return "it belongs to another user and cannot be read", inode_of(status)
    return "file", inode_of(status), status.st_size, status.st_mtime_ns


def _undeletable(path: Path, why: str) -> MergeRefused:
    return refused(f"{printable(str(path))} {why}", "Correct that, or choose another --out.")


def require_deletable(present: Present, *, allow_delete: bool) -> None:
    """Raise `MergeRefused` where files would be lost that no merge makes, unless that is allowed."""
    if present.deleted and not allow_delete:
        listed = join_limited([f"{name} ({why})" for name, why in present.deleted.items()], most=20)
        raise refused(
            f"{printable(str(present.removed.path))} contains what cannot be carried over: {listed}",
            "Move it elsewhere, choose another --out, or allow its deletion with --allow-delete.",
        )


def carry_over(present: Present, directory: Path, on_progress: Callable[[str, int], None]) -> None:
    """Bring everything that is kept into `directory`, and flush that. Raises `OSError`.

    The old directory is only read, so that it is whole whenever this is interrupted.
    """
    folders = [n for n in present.kept if present.entries[n][0] == "directory"]
    for name in present.kept:
        on_progress("carrying over", 0)
        source, made = present.removed.path / name, directory / name
        if name in folders:
            made.mkdir(exist_ok=True)
        elif present.entries[name][0] == "link":
            os.symlink(os.readlink(source), made)
        else:
            _link_or_copy(source, made)
    for name in reversed(folders):
        shutil.copystat(present.removed.path / name, directory / name)
        with contextlib.suppress(OSError):
            status = os.stat(present.removed.path / name)
            os.chown(directory / name, status.st_uid, status.st_gid)
        sync_directory(directory / name)
    sync_directory(directory)


def _link_or_copy(source: Path, made: Path) -> None:
    try:
        os.link(source, made, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, or the kernel's protection of others' files
        shutil.copy2(source, made, follow_symlinks=False)
        with open(made, "rb") as file:
            os.fsync(file.fileno())


def changed_since(old: Path, carried: Present) -> list[str]:
    """Return what was added to or changed in the old directory, now at `old`, since it was carried over."""
    lost = carried.lost()
    return [
        name
        for name, entry in _scan(old).items()
        if entry[:2] != carried.entries.get(name, ())[:2] or entry != lost.get(name, entry)
    ]
