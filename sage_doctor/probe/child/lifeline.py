"""The child never outlives its parent, and is the first to go where memory runs out."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading


def die_with_parent() -> None:
    """Ask Linux to kill this process when the thread that started it ends."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    with contextlib.suppress(Exception):
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request took hold
        os._exit(1)


def watch_parent(descriptor: int) -> None:
    """End the whole group once the parent closes its end: also where a wrapper stands between, and on macOS."""

    def watch() -> None:
        while os.read(descriptor, 4096):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="watch-parent").start()


def offer_to_oom_killer() -> None:
    """If memory runs out, the kernel should kill the probe and not the user's session."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+", encoding="ascii") as handle:
        if int(handle.read()) < 500:
            handle.write("500")
