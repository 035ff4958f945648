"""Device nodes, modules, libraries and cards, laid out as small file trees."""

import os
from pathlib import Path

import pytest

from sage_doctor.facts.accelerator import may_use, read_nvidia, read_signs

VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def card(root: Path, name: str, *, vendor: str = "0x10de", kind: str = "0x030000", driver: str = "") -> None:
    device = root / "sys/bus/pci/devices" / name
    put(device / "vendor", vendor + "\n")
    put(device / "class", kind + "\n")
    if driver:
        link(device / "driver", f"../../../bus/pci/drivers/{driver}")


def test_kernel_module_and_driver_library_of_two_releases(tmp_path: Path) -> None:
    put(tmp_path / "proc/driver/nvidia/version", VERSION)
    link(tmp_path / "usr/lib/x86_64-linux-gnu/libcuda.so.1", "libcuda.so.550.90.07")
    found = read_nvidia(tmp_path, devices=True)
    assert (found.module, found.library, found.cards) == ("550.54.15", "550.90.07", ())


@pytest.mark.parametrize("target", ["libcuda.so.1.1", "nowhere", "libcuda.so.550.x"])
def test_a_library_that_names_no_release(tmp_path: Path, target: str) -> None:
    put(tmp_path / "proc/driver/nvidia/version", VERSION)
    link(tmp_path / "usr/lib/aarch64-linux-gnu/libcuda.so.1", target)
    assert read_nvidia(tmp_path, devices=True).library is None


def test_cards_on_the_bus_and_what_is_bound_to_them(tmp_path: Path) -> None:
    card(tmp_path, "0000:01:00.0", driver="nouveau")
    card(tmp_path, "0000:01:00.1", kind="0x040300")  # the sound of the same card
    card(tmp_path, "0000:02:00.0", vendor="0x8086")
    card(tmp_path, "0000:41:00.0", kind="0x030200")
    found = read_nvidia(tmp_path, devices=False).cards
    assert found == ("0000:01:00.0 (nouveau)", "0000:41:00.0 (no driver)")
    assert read_nvidia(tmp_path, devices=True).cards == ()


def test_an_empty_tree_shows_nothing(tmp_path: Path) -> None:
    assert tuple(read_signs(tmp_path)) == ()
    found = read_nvidia(tmp_path, devices=False)
    assert (found.module, found.library, found.cards) == (None, None, ())


def test_nodes_are_accessible_by_their_mode(tmp_path: Path) -> None:
    put(tmp_path / "dev/nvidia0").chmod(0o660)
    (sign,) = read_signs(tmp_path)
    assert (sign.source, sign.is_device, sign.accessible) == ("/dev/nvidia0", True, True)  # it is ours
    status = os.stat(tmp_path / "dev/nvidia0")
    uid, gid = status.st_uid, status.st_gid
    assert may_use(status, uid=0, groups=())
    assert may_use(status, uid=uid + 1, groups=(gid,))
    assert not may_use(status, uid=uid + 1, groups=(gid + 1,))
    (tmp_path / "dev/nvidia0").chmod(0o664)
    assert not may_use(os.stat(tmp_path / "dev/nvidia0"), uid=uid + 1, groups=(gid + 1,))
    (tmp_path / "dev/nvidia0").chmod(0o666)
    assert may_use(os.stat(tmp_path / "dev/nvidia0"), uid=uid + 1, groups=())
