"""The host and the interpreter that sessions run in."""

from __future__ import annotations

from sage_doctor.findings.entry import Entry

ENTRIES = (
    Entry(
        code="machine-unmatched",
        severity="warning",
        title="No machine in the manifest matches this host",
        cause="The manifest lists machines, and neither SAGE_MACHINE, the device-tree model nor the hostname fits one "
        "of them. Every model that any role needs is checked instead.",
        cure="Add a `[machines.NAME]` table with `match.hostname` for this host, or set SAGE_MACHINE.",
    ),
    Entry(
        code="interpreter-missing",
        severity="error",
        title="The sessions' Python interpreter is not there",
        cause="The manifest names an interpreter that does not exist or does not start. A virtual environment breaks "
        "like this when the Python it was made with is upgraded or removed.",
        cure="Correct `python` in the manifest, or make the environment again.",
        shows=(
            r"(bad interpreter|No such file or directory).{0,200}?/bin/python[\d.]*\b",
            r"/bin/python[\d.]*: (bad interpreter|No such file or directory|not found|cannot execute)",
        ),
    ),
    Entry(
        code="package-missing",
        severity="error",
        title="The sessions' environment lacks a package",
        cause="The interpreter starts, but a package that this model needs is not installed in it. Often the session "
        "runs with another interpreter than the one it was installed for.",
        cure="Install the package with that very interpreter: `PYTHON -m pip install NAME`. On Jetson take torch from "
        "NVIDIA's index only.",
        shows=(
            r"ModuleNotFoundError: No module named '",
            r"No module named '?(torch|transformers|peft|accelerate|safetensors|tokenizers)\b",
            r"(requires the \S+ library but it was not found|You need to have sentencepiece)",
            r"ImportError: .{0,200}? requires",
        ),
    ),
    Entry(
        code="package-version",
        severity="error",
        title="A package is too old or too new for this model",
        cause="The installed version cannot do what this model asks for, or two installed packages do not go together.",
        cure="Install the version the finding names, without its dependencies where torch is the vendor's build.",
        shows=(
            r"ImportError: \S+ ?[<>=!~]=?.{0,80}? is required for",
            r"ImportError: cannot import name '",
            r"Disabling PyTorch because PyTorch >= \S+ is required",
            r"A module that was compiled using NumPy 1\.x cannot be run in",
        ),
    ),
    Entry(
        code="package-unknown",
        severity="warning",
        title="The session's packages could not be listed",
        cause="The interpreter did not answer when asked what is installed in it, so package checks were not possible.",
        cure="Run the interpreter by hand and see what it says.",
    ),
    Entry(
        code="torch-cpu-build",
        severity="error",
        title="torch is a CPU build on a machine with a GPU",
        cause="A plain `pip install` replaced the build for the accelerator by one that knows only the CPU. This "
        "happens on Jetson when any package asks for a newer torch.",
        cure="Install the vendor's build again, and keep pip from touching it with `--no-deps` or a constraints file.",
        shows=(r"Torch not compiled with (CUDA|MPS) enabled",),
    ),
    Entry(
        code="accelerator-missing",
        severity="error",
        title="The accelerator does not answer",
        cause="Sessions are meant to run on an accelerator that torch cannot find or cannot use: no driver, no "
        "permission on its device files, or it fell off the bus.",
        cure="Check the driver and that the session's user may open the device files (groups `video` and `render`). "
        "A reboot helps where the device is gone.",
        shows=(
            r"No CUDA GPUs are available",
            r"Found no NVIDIA driver on your system",
            r"no CUDA-capable device is detected",
            r"CUDA unknown error",
        ),
    ),
    Entry(
        code="driver-not-loaded",
        severity="error",
        title="NVIDIA's kernel module is not loaded",
        cause="The card is on the bus and no driver of NVIDIA's has it: the module was not built for this kernel, is "
        "not signed for Secure Boot, or another driver took the card.",
        cure="Build or sign the module for the running kernel (`dkms status`), or boot the kernel it was built for.",
        shows=(r"NVML: Driver Not Loaded|couldn't communicate with the NVIDIA driver",),
    ),
    Entry(
        code="accelerator-no-access",
        severity="error",
        title="The session's user may not open the accelerator",
        cause="The device files are there and their mode keeps this user out.",
        cure="Add the user to the group that owns them (`video`, `render`) and log in again.",
        shows=(r"/dev/nv\w+.{0,80}?Permission denied", r"NvRmMemInitNvmap failed with Permission denied"),
    ),
    Entry(
        code="accelerator-hidden",
        severity="error",
        title="The environment hides the accelerator",
        cause="CUDA_VISIBLE_DEVICES names no device, so torch sees none and runs on the CPU. It is often left over "
        "from a test, or set in a unit file.",
        cure="Take the variable out of the sessions' environment, or let it name the device.",
    ),
    Entry(
        code="accelerator-out-of-memory",
        severity="error",
        title="The accelerator has no memory left at all",
        cause="Even a first, tiny allocation on the device fails: other processes hold its memory, or on a Jetson "
        "board the memory it shares with the CPU is full. There torch reports it as an assertion about NVML.",
        cure="End the processes the finding names. On Jetson, give the page cache back or reboot.",
    ),
    Entry(
        code="accelerator-failed",
        severity="error",
        title="The accelerator refuses a first computation",
        cause="The device is found, and an allocation or a small computation on it ends with an error.",
        cure="Read the library's own words in the finding. Restart the device or the machine if it worked before.",
        may_show=(r"all CUDA-capable devices are busy or unavailable", r"CUDA error: unspecified launch failure"),
    ),
    Entry(
        code="accelerator-wrong-numbers",
        severity="error",
        title="The accelerator computes wrong numbers",
        cause="A sum whose result is known came out wrong: a failing device, failing memory, or a build of torch for "
        "another GPU. Nothing that runs on it can be trusted.",
        cure="Look for memory errors in the kernel's log, take back overclocking, and install the vendor's torch.",
    ),
    Entry(
        code="accelerator-timeout",
        severity="error",
        title="The accelerator does not answer in time",
        cause="Importing torch, the first call to the device, or the first computation hung and was stopped.",
        cure="Restart the device or the machine, and look into the kernel's log for what the driver says.",
    ),
    Entry(
        code="accelerator-crashed",
        severity="error",
        title="The first use of the accelerator kills the process",
        cause="torch and the driver, or torch and its own CUDA libraries, do not go together.",
        cure="Install torch and what belongs to it again as the vendor of this machine says.",
    ),
    Entry(
        code="torch-arch-unsupported",
        severity="error",
        title="torch holds no code for this GPU",
        cause="This build of torch was compiled for other generations of GPUs: the card is newer than the build, older "
        "than what it still supports, or the build is not the one for Jetson.",
        cure="Install a build of torch that supports this GPU; on Jetson that is NVIDIA's own.",
        shows=(
            r"no kernel image is available for execution",
            r"is not compatible with the current PyTorch installation",
        ),
    ),
    Entry(
        code="accelerator-fallback",
        severity="error",
        title="The model would run on the CPU instead",
        cause="Sessions are meant to run on an accelerator, and would silently run on the CPU: many times slower, and "
        "with results that may differ.",
        cure="Find out why torch does not see the accelerator (build, driver, CUDA_VISIBLE_DEVICES) before any session "
        "runs.",
        shows=(r"CUDA is not available.{0,80}?CPU", r"(falling|fall) back to (the )?CPU"),
    ),
    Entry(
        code="gpu-memory-held",
        severity="warning",
        title="Other processes hold the accelerator's memory",
        cause="Memory that this model needs is taken, often by a session that was killed without its children.",
        cure="End the process the finding names if nobody needs it.",
    ),
    Entry(
        code="memory-insufficient",
        severity="error",
        title="There is not enough free memory for the model",
        cause="The weights are larger than the memory available now. On machines where CPU and GPU share their memory, "
        "everything else that runs counts too.",
        cure="End what else runs, use a smaller dtype or model, or add swap as a stopgap.",
        shows=(r"not enough memory: you tried to allocate", r"Cannot allocate memory"),
    ),
    Entry(
        code="disk-insufficient",
        severity="warning",
        title="There is not enough free disk space",
        cause="What has to be written here does not fit: a download, a merge, or the sessions' own output.",
        cure="Make room. The finding says how much is needed and where.",
        shows=(r"No space left on device", r"Not enough free disk space"),
    ),
    Entry(
        code="driver-mismatch",
        severity="error",
        title="Driver and torch do not go together",
        cause="The driver is older than the CUDA that torch was built for, or was upgraded without a reboot, so that "
        "the loaded kernel module and the driver library are of two releases.",
        cure="Reboot after a driver upgrade. Otherwise upgrade the driver, or install a torch built for it.",
        shows=(
            r"The NVIDIA driver on your system is too old",
            r"CUDA driver version is insufficient",
            r"Driver/library version mismatch",
            r"unsupported display driver / cuda driver combination",
            r"forward compatibility was attempted on non supported HW",
        ),
    ),
)
