"""The limits that a probe inherits (`ulimit`, a unit's `Limit…=`): a load that one of them ends looks like a crash."""

from __future__ import annotations

import resource
import signal
from typing import Literal

from sage_doctor.system.frozen import frozen

# A load that is refused address space says one of these, in whichever library it happens.
REFUSED_MEMORY = (
    "failed to map segment from shared object",
    "Cannot allocate memory",
    "cannot allocate memory",
    "OpenBLAS blas_thread_init",
    "std::bad_alloc",
    "MemoryError",
)
_ROUNDED_S = 1.0

Limit = Literal["", "address-space", "data", "cpu-time"]


@frozen
class ProcessLimits:
    """Bytes of address space, of those of data, and seconds of CPU time that one process may use; None: any."""

    address_space: int | None = None
    data: int | None = None
    cpu_s: int | None = None

    def overrun(self, number: int, cpu_s: float, said: str) -> Limit:
        """Return which limit ended a process: it died of signal `number`, had used `cpu_s` and printed `said`."""
        # A hard limit that is the soft one as well (`ulimit -t`) ends with SIGKILL, and no SIGXCPU comes before it.
        if number == signal.SIGXCPU:
            return "cpu-time"
        if number == signal.SIGKILL and self.cpu_s is not None and cpu_s >= self.cpu_s - _ROUNDED_S:
            return "cpu-time"
        if (self.address_space is None and self.data is None) or not any(text in said for text in REFUSED_MEMORY):
            return ""
        return "data" if self.address_space is None else "address-space"


UNLIMITED = ProcessLimits()


def inherited_limits() -> ProcessLimits:
    """Return the limits that a child of this process has."""
    return ProcessLimits(
        address_space=_soft(resource.RLIMIT_AS), data=_soft(resource.RLIMIT_DATA), cpu_s=_soft(resource.RLIMIT_CPU)
    )


def used_by_children() -> float:
    """Return the seconds of CPU time that all children that have ended used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _soft(kind: int) -> int | None:
    soft, _ = resource.getrlimit(kind)
    return None if soft == resource.RLIM_INFINITY else soft
