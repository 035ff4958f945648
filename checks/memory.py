"""Whether the machine has the memory that loading a model takes."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.host import Host
from sage_doctor.model import Model
from sage_doctor.probing import memory_needed
from sage_doctor.text import human_bytes


@check("static", after=["*"])
def check_memory(model: Model, host: Host) -> Iterator[Finding]:
    """The model fits into this machine's memory."""
    total = host.machine.memory_total
    if total is None:
        raise NotApplicable("the system does not tell its memory")
    need = memory_needed(model)
    if need > total:
        yield finding(
            "memory-insufficient",
            f"loading it takes about {human_bytes(need)}, this machine has {human_bytes(total)}",
            evidence={"needed_bytes": need, "total_bytes": total},
            fix=Fix(summary="Run it on a larger machine, or a smaller or quantised version of it here."),
        )


@check("load", after=["*"])
def check_memory_free(model: Model, host: Host) -> Iterator[Finding]:
    """There is memory free to load the model now."""
    free = host.machine.effective_available
    if free is None:
        raise NotApplicable("the system does not tell its memory")
    need = memory_needed(model)
    swap = host.machine.memory.swap_free or 0
    if need > free + swap:
        yield finding(
            "memory-insufficient",
            f"loading it takes about {human_bytes(need)}, and {human_bytes(free)} are free now",
            evidence={"needed_bytes": need, "available_bytes": free, "swap_free_bytes": swap},
            fix=Fix(
                summary="End what holds the memory (a daemon may have the model loaded already), then try again.",
                commands=("ps -eo pid,user,rss,comm --sort=-rss | head",),
            ),
        )
