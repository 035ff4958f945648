"""The kernel's log as /dev/kmsg hands it out, with lines that people posted."""

import errno
import os
from pathlib import Path

import pytest

from sage_doctor.facts.kernel_log import Xid, read_kernel_log
from sage_doctor.facts.xid_table import RECOVERY, XIDS

POSTED = """\
6,339,5140900,-;pci 0000:01:00.0: [10de:2684] type 00 class 0x030000
 SUBSYSTEM=pci
 DEVICE=+pci:0000:01:00.0
4,1200,966503025,-;NVRM: Xid (0000:01:00): 31, Ch 0000000b, engmask 00000120, intr 10000000
4,1201,966503999,-;NVRM: Xid (PCI:0000:10:1c): 63, pid=1896, Row Remapper: New row marked for remapping, reset gpu.
4,1202,970000000,-;NVRM: Xid (PCI:0000:65:00): 119, pid='N/A', Timeout after 45s of waiting for RPC response from GPU0
3,1203,970000001,-;NVRM: GPU 0000:65:00.0: GPU has fallen off the bus.
"""


def log(root: Path, text: str | bytes) -> Path:
    (root / "dev").mkdir()
    (root / "dev/kmsg").write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def test_what_people_posted(tmp_path: Path) -> None:
    found = read_kernel_log(log(tmp_path, POSTED))
    assert (found.problem, [x.number for x in found.xids]) == ("", [31, 63, 119])
    assert found.xids[0] == Xid(number=31, device="0000:01:00", text="Ch 0000000b, engmask 00000120, intr 10000000")


@pytest.mark.parametrize("text", ["", "\0\xff", "NVRM: Xid (PCI:0000:01:00): many", b"\xff" * 100_000, "x" * 100_000])
def test_nothing_in_it(tmp_path: Path, text: str | bytes) -> None:
    assert read_kernel_log(log(tmp_path, text)).xids == ()


def test_what_a_program_wrote_there_is_not_the_kernels(tmp_path: Path) -> None:
    text = "11,374,1267616900,-;NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.\n"  # `echo` into /dev/kmsg
    assert read_kernel_log(log(tmp_path, text)).xids == ()


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    found = read_kernel_log(tmp_path)
    assert (found.xids, found.problem) == ((), os.strerror(errno.ENOENT).lower())


def test_reading_this_machines_log_ends() -> None:
    read_kernel_log()


def test_the_table_says_something_of_every_number() -> None:
    assert {13, 31, 43, 45, 48, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 137, 154} <= set(XIDS)
    assert all(meaning and 0 < number < 1000 for number, (meaning, _) in XIDS.items())
    assert RECOVERY["node reboot required"] == "reboot"
