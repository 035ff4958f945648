"""What this host is: its names, its memory, and the signs of an accelerator that need no driver call.

`nvidia-smi` and NVML are unreliable on Jetson boards and can hang; nothing here runs or loads them. The signs say
what should work; whether it does, a probe finds out.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sage_doctor.readers.child import run
from sage_doctor.readers.memory import Memory, read_darwin_memory, read_memory
from sage_doctor.readers.regular import exists, look
from sage_doctor.readers.small_text import read_line, read_text

AcceleratorKind = Literal["cuda", "rocm", "mps"]

_TEGRA_NODES = ("nvhost-gpu", "nvhost-ctrl-gpu", "nvhost-as-gpu", "nvgpu/igpu0", "nvmap")
# /dev/dxg stands for any graphics card of the Windows host; only this library tells that it is NVIDIA's.
_WSL_CUDA = ("usr/lib/wsl/lib/libcuda.so.1", "usr/lib/wsl/lib/libcuda.so")
_MOST_NODES = 64


@dataclass(frozen=True, kw_only=True)
class AcceleratorSign:
    """One sign of an accelerator: a device node, or a driver that is loaded (which alone is not a device)."""

    kind: AcceleratorKind
    source: str
    is_device: bool


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """The host. Text is None where the system does not tell; memory is in bytes."""

    hostname: str
    kernel: str
    architecture: str
    platform: str
    boot_id: str | None
    device_tree_model: str | None
    l4t: str | None
    is_wsl: bool
    memory: Memory
    nvidia_driver: str | None
    accelerator_signs: tuple[AcceleratorSign, ...]

    @property
    def accelerators(self) -> frozenset[AcceleratorKind]:
        """The kinds of accelerator that have a device here."""
        return frozenset(s.kind for s in self.accelerator_signs if s.is_device)

    @property
    def is_jetson(self) -> bool:
        """Whether this is an NVIDIA Jetson board."""
        return self.l4t is not None or "jetson" in (self.device_tree_model or "").lower()

    @property
    def unified_memory(self) -> bool:
        """Whether the accelerator shares the host's memory, so that the host's figures are the accelerator's too."""
        return self.is_jetson or "mps" in self.accelerators

    @property
    def memory_total(self) -> int | None:
        """Bytes of memory, or of the control group's limit where that is smaller."""
        return self.memory.effective_total

    @property
    def effective_available(self) -> int | None:
        """Bytes that can be allocated now, control groups respected."""
        return self.memory.effective_available


def read_machine(root: Path = Path("/")) -> MachineFacts:
    """Return the facts about the host whose file system is mounted at `root`. Never raises, never loads a driver."""
    if root == Path("/") and platform.system() == "Darwin":
        return _read_darwin()
    kernel = read_line(root / "proc/sys/kernel/osrelease") or platform.release()
    driver = read_line(root / "proc/driver/nvidia/version")
    tegra = (read_line(root / "etc/nv_tegra_release") or "").partition("\n")[0]
    return MachineFacts(
        hostname=read_line(root / "proc/sys/kernel/hostname") or platform.node(),
        kernel=kernel,
        architecture=read_line(root / "proc/sys/kernel/arch") or platform.machine(),
        platform=_os_name(root) or platform.system(),
        boot_id=read_line(root / "proc/sys/kernel/random/boot_id"),
        device_tree_model=read_line(root / "proc/device-tree/model")
        or read_line(root / "sys/firmware/devicetree/base/model"),
        l4t=_l4t(tegra),
        is_wsl="microsoft" in kernel.lower(),
        memory=read_memory(root),
        nvidia_driver=_driver_version(driver),
        accelerator_signs=tuple(_signs(root)),
    )


def _os_name(root: Path) -> str | None:
    text = read_text(root / "etc/os-release") or read_text(root / "usr/lib/os-release") or ""
    match = re.search(r"^PRETTY_NAME=(.*)$", text, re.MULTILINE)
    return match[1].strip().strip("\"'") or None if match else None


def _l4t(line: str) -> str | None:
    """Return `36.4.3` from `# R36 (release), REVISION: 4.3, GCID: …`."""
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", line)
    return f"{match[1]}.{match[2]}" if match else None


def _driver_version(text: str | None) -> str | None:
    """Return `580.00` from the line `NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.00  Release …`."""
    match = re.search(r"Module.*?\s(\d+\.\d+(?:\.\d+)?)\b", text or "")
    return match[1] if match else None


def _signs(root: Path) -> Iterator[AcceleratorSign]:
    dev = root / "dev"
    for number in range(_MOST_NODES):
        if exists(dev / f"nvidia{number}"):
            yield AcceleratorSign(kind="cuda", source=f"/dev/nvidia{number}", is_device=True)
    for name in _TEGRA_NODES:
        if exists(dev / name):
            yield AcceleratorSign(kind="cuda", source=f"/dev/{name}", is_device=True)
    if exists(dev / "dxg"):
        library = next((p for p in _WSL_CUDA if exists(root / p)), None)
        if library:
            yield AcceleratorSign(kind="cuda", source="/dev/dxg", is_device=True)
    if exists(root / "proc/driver/nvidia/version"):
        yield AcceleratorSign(kind="cuda", source="/proc/driver/nvidia/version", is_device=False)
    if exists(dev / "kfd"):
        yield AcceleratorSign(kind="rocm", source="/dev/kfd", is_device=True)


def _read_darwin() -> MachineFacts:
    architecture = platform.machine()
    signs = (AcceleratorSign(kind="mps", source="Apple silicon", is_device=True),) if architecture == "arm64" else ()
    session = run(["sysctl", "-n", "kern.bootsessionuuid"], timeout_s=2)
    return MachineFacts(
        hostname=platform.node(),
        kernel=platform.release(),
        architecture=architecture,
        platform=f"macOS {platform.mac_ver()[0]}".strip(),
        boot_id=(session.out.decode("ascii", "replace").strip() or None) if session else None,
        device_tree_model=None,
        l4t=None,
        is_wsl=False,
        memory=read_darwin_memory(),
        nvidia_driver=None,
        accelerator_signs=signs,
    )


def disk_free(path: Path) -> int:
    """Return the bytes an ordinary user may still write on the file system that holds `path`, or would hold it.

    The longest part of the path that exists decides. Raises `OSError` where even that cannot be asked.
    """
    place = Path(os.path.abspath(path))
    while look(place).kind not in ("file", "directory") and place != place.parent:
        place = place.parent
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize
