"""The host and the interpreter that sessions run in."""

from __future__ import annotations

from sage_doctor.catalogue.entry import Entry

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
        shows=(r"Torch not compiled with CUDA enabled",),
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
            r"NVML: Driver Not Loaded|couldn't communicate with the NVIDIA driver",
            r"CUDA unknown error",
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
        severity="error",
        title="There is not enough free disk space",
        cause="What has to be written here does not fit: a download, a merge, or the sessions' own output.",
        cure="Make room. The finding says how much is needed and where.",
        shows=(r"No space left on device", r"Not enough free disk space"),
    ),
    Entry(
        code="driver-mismatch",
        severity="error",
        title="Driver and torch do not go together",
        cause="The driver is older than the CUDA that torch was built for, or was upgraded without a reboot, or torch "
        "holds no code for this GPU.",
        cure="Reboot after a driver upgrade. Otherwise upgrade the driver, or install a torch built for it.",
        shows=(
            r"The NVIDIA driver on your system is too old",
            r"CUDA driver version is insufficient",
            r"Driver/library version mismatch",
            r"no kernel image is available for execution",
            r"is not compatible with the current PyTorch installation",
            r"forward compatibility was attempted on non supported HW",
        ),
    ),
)
