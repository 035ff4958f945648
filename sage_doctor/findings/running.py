"""Loading the model and letting it answer: how a probe that did not complete becomes a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.device import STAGES, device_finding
from sage_doctor.findings.making import finding
from sage_doctor.findings.memory import held_by
from sage_doctor.report import Finding, Fix
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.probe import ProbeOutcome
    from sage_doctor.subjects.model import Model

TITLE = "Loading and generating"
DECLARATIONS = declare(
    Declaration(
        code="probe-protocol",
        severity="error",
        title="The probe ended without a result",
        cause="The child process that loads the model stopped, or wrote something unexpected, before it said how it "
        "went. Code that runs at interpreter start-up (sitecustomize, .pth files) can do this.",
        remediation="Run the interpreter by hand with `-c 'import torch, transformers'` and see what it prints.",
    ),
    Declaration(
        code="load-failed",
        severity="error",
        title="The model does not load",
        cause="The files passed every check, and the libraries still refuse to load them; their own message says why.",
        remediation="Paste that message into `sage-doctor explain -`. Look at library versions first: the files are in "
        "order.",
    ),
    Declaration(
        code="load-crashed",
        severity="error",
        title="Loading the model kills the process",
        cause="The process was ended by a signal: a crash in native code, or the system took its memory back.",
        remediation="Look at `dmesg` for what ended it. A crash in native code points to torch and driver not going "
        "together.",
        shows=(r"Segmentation fault", r"Bus error", r"Illegal instruction", r"core dumped"),
    ),
    Declaration(
        code="load-out-of-memory",
        severity="error",
        title="Memory ran out while the model was loading",
        cause="The model and what else runs on this machine need more memory than there is.",
        remediation="End what else runs, use a smaller dtype or model, or run one model at a time.",
        shows=(
            r"CUDA out of memory",
            r"OutOfMemoryError",
            r"DefaultCPUAllocator: can't allocate memory",
            r"NVML_SUCCESS == .{0,60}? INTERNAL ASSERT FAILED",
            r"NvMapMemAlloc\w*: \d+ error 12",
            r"MemoryError\b",
            r"Out of memory: Killed process|oom-kill",
            r"MPS backend out of memory",
            r"^Killed\s*$",
        ),
    ),
    Declaration(
        code="load-timeout",
        severity="error",
        title="Loading did not end within its deadline",
        cause="The disk is very slow, the accelerator hangs, or the library waits for a network or an answer.",
        remediation="Look at what the process did when it was stopped: waiting for the disk, the device or a question. "
        "Raise the deadline only if the machine is really that slow.",
    ),
    Declaration(
        code="load-keys-mismatched",
        severity="error",
        title="Part of the loaded model is random",
        cause="The library reported tensors it did not find, or that did not fit, and filled them with random numbers. "
        "It calls this a warning; the model cannot be trusted.",
        remediation="Fetch the weights again, and make sure config.json belongs to them.",
        shows=(
            r"You should probably TRAIN this model on a down-stream task",
            r"LOAD REPORT from",
        ),
        may_show=(r"were not initialized from the model checkpoint",),
    ),
    Declaration(
        code="params-not-materialised",
        severity="error",
        title="Parts of the model were never given memory",
        cause="Parameters stayed on the `meta` device: they have a shape and no values. Tensors missing from the file "
        "or an automatic device map without enough memory do this.",
        remediation="Check the weights for missing tensors, and load without `device_map` where memory suffices.",
        shows=(
            r"Cannot copy out of meta tensor",
            r"Tensor on device meta is not on the expected device",
            r"on the meta device because they were offloaded",
        ),
    ),
    Declaration(
        code="params-on-wrong-device",
        severity="error",
        title="The model is not where it should run",
        cause="Some or all parameters lie on another device than the manifest asks for, usually on the CPU because the "
        "accelerator had no room.",
        remediation="Free the accelerator's memory, and name the device explicitly in the session.",
        shows=(
            r"Some parameters are on the meta device",
            r"Expected all tensors to be on the same device",
            r"Some modules are dispatched on the CPU or the disk",
        ),
    ),
    Declaration(
        code="model-not-generative",
        severity="info",
        title="This model does not generate text",
        cause="It is an encoder or classifier: it was loaded, and there is no answer to ask it for.",
        remediation="Nothing needs to be done, unless a session expects answers from it.",
        shows=(
            r"Unrecognized configuration class .{1,300}? for this kind of AutoModel: AutoModelForCausalLM",
            r"The current model class .{1,200}? is not compatible with `\.generate\(\)`",
        ),
    ),
    Declaration(
        code="generate-failed",
        severity="error",
        title="The model loads but cannot answer",
        cause="Generation ended with an error after a load without one.",
        remediation="Paste the message into `sage-doctor explain -`. A tokenizer of another model and a GPU kernel "
        "that does not fit the device are the usual reasons.",
        may_show=(
            r"CUDA error: ",
            r"CUBLAS_STATUS_\w+",
            r"cuDNN error",
        ),
    ),
    Declaration(
        code="generate-timeout",
        severity="error",
        title="The answer did not come within its deadline",
        cause="The model loaded and then hung, or runs far more slowly than it should.",
        remediation="Check on which device it runs, and what else uses that device. After a hung GPU call only a "
        "restart of the device or the machine helps.",
    ),
    Declaration(
        code="generate-nonfinite",
        severity="error",
        title="The model computes NaN",
        cause="The numbers that decide the next token are NaN or infinite: from broken weights, or from 16-bit "
        "overflow on this device.",
        remediation="Run `sage-doctor check --level integrity` on the weights. If they are sound, try bfloat16 or "
        "float32.",
        may_show=(
            r"probability tensor contains either `inf`, `nan` or element < 0",
            r"device-side assert triggered",
        ),
    ),
    Declaration(
        code="generate-degenerate",
        severity="error",
        title="The answer is empty or repeats itself for ever",
        cause="The model produced nothing, one token over and over, or a loop. Broken weights, a wrong tokenizer or a "
        "wrong chat template do this without any error.",
        remediation="Check weights and tokenizer with `--level integrity`, and compare with a machine where it works.",
    ),
    Declaration(
        code="adapter-no-effect",
        severity="error",
        title="The adapter changes nothing",
        cause="With and without the adapter the model computes the same numbers: none of its weights arrived, or they "
        "are all zero, as they are before training.",
        remediation="Check that the adapter was saved after training, and that its tensor names match its base.",
    ),
)


GENERATION = frozenset({"tokenizer", "forward", "warm-up", "generate"})
_MOST_TAIL = 2000


def in_generation(outcome: ProbeOutcome) -> bool:
    """Whether the probe ended after the model was loaded: the load is then no cause."""
    return outcome.stage in GENERATION and outcome.loaded is not None


def ended_badly(model: Model, outcome: ProbeOutcome, act: Literal["load", "generate"]) -> Finding:
    """Return the one finding for a probe that did not complete. `act` is what it was in the midst of."""
    from sage_doctor.subjects.device import session_device  # noqa: PLC0415 - only where something is wrong

    evidence = {
        "ending": outcome.ending,
        "stage": outcome.stage,
        "where": list(outcome.where),
        "seconds": outcome.duration_s,
        "output": outcome.output_tail[-_MOST_TAIL:],
    }
    if outcome.stage in STAGES:
        # Examined once already for all models; a device may break, or fill up, between that and this load.
        broken = device_finding(model.host, session_device(model.host, model), outcome)
        if broken is not None:
            return broken
    stage = printable(outcome.stage or "start")
    message = printable(outcome.message, limit=600, keep="\n")
    doing = "loading it" if act == "load" else "generating"
    if outcome.ending == "deadline":
        abandoned = (
            f" Process {outcome.abandoned_pid} is stuck in the kernel and could not be killed."
            if outcome.abandoned_pid
            else ""
        )
        return finding(
            "load-timeout" if act == "load" else "generate-timeout",
            f"{doing} hung in stage {stage} for {outcome.stages[-1].seconds if outcome.stages else 0:.0f} s and was "
            "stopped."
            f"{abandoned}",
            evidence=evidence,
            fix=Fix(
                summary="A disk or driver that does not answer looks like this, and so does a machine that swaps. "
                "See what "
                "the machine waits for; raise --timeout only where the model is known to be slow.",
                commands=("vmstat 1 5", "ps -eo pid,stat,wchan:32,comm | awk '$2 ~ /D/'"),
            ),
        )
    if outcome.ending == "signal":
        return finding(
            "load-crashed" if act == "load" else "generate-failed",
            f"the interpreter crashed while {doing}: {message}",
            evidence={**evidence, "signal": outcome.signal},
            fix=Fix(
                summary="A crash in native code: a package built for another processor or driver, or mixed versions of "
                "torch and its companions. Reinstall them in the sessions' environment as the vendor says."
            ),
        )
    if outcome.ending == "out-of-memory":
        on_device = outcome.device is not None and outcome.device.used.startswith("cuda")
        return finding(
            "load-out-of-memory",
            f"memory ran out while {doing}: {message}",
            evidence={**evidence, **(held_by(model.host) if on_device else {})},
            fix=Fix(
                summary="End what else holds memory (a daemon may have the model loaded already), declare a smaller "
                "dtype, "
                "or run it on a larger machine.",
                commands=("free -h", "ps -eo pid,user,rss,comm --sort=-rss | head"),
            ),
        )
    if outcome.ending == "import-error":
        python = shell_quote(model.host.session.executable)
        return finding(
            "package-missing",
            f"the sessions' interpreter cannot import what loading takes: {message}",
            evidence=evidence,
            fix=Fix(
                summary="Install or repair that package in the sessions' environment.",
                commands=(f"{python} -m pip check",),
            ),
        )
    if outcome.ending == "spawn-failed":
        return finding(
            "interpreter-missing",
            f"the sessions' interpreter does not start: {message}",
            evidence=evidence,
            fix=Fix(summary="Correct python = … in the manifest."),
        )
    if outcome.ending == "protocol":
        return finding(
            "probe-protocol",
            f"the probe ended in stage {stage} without a result: {message}",
            evidence=evidence,
            fix=Fix(
                summary="Something in the sessions' environment ended the process (a sitecustomize, a library calling "
                "exit). Run the session by hand and look at its output."
            ),
        )
    return finding(
        "load-failed" if act == "load" else "generate-failed",
        f"{doing} failed in stage {stage}: {message}",
        evidence=evidence,
        fix=Fix(
            summary="This is the library's own message. `sage-doctor explain` on it may name the cause; look for what "
            "changed since it last worked: packages, files, configuration."
        ),
    )
