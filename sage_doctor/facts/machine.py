"""The host: its names, its memory, and the signs of an accelerator, read without a driver call.

`nvidia-smi` and NVML are unreliable on Jetson boards and can hang; nothing here runs or loads them. The signs say
what should work; whether it does, a probe finds out.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import field
from pathlib import Path

from sage_doctor.facts.accelerator import AcceleratorKind, AcceleratorSign, NvidiaDriver, read_nvidia, read_signs
from sage_doctor.system.boot import boot_id
from sage_doctor.system.frozen import frozen
from sage_doctor.system.memory import HostMemory, read_darwin_memory, read_memory
from sage_doctor.system.path_info import inspect_path
from sage_doctor.system.small_text import read_line, read_text


@frozen
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
    memory: HostMemory
    accelerator_signs: tuple[AcceleratorSign, ...]
    nvidia: NvidiaDriver = field(default_factory=NvidiaDriver)

    @property
    def accelerators(self) -> frozenset[AcceleratorKind]:
        """The kinds of accelerator that have a device here."""
        return frozenset(s.kind for s in self.accelerator_signs if s.is_device)

    @property
    def nvidia_driver(self) -> str | None:
        """The version of NVIDIA's kernel module that is loaded."""
        return self.nvidia.module

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
    signs = tuple(read_signs(root))
    tegra = (read_line(root / "etc/nv_tegra_release") or "").partition("\n")[0]
    return MachineFacts(
        hostname=read_line(root / "proc/sys/kernel/hostname") or platform.node(),
        kernel=kernel,
        architecture=read_line(root / "proc/sys/kernel/arch") or platform.machine(),
        platform=_os_name(root) or platform.system(),
        boot_id=boot_id(root),
        device_tree_model=read_line(root / "proc/device-tree/model")
        or read_line(root / "sys/firmware/devicetree/base/model"),
        l4t=_l4t(tegra),
        is_wsl="microsoft" in kernel.lower(),
        memory=read_memory(root),
        accelerator_signs=signs,
        nvidia=read_nvidia(root, devices=any(s.is_device for s in signs)),
    )


def _os_name(root: Path) -> str | None:
    text = read_text(root / "etc/os-release") or read_text(root / "usr/lib/os-release") or ""
    match = re.search(r"^PRETTY_NAME=(.*)$", text, re.MULTILINE)
    return match[1].strip().strip("\"'") or None if match else None


def _l4t(line: str) -> str | None:
    """Return `36.4.3` from `# R36 (release), REVISION: 4.3, GCID: …`."""
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", line)
    return f"{match[1]}.{match[2]}" if match else None


def _read_darwin() -> MachineFacts:
    architecture = platform.machine()
    signs = (AcceleratorSign(kind="mps", source="Apple silicon", is_device=True),) if architecture == "arm64" else ()
    return MachineFacts(
        hostname=platform.node(),
        kernel=platform.release(),
        architecture=architecture,
        platform=f"macOS {platform.mac_ver()[0]}".strip(),
        boot_id=boot_id(),
        device_tree_model=None,
        l4t=None,
        is_wsl=False,
        memory=read_darwin_memory(),
        accelerator_signs=signs,
    )


def disk_free(path: Path) -> int:
    """Return the bytes an ordinary user may still write on the file system that holds `path`, or would hold it.

    The longest part of the path that exists decides. Raises `OSError` where even that cannot be asked.
    """
    existing = Path(os.path.abspath(path))
    while inspect_path(existing).kind not in ("file", "directory") and existing != existing.parent:
        existing = existing.parent
    status = os.statvfs(existing)
    return status.f_bavail * status.f_frsize
