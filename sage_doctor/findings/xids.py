"""The Xid errors of NVIDIA's driver, with what NVIDIA's own catalogue says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sage_doctor.facts.xid_table import BY_PROGRAMS, XIDS, Action, action_of
from sage_doctor.findings.making import finding
from sage_doctor.report import Finding, Fix, Severity
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.facts.kernel_log import Xid
    from sage_doctor.subjects.host import Host

_WORST: Sequence[Action] = ("reboot", "reset", "power", "link", "update", "support", "restart-app", "see", "ignore")
_SEVERITY: Mapping[Action, Severity] = {
    "reboot": "error",
    "reset": "error",
    **dict.fromkeys(("power", "link", "update", "support"), "warning"),
    **dict.fromkeys(BY_PROGRAMS, "info"),
}
_DO: Mapping[Action, str] = {
    "reboot": "Restart the machine. If it comes back, it is the hardware (power, PCIe slot, riser, the card itself): "
    "contact its vendor.",
    "reset": "Reset the GPU while nothing uses it, or restart the machine. If it comes back, contact the vendor.",
    "power": "Connect the auxiliary power of the card.",
    "link": "Reset the GPUs or restart the machine; if that does not clear it, a link or the device at its other end "
    "fails: contact the vendor.",
    "update": "Update driver and firmware.",
    "support": "Contact the vendor if it comes back.",
    "restart-app": "Start the program that it ended again. If the same program ends like this each time, the fault is "
    "in the program; if any program does, in the driver or the card.",
    "see": "Look at the Xid before it.",
    "ignore": "Nothing at once; watch whether it comes more often.",
}


def xid_finding(host: Host, xids: Sequence[Xid]) -> Finding | None:
    """Return the one finding for all Xids of this boot: the worst first, the others in its evidence."""
    left = _since_recovery(xids)
    if not left:
        return None
    worst = min(left, key=lambda x: (_WORST.index(action_of(x)), x.number != 154, -left.index(x)))
    action = action_of(worst)
    count = Counter(x.number for x in left)
    known = worst.number in XIDS
    meaning = XIDS[worst.number][0] if known else "not in this copy of NVIDIA's catalogue"
    times = f" {count[worst.number]} times" if count[worst.number] > 1 else ""
    others = [f"{n} ({XIDS[n][0] if n in XIDS else 'unknown'})" for n in dict.fromkeys(count) if n != worst.number]
    more = f"; also Xid {', '.join(others[:4])}" if others else ""
    said = f": {printable(worst.text, limit=160)}" if worst.number == 154 else ""
    where = printable(worst.device)
    # Whether a GPU was reset since, the log of an older driver does not tell; that it was not, newer ones do (Xid 154).
    unsure = action == "reset" and worst.number != 154
    return finding(
        "accelerator-xid",
        f"since this boot the kernel's log has Xid {worst.number}{times} of the GPU at {where}: {meaning}{said}{more}",
        severity="warning" if unsure else _SEVERITY[action],
        evidence={
            "xid": worst.number,
            "device": worst.device,
            "said": worst.text,
            "action": action,
            "counts": {str(n): c for n, c in count.items()},
        },
        fix=Fix(
            summary=f"NVIDIA's catalogue of Xid errors says: {_DO[action]}",
            commands=_commands(host, action, worst.device),
        ),
    )


def _since_recovery(xids: Sequence[Xid]) -> list[Xid]:
    """Leave out what a GPU has recovered from: the driver says so with Xid 154."""
    left: list[Xid] = []
    for one in xids:
        if one.number == 154 and action_of(one) == "ignore":
            left = [x for x in left if x.device != one.device]
        else:
            left.append(one)
    return left


def _commands(host: Host, action: Action, device: str) -> tuple[str, ...]:
    if action == "reboot" or (action == "reset" and host.machine.is_jetson):
        return ("sudo reboot",)
    if action == "reset":
        return (f"sudo nvidia-smi --gpu-reset -i {shell_quote(device + '.0')}",)
    return ("sudo dmesg | grep -i xid | tail",)
