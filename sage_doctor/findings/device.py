"""What a probe found wrong with the device itself: one finding for each cause, about the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sage_doctor.findings.accelerator import KEEP_BUILD, LOOK_AT_NODES, LOOK_AT_TORCH, NO_DEVICES, hidden
from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.endings import WAITING, crash_advice, ended_from_outside, hung
from sage_doctor.findings.making import finding
from sage_doctor.findings.memory import held_by
from sage_doctor.report import Finding, Fix
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.probe.outcome import ProbeOutcome
    from sage_doctor.subjects.host import Host

TITLE = "Accelerator in use"
DECLARATIONS = declare(
    Declaration(
        code="torch-arch-unsupported",
        severity="error",
        title="torch was not built for this GPU",
        cause="This build of torch was compiled for other generations of GPUs: the GPU is newer than the build, older "
        "than what it still supports, or the build is not the one for Jetson.",
        remediation="Install a build of torch that supports this GPU; on Jetson that is NVIDIA's own.",
        shows=(
            *(r"no kernel image is available for execution", r"FlashAttention only supports Ampere GPUs or newer"),
            *(r"is not compatible with the current PyTorch", r"CUDA kernel \S{1,60} has no device code compatible"),
            *(r"ggml was not compiled with any CUDA arch <= \d", r"CUDNN_STATUS_ARCH_MISMATCH"),
            r"which is of (cuda|compute) capability .{0,300}?(no longer supports this GPU|hardware CC)",
            r"No published PyTorch CUDA builds for release \S{1,30} support this GPU",
            r"FlashAttention\d? requires compute capability >= \S{1,6}, but found",
            r"Bfloat16 is only supported on GPUs with compute capability of at least",
            r"is not supported for the current GPU\. Minimum capability",
            *(r"device kernel image is invalid", r"hipErrorNoBinaryForGpu: ", r"cutlassF: no kernel found to launch"),
            *(r"guarantee\(false && .hipErrorNoBinaryForGpu: ", r"Expected is_sm\d\w{0,3} .{0,60}?to be true, but got"),
            *(r"\"hipErrorNoBinaryForGpu: Unable to find", r"rocBLAS error: Cannot read \S{1,300}: Illegal seek"),
            *(r"(CUDA|HIP|ROCm) error: invalid device function", r"ptxas fatal ?: Value 'sm_\w{2,8}' is not defined"),
        ),
        may_show=(r"FlashInfer requires GPUs with sm75 or higher",),
    ),
    Declaration(
        code="accelerator-out-of-memory",
        severity="error",
        title="The accelerator has no free memory",
        cause="Other processes hold the device's memory, or on Jetson the memory that it shares with the CPU is full; "
        "torch reports that as an assertion about NVML.",
        remediation="End the processes that the finding names. On Jetson, drop the page cache or reboot.",
        may_show=(*(r"CUDA driver error: out of memory", r"CUDA error: out of memory"),),
        shows=(
            r"Free memory on device .{0,120}? is less than desired GPU memory utilization",
            *(r"Not enough memory\. Please try to increase --mem-fraction-static", r"unable to load full model on GPU"),
            *(r"larger than the available KV cache memory", r"No available memory for the cache blocks"),
            r"NVRM: .{0,60}?Out of memory",
        ),
    ),
    Declaration(
        code="accelerator-failed",
        severity="error",
        title="The accelerator fails its first computation",
        cause="The device was found, but an allocation or a small computation on it ends with an error.",
        remediation="Read the library's message in the finding. Restart the device or the machine if it worked before.",
        shows=(
            r"CUDA error: (misaligned address|hardware stack error|an i(llegal instruction|nternal operation failed))",
            *(r"CUBLAS_STATUS_(NOT_INITIALIZED|ALLOC_FAILED|EXECUTION_FAILED|INTERNAL_ERROR)", r"RmInitAdapter failed"),
            *(r"Error an illegal memory access was encountered at line \d", r"CUDA error: unspecified launch failure"),
            *(r"CUDA error: the launch timed out and was terminated", r"Watchdog caught collective operation timeout"),
            *(r"all CUDA-capable devices are busy or unavailable", r"Error 802: system not yet initialized"),
            *(r"CUDA error: an illegal memory access", r"CUDA error: uncorrectable ECC error", r"HIP error: \w{1,20}"),
            *(r"Memory access fault by GPU node-\d", r"cuDNN error: CUDNN_STATUS_(?!ARCH_)\w{1,40}", r"NVRM: Xid \("),
            *(r"NCCL error(:| in: | \d{1,3}: )", r"createDevice: ErrorDeviceLost", r"CUDA error: unknown error"),
            r"Command buffer execution failed: (?!Insufficient)\w",
            r"CUDA error \d{1,3} at \S{1,200}\.cuh?:\d{1,6}: invalid argument",
        ),
    ),
    Declaration(
        code="accelerator-wrong-numbers",
        severity="error",
        title="The accelerator computes wrong numbers",
        cause="The device or its memory is failing, or torch was built for another GPU. Nothing that runs on it can be "
        "trusted.",
        remediation="Look for memory errors in the kernel's log, undo overclocking, and install the vendor's torch.",
    ),
    Declaration(
        code="accelerator-timeout",
        severity="error",
        title="The accelerator did not answer in time",
        cause="The driver hangs, or torch compiles its kernels for a GPU that the build does not know.",
        remediation="Restart the device or the machine, and look for the driver's messages in the kernel's log.",
    ),
    Declaration(
        code="accelerator-crashed",
        severity="error",
        title="The first use of the accelerator crashes the process",
        cause="torch is incompatible with the driver or with its own CUDA libraries.",
        remediation="Install torch and its companions again as the vendor of this machine says.",
    ),
)


STAGES = {
    "device": "in the first call to the device",
    "allocate": "in the first allocation on the device",
    "compute": "in the first computation on the device",
}
_MOST_TAIL = 2000
# What libraries say → the finding it stands for; the catalogue recognises the same texts in a session's log.
_SAID = (
    "torch-cpu-build",
    "torch-arch-unsupported",
    "driver-mismatch",
    "accelerator-missing",
)
_ADVICE = {
    "torch-cpu-build": KEEP_BUILD,
    "torch-arch-unsupported": "Install a build of torch that supports this GPU: the vendor's own on Jetson, a newer "
    "one for a newer card, an older one for a card that newer builds have dropped.",
    "driver-mismatch": "After an upgrade of the driver: reboot. Otherwise upgrade the driver to one for that CUDA, or "
    "install a torch that was built for an older one.",
    "accelerator-missing": "The system lists the device, but torch does not find it: look for a card that fell off the "
    "bus (dmesg), for device nodes that this user cannot open, and for a container that was started without the "
    "devices.",
}


def device_finding(host: Host, device: str, outcome: ProbeOutcome) -> Finding | None:
    """Return what is wrong with a device after a probe of it, or None where it allocates and computes."""
    from sage_doctor.subjects.device import BEST  # noqa: PLC0415 - only after a probe

    if outcome.completed:
        return _fallen_back(host, outcome) if device == BEST else None
    evidence: dict[str, Any] = {
        "device": device,
        "ending": outcome.ending,
        "stage": outcome.stage,
        "where": list(outcome.where),
        "said": outcome.message,
        "output": outcome.output_tail[-_MOST_TAIL:],
    }
    outside = ended_from_outside(host, outcome, "examining the device", evidence)
    if outside is not None:
        return outside
    at = STAGES.get(outcome.stage, f"in stage {printable(outcome.stage or 'start')}")
    said = printable(outcome.message, limit=500)
    if outcome.ending == "deadline":
        return finding(
            "accelerator-timeout",
            hung(outcome, f"torch hung {at}"),
            evidence=evidence,
            fix=Fix(
                summary="Restart the device or the machine. If the first call compiles kernels for a GPU that the "
                "build does not know, it takes minutes once: run it again.",
                commands=("dmesg | grep -iE 'nvrm|xid|nvgpu' | tail", WAITING),
            ),
        )
    if outcome.ending == "signal":
        return finding(
            "accelerator-crashed",
            f"the interpreter crashed {at}: {said}",
            evidence={**evidence, "signal": outcome.signal},
            fix=Fix(
                summary=crash_advice(outcome).summary,
                commands=(f"{shell_quote(host.session.executable)} -m pip list",),
            ),
        )
    if outcome.ending == "out-of-memory":
        return _out_of_memory(host, at, said, evidence)
    if outcome.stage in STAGES and outcome.ending == "failed":
        return _failed(host, device, outcome, at, said, evidence)
    return _before_the_device(host, outcome, at, said, evidence)


def _before_the_device(host: Host, outcome: ProbeOutcome, at: str, said: str, evidence: dict[str, Any]) -> Finding:
    """Return the finding for a probe that never got to the device, or exited silently: that is a failure too."""
    python = shell_quote(host.session.executable)
    code = {"import-error": "package-missing", "spawn-failed": "interpreter-missing", "protocol": "probe-protocol"}
    what = {"import-error": "torch cannot be imported", "spawn-failed": "the sessions' interpreter does not start"}
    return finding(
        code.get(outcome.ending, "accelerator-failed"),
        f"{what.get(outcome.ending, f'the examination of the device ended {at}')}: {said}",
        evidence=evidence,
        fix=Fix(
            summary="Run this by hand and look at its output. A missing shared library belongs to another build of "
            "torch than the installed one. " + KEEP_BUILD,
            commands=(f"{python} -c {shell_quote(LOOK_AT_TORCH)}", f"{python} -m pip check"),
        ),
    )


def _out_of_memory(host: Host, at: str, said: str, evidence: dict[str, Any]) -> Finding:
    jetson = host.machine.is_jetson
    advice = (
        "End the processes that hold memory. The page cache may hold it too: `sync` and drop it as root, or reboot."
        if jetson
        else "End the process that holds the device's memory if nobody needs it: often it is a session that was killed "
        "without its children."
    )
    return finding(
        "accelerator-out-of-memory",
        f"the device has no memory for {64 * 64 * 4} bytes: it ran out {at}: {said}",
        evidence={**evidence, **held_by(host)},
        fix=Fix(summary=advice + _allocator(host), commands=("free -h", *_look(host))),
    )


def _failed(host: Host, device: str, outcome: ProbeOutcome, at: str, said: str, evidence: dict[str, Any]) -> Finding:
    text = outcome.failure.message if outcome.failure is not None else outcome.message
    if "wrong numbers:" in text:
        return finding(
            "accelerator-wrong-numbers",
            f"{device} computes wrong numbers: {printable(text.partition('wrong numbers: ')[2], limit=300)}",
            evidence=evidence,
            fix=Fix(
                summary="Do not trust anything that ran on it. Undo overclocking, look for memory errors (ECC, Xid), "
                "and install torch as the vendor of this machine says.",
                commands=("dmesg | grep -iE 'nvrm|xid' | tail",),
            ),
        )
    if ", got " in text and "asked for" in text:
        return _fallback(device, "the CPU: " + printable(text, limit=200), evidence, host)
    from sage_doctor.findings.recognition import search  # noqa: PLC0415 - only where something failed

    codes = [e.code for e in search(text) if e.code in _SAID]
    code = codes[0] if codes else "accelerator-failed"
    if code == "torch-cpu-build" or "torch sees no" in text:
        if code == "torch-cpu-build":
            return _told(code, f"torch itself says that it is built for the CPU only: {said}", evidence, host)
        return _fallback(device, f"the CPU: {printable(text, limit=200)}", evidence, host)
    value = host.environ.get("CUDA_VISIBLE_DEVICES")
    if code == "accelerator-missing" and value is not None and value.strip() in NO_DEVICES:
        return hidden(value)
    return _told(code, f"{device} cannot be used, it failed {at}: {said}", evidence, host)


def _told(code: str, message: str, evidence: dict[str, Any], host: Host) -> Finding:
    fallback = "Restart the device or the machine if this is new; otherwise torch and the driver are incompatible."
    extra = held_by(host) if code == "accelerator-failed" else {}
    return finding(
        code,
        message,
        evidence={**evidence, **extra},
        fix=Fix(
            summary=_ADVICE.get(code, fallback) + _allocator(host),
            commands=(f"{shell_quote(host.session.executable)} -c {shell_quote(LOOK_AT_TORCH)}", LOOK_AT_NODES, "id"),
        ),
    )


def _fallback(device: str, where: str, evidence: dict[str, Any], host: Host) -> Finding:
    return finding(
        "accelerator-fallback",
        f"sessions must run on {device}, and would run on {where}",
        evidence=evidence,
        fix=Fix(
            summary="Find out why torch does not see the device: driver, device nodes, the build of torch.",
            commands=(f"{shell_quote(host.session.executable)} -c {shell_quote(LOOK_AT_TORCH)}", LOOK_AT_NODES),
        ),
    )


def _fallen_back(host: Host, outcome: ProbeOutcome) -> Finding | None:
    if outcome.device is None or outcome.device.used != "cpu":
        return None
    devices = [s.source for s in host.machine.accelerator_signs if s.is_device]
    return finding(
        "accelerator-fallback",
        f"this machine has an accelerator ({', '.join(map(printable, devices[:2]))}), torch is built for one but does "
        "not see it; the manifest does not say whether sessions should run on the CPU",
        severity="warning",
        evidence={"devices": devices, "cuda_build": outcome.device.cuda_build},
        fix=Fix(
            summary='If sessions should run on the CPU, declare accelerator = "cpu". Otherwise find out why torch '
            "does not see the device: driver, device nodes, CUDA_VISIBLE_DEVICES.",
            commands=(f"{shell_quote(host.session.executable)} -c {shell_quote(LOOK_AT_TORCH)}", LOOK_AT_NODES),
        ),
    )


def _allocator(host: Host) -> str:
    """Return a sentence about the allocator's settings, where the environment makes any."""
    names = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
    made = [f"{n}={printable(host.environ[n], limit=100)}" for n in names if host.environ.get(n)]
    return f" {' and '.join(made)} is set here; try without it: not every board supports every setting." if made else ""


def _look(host: Host) -> tuple[str, ...]:
    if host.machine.is_jetson:
        return ("ps -eo pid,user,rss,comm --sort=-rss | head",)
    return ("nvidia-smi", "ps -eo pid,user,rss,comm --sort=-rss | head")
