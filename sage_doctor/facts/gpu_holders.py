"""The processes that hold the accelerator's memory, as far as the system tells.

NVIDIA's tool is asked where it can be trusted (never on Jetson, where it can hang), in a child that is ended after two
seconds; open device files in `/proc` are the other witness. Of other users' processes, `/proc` shows nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sage_doctor.system.child import run
from sage_doctor.system.frozen import frozen
from sage_doctor.system.small_text import read_line, read_text

_TOOL = ("nvidia-smi", "--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader,nounits")
_TOOL_S = 2.0
_MEBIBYTE = 1 << 20
_MOST_PROCESSES = 4096
_MOST_FILES = 4096
# A program that computes opens one of these; /dev/nvidiactl alone is opened by mere observers.
_COMPUTE = ("/dev/nvidia-uvm", "/dev/nvmap", "/dev/nvhost-gpu", "/dev/nvgpu/", "/dev/dxg", "/dev/kfd")


@frozen
class Holder:
    """A process that holds the accelerator. `held_bytes` is None where only its open files tell of it."""

    pid: int
    name: str
    held_bytes: int | None = None
    resident_bytes: int | None = None


@frozen
class Holders:
    """The processes seen, those with most memory first, and how many others could not be looked into."""

    processes: tuple[Holder, ...] = ()
    unseen: int = 0


def read_holders(*, jetson: bool, root: Path = Path("/"), tool: tuple[str, ...] = _TOOL) -> Holders:
    """Return who holds the accelerator. Takes two seconds at most; never raises, and is empty where nothing tells."""
    found = {} if jetson else {h.pid: h for h in _asked(tool)}
    unseen = 0
    for pid in _pids(root / "proc"):
        opens = _opens_device(root / "proc" / str(pid) / "fd")
        if opens is None:
            unseen += 1
        elif opens or pid in found:
            known = found.get(pid) or Holder(pid=pid, name=read_line(root / f"proc/{pid}/comm") or "?")
            found[pid] = replace(known, resident_bytes=_resident(root, pid))
    order = sorted(found.values(), key=lambda h: (-(h.held_bytes or 0), -(h.resident_bytes or 0), h.pid))
    return Holders(processes=tuple(order), unseen=unseen)


def _asked(tool: tuple[str, ...]) -> Iterator[Holder]:
    outcome = run(tool, timeout_s=_TOOL_S)
    if outcome is None or outcome.code != 0:
        return
    for line in outcome.out.decode("utf-8", "replace").splitlines():
        first, _, rest = line.partition(",")
        name, _, used = rest.rpartition(",")
        if first.strip().isdecimal():
            size = int(used) * _MEBIBYTE if used.strip().isdecimal() else None  # "[N/A]" under WSL and MIG
            yield Holder(pid=int(first), name=os.path.basename(name.strip()) or "?", held_bytes=size)


def _pids(proc: Path) -> Iterator[int]:
    try:
        names = os.listdir(proc)
    except OSError:
        return
    yield from sorted(int(n) for n in names if n.isdecimal() and int(n) != os.getpid())[:_MOST_PROCESSES]


def _opens_device(folder: Path) -> bool | None:
    """Return whether a process has a device open with which one computes; None where that is not ours to see."""
    try:
        names = os.listdir(folder)[:_MOST_FILES]
    except PermissionError:
        return None
    except OSError:  # it has just ended
        return False
    for name in names:
        try:
            target = os.readlink(folder / name)
        except OSError:
            continue
        if target.startswith(_COMPUTE) or (target.startswith("/dev/nvidia") and target[11:].isdecimal()):
            return True
    return False


def _resident(root: Path, pid: int) -> int | None:
    words = (read_text(root / f"proc/{pid}/statm") or "").split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") if len(words) > 1 and words[1].isdecimal() else None
