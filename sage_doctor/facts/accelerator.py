"""Signs of an accelerator on this host: device nodes, kernel modules, driver libraries, cards on the bus.

`nvidia-smi` and NVML are unreliable on Jetson boards and can hang; nothing here runs or loads them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import exists
from sage_doctor.system.small_text import read_line, read_text

AcceleratorKind = Literal["cuda", "rocm", "mps"]

_TEGRA_NODES = ("nvhost-gpu", "nvhost-ctrl-gpu", "nvhost-as-gpu", "nvgpu/igpu0", "nvmap")
# /dev/dxg stands for any graphics card of the Windows host; only this library tells that it is NVIDIA's.
_WSL_CUDA = ("usr/lib/wsl/lib/libcuda.so.1", "usr/lib/wsl/lib/libcuda.so")
_MOST_NODES = 64
_MOST_CARDS = 1024
_NVIDIA = "0x10de"
_DISPLAY = "0x03"  # PCI class: display controllers, "3D" ones without an output among them
_LIBRARY_PLACES = (
    *("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu/nvidia"),
    *("usr/lib64", "usr/lib"),
)


@frozen
class AcceleratorSign:
    """One sign of an accelerator: a device node, or a driver that is loaded (which alone is not a device).

    `accessible` says whether this process's user may read and write the node, by its mode bits.
    """

    kind: AcceleratorKind
    source: str
    is_device: bool
    accessible: bool = True


@frozen
class NvidiaDriver:
    """NVIDIA's driver, as files tell.

    `module` is the version of the kernel module, `library` that of the CUDA driver library the linker finds first;
    each None where it is not told (Jetson's own library names no version). `cards` are NVIDIA's display controllers
    on the PCI bus, each with the kernel driver bound to it: `0000:01:00.0 (nouveau)`.
    """

    module: str | None = None
    library: str | None = None
    cards: tuple[str, ...] = ()


def read_signs(root: Path) -> Iterator[AcceleratorSign]:
    """Yield the signs in the file system mounted at `root`. Nothing is opened but one file of `/proc`."""
    dev = root / "dev"
    for number in range(_MOST_NODES):
        yield from _node(dev / f"nvidia{number}", "cuda", f"/dev/nvidia{number}")
    for name in _TEGRA_NODES:
        yield from _node(dev / name, "cuda", f"/dev/{name}")
    if any(exists(root / p) for p in _WSL_CUDA):
        yield from _node(dev / "dxg", "cuda", "/dev/dxg")
    if exists(root / "proc/driver/nvidia/version"):
        yield AcceleratorSign(kind="cuda", source="/proc/driver/nvidia/version", is_device=False)
    yield from _node(dev / "kfd", "rocm", "/dev/kfd")


def _node(path: Path, kind: AcceleratorKind, source: str) -> Iterator[AcceleratorSign]:
    try:
        status = os.stat(path)
    except OSError:
        return
    usable = may_use(status, uid=os.geteuid(), groups={os.getegid(), *os.getgroups()})
    yield AcceleratorSign(kind=kind, source=source, is_device=True, accessible=usable)


def may_use(status: os.stat_result, *, uid: int, groups: Iterable[int]) -> bool:
    """Return whether that user may read and write a node, by its mode bits. Root may; access lists are not asked."""
    mode = status.st_mode
    if uid == 0 or stat.S_ISDIR(mode):
        return True
    shift = 6 if status.st_uid == uid else 3 if status.st_gid in set(groups) else 0
    return mode >> shift & 0o6 == 0o6


def read_nvidia(root: Path, *, devices: bool) -> NvidiaDriver:
    """Return what files tell of NVIDIA's driver. Cards are looked for only where there are no `devices`."""
    module = _module_version(read_line(root / "proc/driver/nvidia/version"))
    return NvidiaDriver(
        module=module,
        library=next(filter(None, (_library_version(root / p) for p in _LIBRARY_PLACES)), None) if module else None,
        cards=() if devices else tuple(_cards(root / "sys/bus/pci/devices")),
    )


def _module_version(text: str | None) -> str | None:
    """Return `580.00` from the line `NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.00  Release …`."""
    match = re.search(r"Module.*?\s(\d+\.\d+(?:\.\d+)?)\b", text or "")
    return match[1] if match else None


def _library_version(directory: Path) -> str | None:
    """Return `550.54.15` where `libcuda.so.1` is a link to `libcuda.so.550.54.15`."""
    try:
        target = os.readlink(directory / "libcuda.so.1")
    except OSError:
        return None
    match = re.fullmatch(r"libcuda\.so\.(\d{3,}\.\d+(?:\.\d+)?)", os.path.basename(target))
    return match[1] if match else None


def _cards(devices: Path) -> Iterator[str]:
    try:
        names = sorted(os.listdir(devices))[:_MOST_CARDS]
    except OSError:
        return
    for name in names:
        if read_line(devices / name / "vendor") == _NVIDIA:
            kind = read_text(devices / name / "class") or ""
            if kind.startswith(_DISPLAY):
                yield f"{name} ({_bound(devices / name) or 'no driver'})"


def _bound(device: Path) -> str | None:
    try:
        return os.path.basename(os.readlink(device / "driver"))
    except OSError:
        return None
