"""Whether the machine has the memory that loading a model takes."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.asking import Asking
from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.host import Host
from sage_doctor.memory_need import memory_needed, shortage
from sage_doctor.model import Model
from sage_doctor.service import handed_over
from sage_doctor.text import human_bytes, printable


@check("static", after=["*"])
def check_memory(model: Model, host: Host) -> Iterator[Finding]:
    """The model fits into this machine's memory."""
    total = host.machine.memory_total
    if total is None:
        raise NotApplicable("the system does not tell its memory")
    need = memory_needed(model)
    if need > total and model.served_by is not None:
        raise NotApplicable(f"it never fits here: {printable(model.served_by.name, limit=80)} is asked instead")
    if need > total:
        yield finding(
            "memory-insufficient",
            f"loading it takes about {human_bytes(need)}, this machine has {human_bytes(total)}",
            evidence={"needed_bytes": need, "total_bytes": total},
            fix=Fix(summary="Run it on a larger machine, or a smaller or quantised version of it here."),
        )


@check("load", after=["*"])
def check_memory_free(model: Model, host: Host, ask: Asking) -> Iterator[Finding]:
    """There is memory free to load the model now, or a service that has it loaded."""
    if host.machine.effective_available is None:
        raise NotApplicable("the system does not tell its memory")
    short = shortage(model)
    if short is None:
        return
    service, instead = model.served_by, ""
    if service is not None:
        trouble = ask.failure(service)
        if trouble is None:
            raise NotApplicable(handed_over(model) or "")
        instead = f"; {printable(service.name, limit=80)}, which is asked instead, is no help: {trouble.message}"
    yield finding(
        "memory-insufficient",
        f"loading it takes about {human_bytes(short.needed)}, and {human_bytes(short.free)} are free now{instead}",
        evidence={
            "needed_bytes": short.needed,
            "available_bytes": short.free,
            "swap_free_bytes": short.swap,
            **({"served_by": service.name} if service is not None else {}),
        },
        fix=Fix(
            summary="End what holds the memory (a daemon may have the model loaded already), then try again."
            if service is None
            else "Mend the service first: it stands in for loading the model while memory is short.",
            commands=("ps -eo pid,user,rss,comm --sort=-rss | head",),
        ),
    )
