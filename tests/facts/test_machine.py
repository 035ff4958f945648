"""Hosts are laid out as small file trees, with the texts that real machines of these kinds show."""

from pathlib import Path

import pytest

from sage_doctor.facts.machine import disk_free, read_machine

GIB = 1 << 30

MEMINFO_THOR = """MemTotal:       128800772 kB
MemFree:         3310948 kB
MemAvailable:   96411520 kB
Buffers:          512340 kB
Cached:         91030340 kB
SwapTotal:             0 kB
SwapFree:              0 kB
HugePages_Total:       0
"""
MEMINFO_ORIN = """MemTotal:        7990108 kB
MemFree:          212000 kB
MemAvailable:    1830212 kB
SwapTotal:       3995052 kB
SwapFree:        3001004 kB
"""
MEMINFO_SERVER = """MemTotal:       65841236 kB
MemFree:        41203388 kB
MemAvailable:   60114688 kB
SwapTotal:       8388604 kB
SwapFree:        8388604 kB
"""


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_jetson_thor(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "proc/sys/kernel/hostname": "thor-dev\n",
            "proc/sys/kernel/osrelease": "6.8.12-tegra\n",
            "proc/sys/kernel/arch": "aarch64\n",
            "proc/sys/kernel/random/boot_id": "0f2d7a3c-5a53-4f5e-a4b9-6d1d6a0a9a11\n",
            "proc/device-tree/model": "NVIDIA Jetson AGX Thor Developer Kit\0",
            "proc/meminfo": MEMINFO_THOR,
            "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-1.scope\n",
            "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
            "etc/nv_tegra_release": "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64\n",
            "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.00  "
            "Release Build  (bugfix_main)  Wed Aug 13 12:00:00 UTC 2025\nGCC version:  gcc 13.3.0\n",
            "dev/nvidia0": "",
            "dev/nvidiactl": "",
            "dev/nvmap": "",
        },
    )
    facts = read_machine(root)
    assert (facts.hostname, facts.kernel, facts.architecture) == ("thor-dev", "6.8.12-tegra", "aarch64")
    assert facts.platform == "Ubuntu 24.04.3 LTS"
    assert facts.boot_id == "0f2d7a3c-5a53-4f5e-a4b9-6d1d6a0a9a11"
    assert facts.device_tree_model == "NVIDIA Jetson AGX Thor Developer Kit"
    assert facts.l4t == "38.2.0"
    assert facts.nvidia_driver == "580.00"
    assert facts.is_jetson
    assert facts.unified_memory
    assert facts.accelerators == {"cuda"}
    assert [s.source for s in facts.accelerator_signs if s.is_device] == ["/dev/nvidia0", "/dev/nvmap"]
    assert facts.memory.total == 128800772 * 1024
    assert facts.effective_available == 96411520 * 1024
    assert facts.memory.swap_total == 0


def test_jetson_orin_nano_has_no_nvidia0(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "proc/sys/kernel/osrelease": "5.15.148-tegra\n",
            "sys/firmware/devicetree/base/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
            "proc/meminfo": MEMINFO_ORIN,
            "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
            "dev/nvhost-gpu": "",
            "dev/nvgpu/igpu0/as": "",
            "dev/nvmap": "",
        },
    )
    facts = read_machine(root)
    assert facts.l4t == "36.4.3"
    assert facts.nvidia_driver is None
    assert facts.accelerators == {"cuda"}
    assert facts.unified_memory
    assert facts.memory.swap_free == 3001004 * 1024


def test_wsl_with_an_nvidia_card_and_with_another_one(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "proc/sys/kernel/osrelease": "6.6.87.2-microsoft-standard-WSL2\n",
            "proc/meminfo": MEMINFO_SERVER,
            "dev/dxg": "",
        },
    )
    assert read_machine(root).is_wsl
    assert read_machine(root).accelerators == frozenset()
    lay(root, {"usr/lib/wsl/lib/libcuda.so.1": ""})
    assert read_machine(root).accelerators == {"cuda"}


def test_server_whose_driver_is_loaded_without_a_device(tmp_path: Path) -> None:
    version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
    facts = read_machine(lay(tmp_path, {"proc/meminfo": MEMINFO_SERVER, "proc/driver/nvidia/version": version}))
    assert facts.nvidia_driver == "550.54.15"
    assert facts.accelerators == frozenset()
    assert [s.source for s in facts.accelerator_signs] == ["/proc/driver/nvidia/version"]
    assert not facts.unified_memory


def test_amd_card(tmp_path: Path) -> None:
    assert read_machine(lay(tmp_path, {"dev/kfd": ""})).accelerators == {"rocm"}


def test_empty_tree_tells_nothing_and_raises_nothing(tmp_path: Path) -> None:
    facts = read_machine(tmp_path)
    assert facts.memory_total is None
    assert facts.effective_available is None
    assert facts.boot_id is None
    assert facts.device_tree_model is None
    assert facts.accelerators == frozenset()
    assert facts.hostname
    assert facts.platform


def test_this_host() -> None:
    facts = read_machine()
    assert facts.memory_total is not None
    assert facts.effective_available is not None
    assert 0 < facts.effective_available <= facts.memory_total
    assert facts.hostname
    assert facts.architecture


def test_disk_free_of_what_does_not_exist_yet(tmp_path: Path) -> None:
    there, not_there = disk_free(tmp_path), disk_free(tmp_path / "a/b/model.safetensors")
    assert there > 0
    assert abs(there - not_there) < GIB  # the same file system, which others write to meanwhile
    (tmp_path / "file").write_text("x")
    assert disk_free(tmp_path / "file/below") > 0


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe\0", b"model\x1b[2J\0"])
def test_device_tree_of_any_bytes(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(raw)
    model = read_machine(tmp_path).device_tree_model
    assert (model is None) == (raw == b"")
