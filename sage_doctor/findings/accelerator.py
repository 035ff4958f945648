"""What keeps sessions from their accelerator, as far as files, versions and variables tell: nothing is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.report import Finding, Fix
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.subjects.host import Host

TITLE = "Accelerator"
DECLARATIONS = declare(
    Declaration(
        code="torch-cpu-build",
        severity="error",
        title="torch is a CPU build on a machine with a GPU",
        cause="A plain `pip install` replaced the build for the accelerator with one for the CPU only. On Jetson this "
        "happens whenever a package asks for a newer torch.",
        remediation="Install the vendor's build again, and keep pip from replacing it with `--no-deps` or a "
        "constraints file.",
        shows=(
            *(r"Torch not compiled with CUDA enabled", r"Torch not compiled with MPS enabled"),
            r"PyTorch was compiled without CUDA support",
            r"Attempting to deserialize object on a CUDA device but torch\.cuda\.is_available\(\) is False",
        ),
    ),
    Declaration(
        code="accelerator-missing",
        severity="error",
        title="The accelerator was not found",
        cause="There is no driver, its device files are not accessible, or the device fell off the bus.",
        remediation="Check the driver, and that the session's user can open the device files (groups `video` and "
        "`render`). A reboot helps if the device is gone.",
        shows=(
            *(r"could not select device driver \S{0,20} with capabilities: \[\[gpu\]\]", r"No CUDA GPUs are available"),
            *(r"with a model not initialized on GPU and with no GPU available", r"no CUDA-capable device is detected"),
            *(r"Unable to determine the device handle for GPU\S{0,40}: ", r"Unsloth cannot find any torch accelerator"),
            *(r"NvRmMemInitNvmap failed with No such file or directory", r"Failed to initialize NVML: Unknown Error"),
            *(r"CUDA driver initialization failed, you might not have", r"NVRM: No NVIDIA (GPU|PCI devices) found"),
            *(r"No GPU (or XPU )?found\. A GPU (or XPU )?is needed", r"unknown or invalid runtime name: nvidia"),
            *(r"exec: .nvidia-container-runtime.: executable file", r"nvidia-container-cli: \w{1,20} error: "),
            *(r"Current node has no \w{1,12} available", r"Found no NVIDIA driver on your system"),
            *(r"No devices were found$", r"fallen off the bus"),
            *(r"cuda driver library init failure: \d", r"CUDA error: invalid device ordinal", r"CUDA unknown error"),
            *(r"The NVIDIA Driver was not detected", r"GPU is required to (run|quantize)", r"No NVIDIA devices probed"),
            *(r"Insufficient nvidia\.com/gpu", r"Torch is not able to use GPU", r"Failed to infer device type"),
        ),
        may_show=(
            *(r"Failed to initialize NVML: N/A", r"No platform detected, vLLM is running on UnspecifiedPlatform"),
            *(r"Unexpected error from cudaGetDeviceCount\(\)", r"User provided device_type of 'cuda', but CUDA"),
        ),
    ),
    Declaration(
        code="driver-not-loaded",
        severity="error",
        title="NVIDIA's kernel module is not loaded",
        cause="The module was not built for this kernel, is not signed for Secure Boot, or another driver took the "
        "card.",
        remediation="Build or sign the module for the running kernel (`dkms status`), or boot the kernel it was built "
        "for.",
        shows=(
            r"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver",
            *(r"Failed to initialize NVML: Driver Not Loaded", r"could not insert 'nvidia'"),
            r"module nvidia not found",
        ),
    ),
    Declaration(
        code="accelerator-no-access",
        severity="error",
        title="The session's user cannot open the accelerator",
        cause="The device files exist, but their mode keeps this user out.",
        remediation="Add the user to the group that owns them (`video`, `render`) and log in again.",
        shows=(
            *(r"Failed to initialize NVML: Insufficient Permissions", r"/dev/dri/\w{1,20}.{0,80}?Permission denied"),
            *(r"NvRmMemInitNvmap failed with Permission denied", r"/dev/nv\w{1,40}.{0,80}?Permission denied"),
            r"Unable to open /dev/kfd",
        ),
    ),
    Declaration(
        code="accelerator-hidden",
        severity="error",
        title="The environment hides the accelerator",
        cause="torch sees no device and runs on the CPU. The variable is often left over from a test, or set in a unit "
        "file.",
        remediation="Unset CUDA_VISIBLE_DEVICES in the sessions' environment, or let it name the device.",
    ),
    Declaration(
        code="driver-mismatch",
        severity="error",
        title="The driver does not match torch or its own module",
        cause="The driver was upgraded without a reboot, so that kernel module and library are of two releases; or it "
        "is older than the CUDA that torch was built for.",
        remediation="Reboot after a driver upgrade. Otherwise upgrade the driver, or install a torch that was built "
        "for it.",
        shows=(
            r"nvidia-container-cli: requirement error: unsatisfied condition: cuda",
            *(r"system has unsupported display driver / cuda driver combination", r"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
            *(r"the provided PTX was compiled with an unsupported toolchain", r"CUDA driver version is insufficient"),
            *(r"forward compatibility was attempted on non supported HW", r"Driver/library version mismatch"),
            *(r"The NVIDIA driver on your system is too old", r"NVRM: API mismatch: the client"),
        ),
    ),
    Declaration(
        code="accelerator-xid",
        severity="warning",
        title="The GPU's driver reported an error since this boot",
        cause="NVIDIA's driver numbers its errors (Xid) and writes them into the kernel's log. Some end one program, "
        "others leave the GPU unusable until it is reset or the machine is restarted.",
        remediation="Do what NVIDIA's catalogue says of the number, and look whether it comes back.",
        may_show=(r"NVRM: Xid \(",),
    ),
    Declaration(
        code="accelerator-fallback",
        severity="error",
        title="The model would run on the CPU instead",
        cause="Sessions would silently run on the CPU: many times slower, and with results that may differ.",
        remediation="Find out why torch does not see the accelerator (build, driver, CUDA_VISIBLE_DEVICES) before any "
        "session runs.",
        shows=(
            r"(GPU|CUDA|MPS|ROCm|Vulkan) .{0,160}?(falling|fall|fell) back to (run on )?(the )?CPU",
            r"no CUDA device is available\. Quantization and inference will run on the CPU",
            r"Using .{0,20}?quantized models requires a GPU or XPU, we will default",
            *(r"warning: no usable GPU found, --gpu-layers option", r"Failed to create \w{1,30}ExecutionProvider"),
            *(r"^>>> torch\.cuda\.is_available\(\) False$", r"CUDA is not available.{0,80}?CPU"),
        ),
    ),
)


LOOK_AT_NODES = "ls -l /dev/nvidia* /dev/nvmap /dev/dxg /dev/dri /proc/driver/nvidia/version"
LOOK_AT_TORCH = "import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available())"
KEEP_BUILD = (
    "Install the build of torch that this machine's vendor provides (on Jetson: NVIDIA's wheel; elsewhere the wheel "
    "for your CUDA from PyTorch's own index), and keep pip from replacing it again: --no-deps, or a constraints file."
)
NO_DEVICES = ("", "-1", "NoDevFiles", "none", "void")


def accelerator_problem(host: Host) -> Finding | None:
    """Return why sessions will not get the accelerator they must run on, as far as files tell, or None."""
    wanted = host.accelerator
    if wanted == "cuda":
        return _cpu_build(host) or _hidden(host) or _no_device(host) or _no_access(host) or _mismatch(host)
    if wanted == "mps" and "mps" not in host.machine.accelerators:
        return finding(
            "accelerator-missing",
            f"sessions must run on mps, and this machine is not a Mac with Apple silicon "
            f"({printable(host.machine.platform)}, {printable(host.machine.architecture)})",
            evidence={"accelerator": wanted, "platform": host.machine.platform},
            fix=Fix(summary="Correct the accelerator of this machine in the manifest. On a Mac, check that this Python "
            "is for arm64, not for Intel under Rosetta."),
        )  # fmt: skip
    return None


def accelerator_doubt(host: Host) -> Finding | None:
    """Return what is odd although nothing is declared, or although the declared accelerator exists."""
    wanted, session = host.accelerator, host.session
    if wanted is None and "cuda" in host.machine.accelerators and session.torch_accelerator == "cpu":
        signs = [s.source for s in host.machine.accelerator_signs if s.is_device]
        return finding(
            "torch-cpu-build",
            f"this machine has an NVIDIA device ({join_limited(signs, most=2)}), and the sessions' torch "
            f"{printable(session.packages.get('torch') or '')} is built for the CPU only; the manifest does not say "
            "which of the two is intended",
            severity="warning",
            evidence={"torch": session.packages.get("torch"), "python": session.executable, "devices": signs},
            fix=Fix(summary='If sessions should run on the CPU, declare accelerator = "cpu". Otherwise: ' + KEEP_BUILD),
        )
    if wanted == "mps" and host.environ.get("PYTORCH_ENABLE_MPS_FALLBACK") == "1":
        return finding(
            "accelerator-fallback",
            "PYTORCH_ENABLE_MPS_FALLBACK=1 lets torch silently run on the CPU what Metal does not support",
            severity="warning",
            evidence={"variable": "PYTORCH_ENABLE_MPS_FALLBACK"},
            fix=Fix(
                summary="Unset the variable in the sessions' environment: what Metal does not support then fails "
                "visibly."
            ),
        )
    return None


def _cpu_build(host: Host) -> Finding | None:
    session = host.session
    if session.problem is not None or session.torch_accelerator != "cpu":
        return None
    return finding(
        "torch-cpu-build",
        f"sessions must run on cuda, and the sessions' torch {printable(session.packages.get('torch') or '')} is built "
        "for the CPU only",
        evidence={"torch": session.packages.get("torch"), "python": session.executable},
        fix=Fix(summary=KEEP_BUILD),
    )


def _hidden(host: Host) -> Finding | None:
    value = host.environ.get("CUDA_VISIBLE_DEVICES")
    if value is None or value.strip() not in NO_DEVICES:
        return None
    return hidden(value)


def hidden(value: str) -> Finding:
    """Return the finding for devices that the environment hides from torch."""
    return finding(
        "accelerator-hidden",
        f"sessions must run on cuda, and CUDA_VISIBLE_DEVICES={shell_quote(value)} hides every device from them",
        evidence={"variable": "CUDA_VISIBLE_DEVICES", "value": value},
        fix=Fix(summary="Unset the variable in this environment (shell profile, unit file, crontab), or name the "
        "device: CUDA_VISIBLE_DEVICES=0."),
    )  # fmt: skip


def _no_device(host: Host) -> Finding | None:
    machine = host.machine
    kind = "rocm" if host.session.torch_accelerator == "rocm" else "cuda"
    if kind in machine.accelerators:
        return None
    signs = [s.source for s in machine.accelerator_signs]
    evidence = {"accelerator": "cuda", "signs": signs, "driver": machine.nvidia_driver, "cards": machine.nvidia.cards}
    if machine.nvidia_driver is not None:
        return finding(
            "accelerator-missing",
            f"NVIDIA's driver {printable(machine.nvidia_driver)} is loaded, but its device node is missing "
            "(/proc/driver/nvidia/version exists, /dev/nvidia0 does not)",
            evidence=evidence,
            fix=Fix(
                summary="In a container: start it with the devices (--gpus all; on Jetson --runtime nvidia). On the "
                "host: `nvidia-modprobe -u -c=0` creates the nodes; if that fails, look in the kernel's log whether "
                "the card fell off the bus.",
                commands=(LOOK_AT_NODES, "dmesg | grep -iE 'nvrm|xid' | tail"),
            ),
        )
    if machine.nvidia.cards:
        return finding(
            "driver-not-loaded",
            f"an NVIDIA card is on the bus ({join_limited(list(machine.nvidia.cards), most=2)}), but NVIDIA's kernel "
            "module is not loaded",
            evidence=evidence,
            fix=Fix(
                summary="After a kernel upgrade the module has to be built for the new kernel (DKMS), and with Secure "
                "Boot it has to be signed. If nouveau has the card, NVIDIA's driver is not installed. Then reboot.",
                commands=("lsmod | grep -iE 'nvidia|nouveau'", "dkms status", "dmesg | grep -iE 'nvidia|nvrm' | tail"),
            ),
        )
    if machine.is_wsl:
        what = "WSL shows no NVIDIA device: /dev/dxg or /usr/lib/wsl/lib/libcuda.so.1 is missing"
        advice = (
            "Install NVIDIA's driver in Windows (never in the distribution), then `wsl --update`, `wsl --shutdown`."
        )
    else:
        what = f"this machine has no CUDA device (signs seen: {join_limited(signs) or 'none'})"
        advice = "Check that the driver is loaded, and that the device nodes are passed into this container."
    return finding(
        "accelerator-missing",
        f"sessions must run on cuda, and {what}",
        evidence=evidence,
        fix=Fix(summary=f'{advice} If sessions may run on the CPU, declare accelerator = "cpu".',
                commands=(LOOK_AT_NODES,)),
    )  # fmt: skip


def _no_access(host: Host) -> Finding | None:
    devices = [s for s in host.machine.accelerator_signs if s.is_device]
    if any(s.accessible for s in devices):
        return None
    names = [s.source for s in devices]
    return finding(
        "accelerator-no-access",
        f"this user cannot open the accelerator's device files ({join_limited(names, most=3)})",
        evidence={"devices": names},
        fix=Fix(
            summary="Add the sessions' user to the group that owns them (`video`, and `render` if it exists), and log "
            "in again: a running session keeps its old groups.",
            commands=(LOOK_AT_NODES, "id"),
        ),
    )


def _mismatch(host: Host) -> Finding | None:
    module, library = host.machine.nvidia.module, host.machine.nvidia.library
    # Under WSL and on Jetson the library is not one of the kernel module's own release.
    if host.machine.is_wsl or host.machine.is_jetson or module is None or library is None or module == library:
        return None
    return finding(
        "driver-mismatch",
        f"the loaded kernel module is NVIDIA's {printable(module)}, and the driver library is {printable(library)}: "
        "calls to the device fail",
        evidence={"module": module, "library": library},
        fix=Fix(
            summary="Reboot, so that the new module is loaded. In a container: restart it, so that it gets the host's "
            "library.",
            commands=("cat /proc/driver/nvidia/version", "ls -l /usr/lib/*/libcuda.so.*"),
        ),
    )
