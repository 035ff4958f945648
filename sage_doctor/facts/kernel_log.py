"""What NVIDIA's driver wrote into the kernel's log since this boot: its Xid errors. Reading never waits."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from sage_doctor.system.child import run
from sage_doctor.system.frozen import frozen

# NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?(?P<device>[0-9A-Fa-f:.]{4,20})\): (?P<number>\d{1,4})(?:, *(?P<text>.*))?")
_PREFIX = re.compile(r"^(?P<priority>\d+),\d+,\d+,[^;]*;")
_USER = 8  # priorities from here on are of what programs wrote into /dev/kmsg: only the kernel has facility 0
_RECORD = 8192  # the longest record of the kernel is shorter
_MOST_RECORDS = 200_000
_MOST_S = 2.0
_COMMAND_S = 3.0


@frozen
class Xid:
    """One Xid: its number, the PCI address, and the driver's words."""

    number: int
    device: str
    text: str


@frozen
class KernelLog:
    """The Xids of this boot, oldest first. Where the log cannot be read, `problem` says so and nothing is known."""

    xids: tuple[Xid, ...] = ()
    problem: str = ""


def read_kernel_log(root: Path = Path("/")) -> KernelLog:
    """Return the Xids in the log of the kernel that `root` is the file system of. Never raises."""
    try:
        return KernelLog(xids=tuple(_xids(_records(root / "dev/kmsg"))))
    except OSError as error:
        problem = os.strerror(error.errno or 0).lower()
    for command in (("journalctl", "-k", "-b", "-o", "short-monotonic", "--no-pager"), ("dmesg",)):
        ended = run(command, timeout_s=_COMMAND_S, keep_end=True) if root == Path("/") else None
        # journalctl ends well with nothing but a hint about groups where this user may not read the kernel's part.
        if ended is not None and ended.code == 0 and b"kernel:" in ended.out + b"kernel:" * (command[0] == "dmesg"):
            return KernelLog(xids=tuple(_xids(ended.text.splitlines())))
    return KernelLog(problem=problem)


def _records(path: Path) -> Iterator[str]:
    """Yield the kernel's records, as far back as it keeps them. Raises `OSError` where this user may not read them."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        until, rest = time.monotonic() + _MOST_S, b""
        for _ in range(_MOST_RECORDS):
            try:
                part = os.read(handle, _RECORD)
            except BlockingIOError:
                break
            except BrokenPipeError:  # the record was overwritten meanwhile: the next read goes on
                continue
            if not part or time.monotonic() > until:
                break
            *lines, rest = (rest + part).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in lines)
        yield rest.decode("utf-8", "replace")
    finally:
        os.close(handle)


def _xids(lines: Iterator[str] | list[str]) -> Iterator[Xid]:
    for line in lines:
        match = _XID.search(line)
        if match is None:
            continue
        stamp = _PREFIX.match(line)
        if stamp is not None and int(stamp["priority"]) >= _USER:
            continue
        yield Xid(
            number=int(match["number"]),
            device=match["device"],
            text=(match["text"] or "").strip(),
        )
