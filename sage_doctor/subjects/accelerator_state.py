"""What changes about accelerators while a machine runs: devices come and go, and the driver reports errors."""

from __future__ import annotations

from pathlib import Path

from sage_doctor.facts.accelerator import read_signs


def accelerator_devices() -> list[str]:
    """Return the signs of an accelerator, each with whether this user may use it."""
    return [f"{sign.source} {sign.accessible}" for sign in read_signs(Path("/"))]


def count_gpu_errors() -> int:
    """Return how many of the NVIDIA driver's errors (Xid) since this boot are the GPU's own, 0 if the log is closed."""
    from sage_doctor.facts.kernel_log import read_kernel_log  # noqa: PLC0415 - most machines have no such GPU
    from sage_doctor.facts.xid_table import BY_PROGRAMS, action_of  # noqa: PLC0415 - likewise

    return sum(action_of(xid) not in BY_PROGRAMS for xid in read_kernel_log().xids)
