"""What names one boot of the machine: what was found before it may not hold after it."""

from __future__ import annotations

import sys
from pathlib import Path

from sage_doctor.system.small_text import read_line


def boot_id(root: Path = Path("/")) -> str | None:
    """Return what names this boot of the machine below `root`, None where the system does not tell."""
    found = read_line(root / "proc/sys/kernel/random/boot_id")
    if found is None and sys.platform == "darwin" and root == Path("/"):
        from sage_doctor.system.child import run  # noqa: PLC0415 - Linux has a file

        session = run(["sysctl", "-n", "kern.bootsessionuuid"], timeout_s=2)
        return (session.out.decode("ascii", "replace").strip() or None) if session else None
    return found
