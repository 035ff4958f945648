"""Mounts and what should be mounted, laid out as the tables of real machines are."""

from pathlib import Path

import pytest

from sage_doctor.system.mounts import MountTable, read_mounts

ROOT = "25 1 252:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
PROC = "26 25 0:5 / /proc rw - proc proc rw\n"
DATA = "40 25 8:1 / /data rw,relatime shared:2 - ext4 /dev/sda1 rw\n"


def lay(root: Path, mountinfo: str, fstab: str = "", **units: str) -> MountTable:
    for name, text in {"proc/self/mountinfo": mountinfo, "etc/fstab": fstab, **units}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_mounts(root)


def unit(where: str, what: str = "/dev/sdb1", kind: str = "ext4") -> str:
    return f"[Unit]\nDescription=x\n[Mount]\nWhat={what}\nWhere={where}\nType={kind}\n"


@pytest.mark.parametrize(
    "fstab, path, lacking",
    [
        ("/dev/sda1 /data ext4 defaults 0 2\n", "/data/models/m", ["/data"]),
        ("/dev/sda1 /data ext4 defaults 0 2\n", "/data", ["/data"]),
        ("UUID=1-2\t/data/\text4\tdefaults\t0\t2\n", "/data/m", ["/data"]),
        ("nas:/models /data/nas nfs4 noauto,x-systemd.automount 0 0\n", "/data/nas/m", ["/data/nas"]),
        ("/dev/sda1 /data ext4 d 0 2\n/dev/sdb1 /data/models xfs d 0 2\n", "/data/models/m", ["/data", "/data/models"]),
        ("/srv/models /data none bind 0 0\n", "/data/m", ["/data"]),
        ("/dev/sda1 /my\\040disk ext4 d 0 2\n", "/my disk/m", ["/my disk"]),
        # None of these is above the path, or ever holds a model.
        ("# /dev/sda1 /data ext4 d 0 2\n", "/data/m", []),
        ("/dev/sda1 /data ext4 d 0 2\n", "/database/m", []),
        ("/dev/vda / ext4 d 0 1\n", "/data/m", []),
        ("tmpfs /data tmpfs d 0 0\n", "/data/m", []),
        ("/swapfile none swap sw 0 0\n", "/data/m", []),
        ("what is this\n\n", "/data/m", []),
    ],
)
def test_what_fstab_names_and_is_not_mounted(tmp_path: Path, fstab: str, path: str, lacking: list[str]) -> None:
    assert [d.point for d in lay(tmp_path, ROOT + PROC, fstab).lacking(path)] == lacking


@pytest.mark.parametrize("path", ["/data/m", "/data", "/elsewhere/m"])
def test_what_is_mounted_lacks_nothing(tmp_path: Path, path: str) -> None:
    table = lay(tmp_path, ROOT + PROC + DATA, "/dev/sda1 /data ext4 defaults 0 2\n")
    assert table.lacking(path) == ()


def test_an_automount_that_was_not_triggered_is_not_mounted(tmp_path: Path) -> None:
    trap = "41 25 0:44 / /data rw - autofs systemd-1 rw\n"
    fstab = "nas:/m /data nfs4 noauto,x-systemd.automount 0 0\n"
    assert [d.point for d in lay(tmp_path / "a", ROOT + trap, fstab).lacking("/data/m")] == ["/data"]
    nfs = "42 41 0:45 / /data rw - nfs4 nas:/m rw\n"
    table = lay(tmp_path / "b", ROOT + trap + nfs, fstab)
    assert table.lacking("/data/m") == ()
    over = table.over("/data/m")
    assert over is not None
    assert over.kind == "nfs4"


def test_units(tmp_path: Path) -> None:
    units = {
        "etc/systemd/system/data.mount": unit("/data"),
        "usr/lib/systemd/system/data.mount": unit("/elsewhere"),
        "usr/lib/systemd/system/dev-hugepages.mount": unit("/dev/hugepages", "hugetlbfs", "hugetlbfs"),
        "usr/lib/systemd/system/tmp.mount": unit("/tmp", "tmpfs", "tmpfs"),
        "etc/systemd/system/odd.mount": "no unit at all",
    }
    table = lay(tmp_path, ROOT, **units)
    assert [(d.point, d.unit, d.source) for d in table.declared] == [("/data", "data.mount", "/dev/sdb1")]


@pytest.mark.parametrize("mountinfo", ["", "nonsense\n\n - \n", "1 2 3 4\n"])
def test_a_system_that_does_not_tell_lacks_nothing(tmp_path: Path, mountinfo: str) -> None:
    table = lay(tmp_path, mountinfo, "/dev/sda1 /data ext4 defaults 0 2\n")
    assert table.lacking("/data/m") == ()
    assert table.over("/data/m") is None


def test_a_container_without_tables(tmp_path: Path) -> None:
    overlay = "612 500 0:57 / / rw - overlay overlay rw,lowerdir=/a:/b\n613 612 8:1 /x /data rw - ext4 /dev/sda1 rw\n"
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(overlay)
    table = read_mounts(tmp_path)
    assert (table.declared, table.lacking("/data/m")) == ((), ())


def test_a_disk_that_is_not_connected(tmp_path: Path) -> None:
    fstab = 'UUID="12-34" /a ext4 d 0 2\nLABEL=there /b ext4 d 0 2\nnas:/m /c nfs d 0 0\n/dev/sdz1 /d ext4 d 0 2\n'
    table = lay(tmp_path, ROOT, fstab)
    (tmp_path / "dev").mkdir()
    assert [table.device_missing(d) for d in table.declared] == [False, False, False, True]  # nothing tells of UUIDs
    (tmp_path / "dev/disk/by-label").mkdir(parents=True)
    (tmp_path / "dev/disk/by-label/there").touch()
    assert [table.device_missing(d) for d in table.declared] == [True, False, False, True]


def test_this_machine_lacks_nothing_for_its_own_files() -> None:
    assert read_mounts().lacking(Path(__file__)) == ()
