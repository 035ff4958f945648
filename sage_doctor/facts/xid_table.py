"""NVIDIA's catalogue of Xid errors: what each number means, and what NVIDIA says is to be done at once.

From the "Xid Catalog" of https://docs.nvidia.com/deploy/xid-errors/ (Ampere and newer; those in use). Numbers that are
not here are unused there, or newer than this copy: nothing is said of them but that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from sage_doctor.facts.kernel_log import Xid

Action = Literal["ignore", "restart-app", "reset", "reboot", "support", "update", "power", "link", "see"]

_ROWS: tuple[tuple[Action, Mapping[int, str]], ...] = (
    (
        "ignore",
        {
            37: "driver firmware error",
            38: "driver firmware error",
            43: "GPU stopped processing: a program hit a fault of its own and must end; the GPU stays healthy",
            44: "graphics engine fault during context switch",
            63: "GPU memory remapping event",
            66: "illegal access by driver",
            67: "illegal access by driver",
            92: "high single-bit ECC error rate",
            93: "InfoROM wear limit exceeded",
            106: "SMBPBI test message",
            107: "SMBPBI test message",
            121: "corrected errors on the C2C link",
            137: "NVLink privilege error: usually an illegal access of a program to another GPU",
            141: "CUDA fast path error",
            152: "DLA SMMU error",
            153: "DLA timeout",
            157: "resource retirement failure",
            160: "channel retirement event",
            161: "channel retirement failure",
        },
    ),
    (
        "restart-app",
        {
            8: "GPU stopped processing",
            11: "invalid or corrupted push buffer stream",
            13: "graphics engine exception",
            25: "invalid or illegal push buffer stream",
            31: "GPU memory page fault: typically an illegal access of a program",
            32: "invalid or corrupted push buffer stream: usually the quality of the PCI connection",
            **dict.fromkeys((39, 40, 41), "copy engine exception"),
            60: "video processor exception",
            68: "video decoder exception",
            69: "graphics engine class error",
            **dict.fromkeys((70, 71, 72, 75, 76, 77, 85, *range(126, 136)), "copy engine error"),
            80: "corrupted data sent to the GPU",
            **dict.fromkeys((82, 99, 100, 101, 102, 103, 104, 105), "JPEG decoder error"),
            **dict.fromkeys((83, 84, 88, 89, 96, 97, 98), "video decoder error"),
            86: "optical flow accelerator exception",
            139: "optical flow accelerator error",
            94: "contained memory error: one program is affected; reset the GPU when convenient",
        },
    ),
    (
        "reset",
        {
            46: "GPU stopped processing",
            48: "double bit ECC error",
            62: "internal micro-controller halt",
            64: "GPU memory remapping failure",
            95: "uncontained memory error",
            109: "context switch timeout",
            110: "security fault",
            119: "GSP RPC timeout",
            120: "GSP error",
            136: "link training failed",
            140: "unrecovered ECC error",
            143: "GPU initialization error",
            155: "NVLink: error defined by software",
            156: "resource retirement event",
            158: "GPU fatal timeout",
        },
    ),
    ("reboot", {79: "GPU has fallen off the bus"}),
    ("power", {54: "auxiliary power is not connected to the GPU board"}),
    ("update", {78: "vGPU start error"}),
    ("support", {142: "video encoder error", 151: "key rotation error"}),
    ("link", {74: "NVLink error", **dict.fromkeys(range(144, 151), "NVLink error")}),
    (
        "see",  # another Xid beside it says what is to be done
        {
            45: "preemptive cleanup: a program was ended, or an earlier error ended it",
            154: "GPU recovery action changed",
            171: "details of Xid 48: DRAM",
            172: "details of Xid 48: SRAM",
        },
    ),
)

XIDS: Mapping[int, tuple[str, Action]] = {
    number: (meaning, action) for action, rows in _ROWS for number, meaning in rows.items()
}
# The words in which Xid 154 says what the GPU needs now.
RECOVERY: Mapping[str, Action] = {
    "none": "ignore",
    "drain p2p": "link",
    "drain and reset": "reset",
    "gpu reset required": "reset",
    "node reboot required": "reboot",
}
BY_PROGRAMS: frozenset[Action] = frozenset({"restart-app", "see", "ignore"})  # any session may cause those


def action_of(xid: Xid) -> Action:
    """Return what NVIDIA says is to be done at once; a number that is not in this copy is for the vendor to explain."""
    if xid.number == 154:
        words = re.findall(r"\(([^()]*)\)", xid.text)
        return RECOVERY.get(words[-1].strip().lower(), "see") if words else "see"
    return XIDS[xid.number][1] if xid.number in XIDS else "support"
