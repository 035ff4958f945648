"""Which device a session loads a model on, and whether it has memory of its own."""

from __future__ import annotations

from collections.abc import Iterable

from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model

BEST = "best"  # nothing is declared: a session takes what torch finds


def session_device(host: Host, model: Model) -> str:
    """Return where a session loads this model: its own device, the declared accelerator, or the best there is."""
    own = model.spec.device if model.spec is not None else None
    return _plain(own or host.accelerator or BEST)


def own_memory(host: Host, device: str) -> bool:
    """Return whether the device has memory of its own, so that the host's figures say nothing of it."""
    cuda = device.startswith("cuda") or (
        device == BEST and "cuda" in host.machine.accelerators and host.session.torch_accelerator != "cpu"
    )
    return cuda and not host.machine.unified_memory


def runs_on_cpu(host: Host, model: Model) -> bool:
    """Return whether a session loads this model on the CPU: it must, or torch finds nothing else."""
    device = session_device(host, model)
    return device == "cpu" or (device == BEST and not _finds_another(host))


def _finds_another(host: Host) -> bool:
    kinds = host.machine.accelerators
    return bool(kinds) and (host.session.torch_accelerator != "cpu" or "mps" in kinds)


def _plain(device: str) -> str:
    return "cuda" if device == "cuda:0" else device


def devices_to_examine(host: Host, models: Iterable[Model]) -> list[str]:
    """Return the devices to be proved before anything is loaded, each once.

    The CPU is proved by loading; where there is nothing to load and it is declared, it is examined by itself.
    """
    used = dict.fromkeys(session_device(host, m) for m in models)
    wanted = {**({host.accelerator: None} if host.accelerator else {}), **used}
    if BEST in wanted and not _finds_another(host):
        del wanted[BEST]
    if used:
        wanted.pop("cpu", None)
    return list(wanted)
