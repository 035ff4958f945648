"""What is mounted, and what should be: `/proc/self/mountinfo` beside `/etc/fstab` and systemd's mount units.

Nothing is asked of the file systems themselves: one that does not answer cannot hold this up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import real_path
from sage_doctor.system.small_text import read_text
from sage_doctor.text import shell_quote

FSTAB = "/etc/fstab"
# In systemd's order: what an administrator wrote hides what a package brought.
_UNIT_PLACES = ("etc/systemd/system", "run/systemd/system", "run/systemd/generator", "usr/lib/systemd/system")
_MOST_UNITS = 2000
_MOST_TEXT = 4 * 1024 * 1024  # a host of containers has thousands of mounts
# File systems of the kernel's own, and such as begin empty: no model is ever kept on one until it is mounted.
_VIRTUAL = frozenset(
    {
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs"),
        *("efivarfs", "fusectl", "hugetlbfs", "mqueue", "proc", "pstore", "ramfs", "securityfs", "swap"),
        *("sysfs", "tmpfs", "tracefs", "rootfs"),
    }
)
_DISKS = {"UUID": "by-uuid", "LABEL": "by-label", "PARTUUID": "by-partuuid", "PARTLABEL": "by-partlabel"}


@frozen
class Mount:
    """A mounted file system: where, its kind (`ext4`, `nfs4`, `fuse.sshfs`), and what it is of."""

    point: str
    kind: str
    source: str


@frozen
class DeclaredMount:
    """A mount that should be there. `told_by` is the file that says so, `unit` the unit to start (empty for fstab)."""

    point: str
    source: str
    told_by: str
    unit: str = ""


@frozen
class MountTable:
    """All mounts and all declared ones. Where the system does not tell its mounts, `mounted` is empty."""

    mounted: tuple[Mount, ...] = ()
    declared: tuple[DeclaredMount, ...] = ()
    root: Path = Path("/")

    def over(self, path: str | os.PathLike[str]) -> Mount | None:
        """Return the file system that a path lies on, by its own words: links are not followed."""
        best = None
        for mount in self.mounted:  # a later one hides an earlier one at the same point
            if is_below(os.fspath(path), mount.point) and (best is None or len(mount.point) >= len(best.point)):
                best = mount
        return best

    def lacking(self, path: str | os.PathLike[str]) -> tuple[DeclaredMount, ...]:
        """Return the declared mounts at and above a path that are not mounted, the outermost first."""
        if not self.mounted:
            return ()
        there = {m.point for m in self.mounted if m.kind != "autofs"}
        found: dict[str, DeclaredMount] = {}
        for declared in self.declared:
            point = declared.point
            if is_below(os.fspath(path), point) and not {point, real_path(point)} & there:
                found.setdefault(point, declared)
        return tuple(found[point] for point in sorted(found, key=len))

    def device_missing(self, declared: DeclaredMount) -> bool:
        """Return whether the disk that should be mounted is not connected; False also where that is not known."""
        name, _, value = declared.source.partition("=")
        if name in _DISKS and value:
            place = self.root / "dev/disk" / _DISKS[name]
            return os.path.isdir(self.root / "dev/disk") and not os.path.lexists(place / value.strip("\"'"))
        return declared.source.startswith("/dev/") and not os.path.lexists(self.root / declared.source[1:])


def why_not_written(path: str | os.PathLike[str]) -> str:
    """Return why nothing must be written at a path, or sought there: it is in a mount point that is empty.

    Such files would end up on the disk below, and be hidden as soon as the right one is mounted.
    """
    real = real_path(path)
    for one in read_mounts().lacking(real):
        if not _holds_anything(one.point):
            said = f"{one.point} is not mounted ({one.told_by} names it): "
            if one.unit:
                return said + f"sudo systemctl start {shell_quote(one.unit)}"
            return said + f"sudo mount {shell_quote(one.point)}"
    return ""


def _holds_anything(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is not None
    except FileNotFoundError:
        return False
    except OSError:
        return True


def is_below(path: str, point: str) -> bool:
    """Return whether a path is a directory or lies below it, by their words."""
    return path == point or path.startswith(point.rstrip("/") + "/")


def read_mounts(root: Path = Path("/")) -> MountTable:
    """Return the mounts of the system whose file system is mounted at `root`. Never raises."""
    declared: dict[str, DeclaredMount] = {}
    for one in (*_fstab(root), *_units(root)):
        declared.setdefault(one.point, one)
    return MountTable(mounted=tuple(_mounted(root)), declared=tuple(declared.values()), root=root)


def _mounted(root: Path) -> Iterator[Mount]:
    # 36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/sda1 rw,errors=continue
    for line in (read_text(root / "proc/self/mountinfo", most=_MOST_TEXT) or "").splitlines():
        own, _, rest = line.partition(" - ")
        words, kind = own.split(" "), rest.split(" ")
        if len(words) > 4 and len(kind) > 1:
            yield Mount(point=_unescaped(words[4]), kind=kind[0], source=_unescaped(kind[1]))


def _fstab(root: Path) -> Iterator[DeclaredMount]:
    for line in (read_text(root / FSTAB[1:]) or "").splitlines():
        words = line.split()
        if len(words) < 3 or words[0].startswith("#"):
            continue
        yield from _declared(_unescaped(words[1]), _unescaped(words[0]), words[2], FSTAB, "")


def _units(root: Path) -> Iterator[DeclaredMount]:
    names: set[str] = set()
    for place in _UNIT_PLACES:
        try:
            entries = sorted(os.listdir(root / place))[:_MOST_UNITS]
        except OSError:
            continue
        for name in entries:
            if name.endswith(".mount") and name not in names:
                names.add(name)  # a link to /dev/null in an earlier place masks it: that has no Where
                text = read_text(root / place / name) or ""
                where, what, kind = (_setting(text, key) for key in ("Where", "What", "Type"))
                yield from _declared(where, what, kind, f"/{place}/{name}", name)


def _declared(point: str, source: str, kind: str, told_by: str, unit: str) -> Iterator[DeclaredMount]:
    point = os.path.normpath(point) if point.startswith("/") else ""
    if point not in ("", "/") and kind not in _VIRTUAL:
        yield DeclaredMount(point=point, source=source, told_by=told_by, unit=unit)


def _setting(text: str, key: str) -> str:
    match = re.search(rf"^{key}=[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)
    return match[1].strip("\"'") if match else ""


def _unescaped(text: str) -> str:
    """Return a word of these tables as it is meant: a blank is written as a backslash and 040."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)
