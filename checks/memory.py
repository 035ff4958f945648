"""Whether the machine has the memory that loading a model takes, and the room for one that has to be built."""

from __future__ import annotations

from collections.abc import Iterator

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import Blocked, NotApplicable
from sage_doctor.findings.environment import blocking_code
from sage_doctor.findings.memory import held_by
from sage_doctor.report import Severity
from sage_doctor.subjects.device import own_memory, session_device
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.needs import (
    mapped_bytes,
    memory_needed,
    rereads,
    room_to_rebuild,
    shortage,
    swap_for,
    weight_bytes,
)
from sage_doctor.subjects.service import why_not_loaded
from sage_doctor.suite.model_prober import DeviceProbe, ModelProber
from sage_doctor.suite.service_prober import ServiceProber
from sage_doctor.text import format_bytes, printable

ORDER = 130  # of the check files: causes before consequences

TOP = "ps -eo pid,user,rss,comm --sort=-rss | head"


@check("static", after=["*"])
def check_memory(model: Model, host: Host) -> Iterator[Finding]:
    """The model fits into this machine's memory."""
    if own_memory(host, session_device(host, model)):
        raise NotApplicable("the accelerator has its own memory, which only a probe can read")
    total = host.machine.memory_total
    if total is None:
        raise NotApplicable("the system does not report its memory")
    need, swap = memory_needed(model), swap_for(model, total=True)
    if need > total and model.served_by is not None:
        raise NotApplicable(f"it never fits here: {printable(model.served_by, limit=80)} is asked instead")
    if need > total:
        yield finding(
            "memory-insufficient",
            f"loading it needs about {format_bytes(need)}, {_who(host)} {format_bytes(total)}"
            + (f", and swap for the rest ({format_bytes(swap)}): it will be very slow" if need <= total + swap else ""),
            severity="warning" if need <= total + swap else None,
            evidence={"needed_bytes": need, "total_bytes": total, "swap_bytes": swap},
            fix=Fix(
                summary="Run it on a larger machine, or a smaller or quantised version of it here." + _limits(host)
            ),
        )
    elif rereads(model, total) and model.served_by is None:
        yield _does_not_stay(host, model, total)


@check("load", after=["*"])
def check_memory_free(model: Model, host: Host, probe: ModelProber, ask: ServiceProber) -> Iterator[Finding]:
    """There is memory free to load the model now, or a service that has it loaded."""
    device = session_device(host, model)
    separate = own_memory(host, device)
    if separate:
        blocked = blocking_code(host, model) or probe.broken_device(model)
        if blocked is not None:
            raise Blocked(blocked)
        held = _device_short(model, host, device, probe.examined(host, device))
        if held is not None:
            yield held
            return
    free = host.machine.effective_available
    if free is None:
        raise NotApplicable("the system does not report its memory")
    need, swap = memory_needed(model), swap_for(model)
    if separate and need > free + swap:
        through = " in the machine, which a load without device_map passes through"
        yield _short(host, need, free, swap, through, severity="warning")
    elif shortage(model) is not None:
        service, instead = model.served_by, ""
        if service is not None:
            trouble = ask.failure(ask.service(service))
            if trouble is None:
                raise NotApplicable(why_not_loaded(model) or "")
            instead = f"; the service {printable(service, limit=80)}, which stands in for it, fails: {trouble.message}"
        yield _short(host, need, free, swap, instead, service=service)


def _does_not_stay(host: Host, model: Model, total: int) -> Finding:
    lacking, weights = rereads(model, total), weight_bytes(model)
    needed = memory_needed(model) + mapped_bytes(model)
    return finding(
        "memory-insufficient",
        f"it loads, but {format_bytes(lacking)} of its weights ({format_bytes(weights)}) do not stay in the "
        f"{format_bytes(total)} of memory here: they are read from the disk again for every token",
        severity="warning",
        evidence={
            "needed_bytes": needed,
            "total_bytes": total,
            "reread_bytes": lacking,
        },
        fix=Fix(
            summary="Run it on a larger machine, or a smaller or quantised version of it here." + _limits(host),
        ),
    )


def _short(
    host: Host,
    need: int,
    free: int,
    swap: int,
    more: str,
    *,
    severity: Severity | None = None,
    service: str | None = None,
) -> Finding:
    evidence = {"needed_bytes": need, "available_bytes": free, "swap_free_bytes": swap}
    return finding(
        "memory-insufficient",
        f"loading it needs about {format_bytes(need)}, and {format_bytes(free)} are free now{more}",
        severity=severity,
        evidence={**evidence, **({"served_by": service} if service is not None else {})},
        fix=Fix(
            summary="End the processes that hold the memory (a daemon may have the model loaded already), then try "
            "again." + _limits(host)
            if service is None
            else "Repair the service first: it stands in for the model while memory is short.",
            commands=(TOP,),
        ),
    )


def _device_short(model: Model, host: Host, device: str, examined: DeviceProbe) -> Finding | None:
    need, total, free = weight_bytes(model), examined.memory_total, examined.memory_free
    evidence = {"needed_bytes": need, "total_bytes": total, "available_bytes": free, "device": device}
    if not total or need <= free:
        return None
    if need > total:
        return finding(
            "memory-insufficient",
            f"its weights need about {format_bytes(need)}, and the accelerator has {format_bytes(total)}",
            evidence=evidence,
            fix=Fix(summary="Run it on a larger accelerator, or a smaller or quantised version of it on this one."),
        )
    return finding(
        "gpu-memory-held",
        f"its weights need about {format_bytes(need)}; of the accelerator's {format_bytes(total)}, "
        f"{format_bytes(free)} are free now",
        severity="error",
        evidence={**evidence, **held_by(host)},
        fix=Fix(
            summary="End the process that holds the rest if nobody needs it; a daemon may have the model loaded "
            "already.",
            commands=("nvidia-smi", TOP),
        ),
    )


def _who(host: Host) -> str:
    return "this machine has" if host.machine.memory.limit is None else "the control group it runs in allows"


def _limits(host: Host) -> str:
    memory = host.machine.memory
    if memory.limit is not None:
        return f" A control group limits this process to {format_bytes(memory.limit)}: a container or unit sets it."
    if host.machine.is_wsl:
        return " WSL gets half of the machine's memory unless memory= in the Windows user's .wslconfig allows more."
    return ""


@check("static", kinds=["merged"])  # also where it is missing: that is when it has to be built
def check_disk(model: Model) -> Iterator[Finding]:
    """There is room for the model where it has to be built from its base and adapter."""
    room = room_to_rebuild(model)
    if room is None:
        raise NotApplicable("it does not have to be built, or cannot be built here")
    need, free = room
    if need > free:
        yield finding(
            "disk-insufficient",
            f"merging it needs about {format_bytes(need)}, and {format_bytes(free)} are free at "
            f"{printable(str(model.path.parent))}",
            evidence={"needed_bytes": need, "free_bytes": free, "path": str(model.path.parent)},
            fix=Fix(
                summary="Free disk space there before `sage-doctor fix`, or move the model's path to a larger disk.",
                commands=("df -h",),
            ),
        )
