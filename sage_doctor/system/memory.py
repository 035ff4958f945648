"""How much memory this process may really use: the host's, within the limits of its control groups.

`/proc/meminfo` shows the host's memory even inside a container; a process there is killed at the group's limit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sage_doctor.system.child import run
from sage_doctor.system.frozen import frozen
from sage_doctor.system.small_text import read_integer, read_text

_UNLIMITED = 1 << 60  # control groups v1 write their "no limit" as a number near 2**63
_SYSCTL_S = 2.0
_SCALE = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@frozen
class HostMemory:
    """Memory in bytes; None for what this system does not tell.

    `limit` is the smallest limit of the control groups around this process, `limit_free` what is still free
    under the tightest of them, with reclaimable page cache counted as free (as `MemAvailable` does). `swap_limit` is
    how much swap those groups allow, less what they use already.
    """

    total: int | None = None
    available: int | None = None
    swap_total: int | None = None
    swap_free: int | None = None
    limit: int | None = None
    limit_free: int | None = None
    swap_limit: int | None = None

    @property
    def effective_total(self) -> int | None:
        """The total a process may reach: the host's, or its group's limit where that is smaller."""
        return _least(self.total, self.limit)

    @property
    def effective_available(self) -> int | None:
        """What can be allocated now, limits respected."""
        return _least(self.available, self.limit_free)

    @property
    def effective_swap(self) -> int:
        """The swap that can still be used, limits respected; 0 where the system tells of none."""
        return (_least(self.swap_free, self.swap_limit) or 0) if self.swap_free else 0


def read_memory(root: Path) -> HostMemory:
    """Return the memory of the Linux system whose file system is mounted at `root`."""
    sizes = dict(_meminfo(root))
    groups = list(_groups(root))
    limits = [limit for limit, _ in groups]
    total = sizes.get("MemTotal")
    limit = min(limits) if limits else None
    if limit is not None and total is not None and limit >= total:
        limit = None
    return HostMemory(
        total=total,
        # Kernels before 3.14 lack MemAvailable; free plus caches is the usual estimate for them.
        available=sizes.get("MemAvailable", _sum(sizes, "MemFree", "Buffers", "Cached")),
        swap_total=sizes.get("SwapTotal"),
        swap_free=sizes.get("SwapFree"),
        limit=limit,
        limit_free=min(free for _, free in groups) if groups else None,
        swap_limit=min(_swap_limits(root), default=None),
    )


def _meminfo(root: Path) -> Iterator[tuple[str, int]]:
    for line in (read_text(root / "proc/meminfo") or "").splitlines():
        match = re.fullmatch(r"(\w+):\s+(\d+) kB\s*", line)
        if match:
            yield match[1], int(match[2]) * 1024


def _sum(sizes: dict[str, int], *names: str) -> int | None:
    known = [sizes[n] for n in names if n in sizes]
    return sum(known) if known else None


def _least(*values: int | None) -> int | None:
    known = [v for v in values if v is not None]
    return min(known) if known else None


def _groups(root: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and free bytes of each limited group around this process, versions 1 and 2."""
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            names, base = ("memory.max", "memory.current", "inactive_file"), root / "sys/fs/cgroup"
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            base = root / "sys/fs/cgroup/memory"
        else:
            continue
        yield from _limited(base, path, names)


def _limited(base: Path, path: str, names: tuple[str, str, str]) -> Iterator[tuple[int, int]]:
    group = PurePosixPath(path.lstrip("/"))
    if ".." in group.parts:  # seen from inside a namespace: the group lies outside what is mounted here
        group = PurePosixPath()
    # A container often mounts its own group as the root, under a path that exists only outside: the root counts too.
    for part in (group, *group.parents):
        folder = base / part
        limit = read_integer(folder / names[0])
        if limit is None or limit >= _UNLIMITED:
            continue
        used = read_integer(folder / names[1]) or 0
        cache = re.search(rf"^{names[2]} (\d+)$", read_text(folder / "memory.stat") or "", re.MULTILINE)
        yield limit, max(0, limit - max(0, used - (int(cache[1]) if cache else 0)))


def _swap_limits(root: Path) -> Iterator[int]:
    """Yield the swap that each group around this process still allows; version 2 only, version 1 counts otherwise."""
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        if line.startswith("0::"):
            group = PurePosixPath(line[3:].lstrip("/"))
            for part in (PurePosixPath(),) if ".." in group.parts else (group, *group.parents):
                most = read_integer(root / "sys/fs/cgroup" / part / "memory.swap.max")
                if most is not None:
                    used = read_integer(root / "sys/fs/cgroup" / part / "memory.swap.current") or 0
                    yield max(0, most - used)


def read_darwin_memory() -> HostMemory:
    """Return the memory of this Mac, from `sysconf`, `vm_stat` and `sysctl vm.swapusage`."""
    try:
        total: int | None = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        total = None
    swap_total, swap_free = parse_swapusage(_said("sysctl", "-n", "vm.swapusage"))
    return HostMemory(
        total=total, available=parse_vm_stat(_said("vm_stat")), swap_total=swap_total, swap_free=swap_free
    )


def _said(*command: str) -> str:
    outcome = run(command, timeout_s=_SYSCTL_S)
    return outcome.out.decode("utf-8", "replace") if outcome is not None else ""


def parse_vm_stat(text: str) -> int | None:
    """Return the bytes that macOS can hand out, from the output of `vm_stat`: free, inactive, speculative pages."""
    page = re.search(r"page size of (\d+) bytes", text)
    pages = [int(n) for n in re.findall(r"^Pages (?:free|inactive|speculative|purgeable):\s+(\d+)", text, re.MULTILINE)]
    return int(page[1]) * sum(pages) if page and pages else None


def parse_swapusage(text: str) -> tuple[int | None, int | None]:
    """Return total and free swap in bytes from the output of `sysctl vm.swapusage`."""

    def size(name: str) -> int | None:
        match = re.search(rf"\b{name} = ([\d.]+)([KMGT])", text)
        return round(float(match[1]) * _SCALE[match[2]]) if match else None

    return size("total"), size("free")
