"""Memory and disk: what a load or a merge needs, what is free, and who holds the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.text import format_bytes, printable

if TYPE_CHECKING:
    from sage_doctor.subjects.host import Host

TITLE = "Memory and disk"
DECLARATIONS = declare(
    Declaration(
        code="gpu-memory-held",
        severity="warning",
        title="Other processes hold the accelerator's memory",
        cause="Another process holds memory that this model needs, often a session that was killed without its "
        "children.",
        remediation="End the process that the finding names if nobody needs it.",
    ),
    Declaration(
        code="memory-insufficient",
        severity="error",
        title="Not enough memory for the model",
        cause="The model needs more than is free. Where CPU and GPU share memory, everything else that runs counts.",
        remediation="End other processes, use a smaller dtype or model, or add swap as a stopgap. With `device_map`,"
        " `offload_folder=` lets transformers keep on disk what does not fit, which is slow.",
        shows=(
            r"not enough memory: you tried to allocate",
            *(r"\[Errno 12\] Cannot allocate memory", r"The paging file is too small for this operation"),
            r"(?<!bytes\): )Cannot allocate memory$",  # but for llama.cpp's mlock, without which it goes on
            r"Not enough memory to handle \d{1,9} (prefill|max|total) tokens",
            # An automatic device map that had to put parts on the disk.
            *(r"please (pass along|provide) an `offload_folder`", r"we need an `offload_dir` to dispatch this model"),
            r"The current `device_map` had weights offloaded to the disk",
            r"^LLVM ERROR: out of memory",
            r"model requires more system memory .{0,60}?than is available",
            r"To serve at least one request with the models?'?s max seq len",
            r"The model's max seq len \(\d{1,9}\) is larger than the maximum number of tokens",
            r"(?<!Possibly )too large swap space",
            r"not enough space in the (buffer to allocate|context's memory pool \()",
            r"cannot meet free memory target",
            r"failed to fit params to free device memory",
            r"unable to mmap \d{1,20} bytes from file",
            r"llama runner exited, you may not have enough available memory",
        ),
    ),
    Declaration(
        code="disk-insufficient",
        severity="warning",
        title="Not enough free disk space",
        cause="A download, a merge or the sessions' own output does not fit on the disk.",
        remediation="Free disk space. The finding says how much is needed, and where.",
        shows=(
            *(r"enforce fail at inline_container\.cc:\d{1,5}\] ?\. unexpected pos", r"No space left on device"),
            *(r"The node was low on resource: ephemeral-storage", r"PytorchStreamWriter failed writing file"),
            *(r"Not enough free disk space to download", r"There is not enough space on the disk"),
            *(r"no space left on device", r"Disk quota exceeded"),
        ),
    ),
)


def held_by(host: Host) -> dict[str, Any]:
    """Return, as evidence, who holds the accelerator's memory, and how many processes could not be looked into."""
    from sage_doctor.facts.gpu_holders import read_holders  # noqa: PLC0415 - only where memory ran out

    holders = read_holders(jetson=host.machine.is_jetson)
    shown = [
        {
            "name": f"{printable(h.name, limit=60)} (pid {h.pid}"
            + (f", {format_bytes(h.held_bytes)}" if h.held_bytes else "")
            + ")",
            "pid": h.pid,
            "held_bytes": h.held_bytes,
            "resident_bytes": h.resident_bytes,
        }
        for h in holders.processes[:10]
    ]
    # Of another user's processes only root sees the open files.
    return {"held_by": shown, "processes_not_visible": holders.unseen}
