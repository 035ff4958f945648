"""The device a session would use: it is named, initialised and made to compute."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from typing import Any

from sage_doctor.probe.child.reporter import ProbeFailure, Reporter


def choose_device(torch: Any, request: dict[str, Any]) -> str:
    """Return the declared device, else the accelerator the machine is meant to have, else the best there is."""
    declared = request["device"] or request["accelerator"]
    if declared:
        return str(declared)
    if torch.cuda.is_available():
        return "cuda"
    mps = getattr(torch.backends, "mps", None)
    return "mps" if mps is not None and mps.is_available() else "cpu"


def find_device(torch: Any, kind: str) -> str:
    """Initialise the accelerator; returns why it cannot be used. Raises what the library says of it."""
    if kind == "cuda":
        # is_available() only says no; initialising says why, and warns of a driver that is too old by failing.
        torch.cuda.init()
        return "" if torch.cuda.is_available() else "torch sees no CUDA device"
    if kind == "mps":
        if not torch.backends.mps.is_built():
            return "Torch not compiled with MPS enabled"
        return "" if torch.backends.mps.is_available() else "torch sees no Metal device"
    return ""


def compute(torch: Any, device: str, ones: Any) -> str:
    """Run two small kernels, one of a library and one of torch's own; returns what is wrong with their numbers."""
    product = float((ones @ ones).sum().item())
    if product != 64.0**3:
        return f"wrong numbers: a product of two 64 x 64 matrices of ones sums to {product:g}, not {64**3}"
    line = float(torch.arange(1000, device=device, dtype=torch.float32).mul(2).add(1).sum().item())
    return "" if line == 1e6 else f"wrong numbers: 1 + 3 + 5 + ... + 1999 came out as {line:g}, not 1000000"


def verify_device(reporter: Reporter, torch: Any, device: str) -> None:
    """Initialise, allocate, compute and compare: some drivers report a device that does not work."""
    started = time.perf_counter()
    kind = device.partition(":")[0]
    build = torch.version.cuda or getattr(torch.version, "hip", None) or ""
    facts = {"used": device, "name": platform.machine(), "cuda_build": str(build), "problem": ""}
    memory = {"memory_total": 0, "memory_free": 0}

    def report_device() -> None:
        reporter.send("device", seconds=time.perf_counter() - started, **facts, **memory)

    try:
        facts["problem"] = find_device(torch, kind)
        if not facts["problem"]:
            reporter.stage("allocate")
            ones = torch.ones((64, 64), device=device)
            if ones.device.type != kind:
                facts["problem"] = f"asked for {kind}, got {ones.device.type}"
        if not facts["problem"]:
            reporter.stage("compute")
            facts["problem"] = compute(torch, device, ones)
        if kind == "cuda" and not facts["problem"]:
            facts["name"] = torch.cuda.get_device_name(device)
            with contextlib.suppress(Exception):  # not every build and board tells
                memory["memory_free"], memory["memory_total"] = map(int, torch.cuda.mem_get_info(device))
    except Exception as error:
        facts["problem"] = (str(error) or type(error).__name__)[:1000]
        report_device()
        raise
    report_device()
    if facts["problem"]:
        raise ProbeFailure("AcceleratorUnavailable", f"{device}: {facts['problem']}")


def report_memory(reporter: Reporter, torch: Any, device: str) -> None:
    """Report the peak memory so far, of the process and on the device."""
    resident = 0
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as handle:
        resident = next((int(line.split()[1]) * 1024 for line in handle if line.startswith("VmHWM:")), 0)
    if not resident:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    on_device = 0
    if device.startswith("cuda"):
        on_device = int(torch.cuda.max_memory_allocated(device))
    elif device.startswith("mps"):
        on_device = int(torch.mps.driver_allocated_memory())
    reporter.send("memory", peak_resident_bytes=resident, peak_device_bytes=on_device)
