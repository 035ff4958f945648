"""A FUSE file system that answers everything with one error, or whose program is gone: `fuse_mount.py POINT ERRNO`.

Only root can mount it; the test that starts it has a mount namespace of its own. Written on the kernel's protocol, so
that nothing has to be installed.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

INIT, FORGET, BATCH_FORGET, INTERRUPT, DESTROY, GETATTR = 26, 2, 42, 36, 38, 3
HEADER = struct.Struct("<IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding
REPLY = struct.Struct("<IiQ")


def mount(point: str) -> int:
    """Mount it and return the descriptor that the kernel asks at."""
    handle = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={handle},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"sage-test", point.encode(), b"fuse.sage", 0, options):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return handle


def serve(handle: int, number: int) -> None:
    """Answer the first request as the protocol wants it, and all others with the error, until unmounted."""
    while True:
        try:
            asked = os.read(handle, 1 << 18)
        except OSError:
            return
        _, opcode, unique, node, *_ = HEADER.unpack_from(asked)
        if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
            continue
        if opcode == INIT:
            body = struct.pack("<IIIIHHI", 7, 31, 0, 0, 12, 10, 1 << 17) + bytes(40)
        elif opcode == GETATTR and node == 1:
            attributes = struct.pack("<QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
            body = struct.pack("<QII", 0, 0, 0) + attributes
        else:
            os.write(handle, REPLY.pack(REPLY.size, -number, unique))
            continue
        os.write(handle, REPLY.pack(REPLY.size + len(body), 0, unique) + body)


if __name__ == "__main__":
    opened = mount(sys.argv[1])
    sys.stdout.write("mounted\n")
    sys.stdout.flush()
    if int(sys.argv[2]):
        serve(opened, int(sys.argv[2]))
