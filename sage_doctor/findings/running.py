"""What may happen while a model is loaded and answers."""

from __future__ import annotations

from signal import SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.system_texts import (
    ACCESS_VIOLATION,
    CPP_EXCEPTION,
    FAIL_FAST,
    HEAP_CORRUPT,
    ILLEGAL_INSTRUCTION,
    STACK_OVERFLOW,
    ended,
)

TITLE = "Loading and generating"
DECLARATIONS = declare(
    Declaration(
        code="probe-protocol",
        severity="error",
        title="The probe ended without a result",
        cause="The child process that loads the model exited, or wrote something unexpected, before it reported a "
        "result. Code that runs at interpreter start-up (sitecustomize, .pth files) can do this.",
        remediation="Run the interpreter by hand with `-c 'import torch, transformers'` and look at its output.",
    ),
    Declaration(
        code="load-failed",
        severity="error",
        title="The model does not load",
        cause="The files passed every check, and the libraries still refuse to load them; their own message says why.",
        remediation="Paste the message into `sage-doctor explain -`. Look at library versions first: the files "
        "themselves are fine.",
    ),
    Declaration(
        code="load-crashed",
        severity="error",
        title="Loading the model crashes the process",
        cause="A signal ended the process: a crash in native code, or the kernel's out-of-memory killer.",
        remediation="Look at `dmesg` for what ended it. A crash in native code suggests that torch and the driver are "
        "incompatible.",
        shows=(r"GGML_ASSERT\(.{1,300}?\) failed",),
        # Who aborts has said why before.
        may_show=(
            *(r"Segmentation fault", r"Bus error"),
            *(r"Illegal instruction", r"GGML_ASSERT: "),
            *(r"ggml\S{0,200}:\d{1,6}: fatal error$", r"^Aborted$"),
            *(r"Aborted \(core dumped\)", r"terminate called after throwing an instance of", r"zsh: abort "),
            *(r"(died from|with) signal 6\b", r"died with <Signals\.SIGABRT: ", r"Error loading model\. \(Exit code: "),
            r"Main process exited, code=dumped, status=",
            *ended(signals=(SIGABRT,), statuses=(FAIL_FAST,)),
        ),
        ends=(
            *(r"^Segmentation fault$", r"^Bus error$", r"^Illegal instruction$"),
            r"(Segmentation fault|Bus error|Illegal instruction) \(core dumped\)",
            r"Fatal Python error: (Segmentation fault|Bus error|Illegal instruction|Aborted)",
            *(r"\w{1,60}\[\d{1,9}\]: segfault at", r"\w{1,60}\[\d{1,9}\] trap invalid opcode ip:"),
            *(r"double free or corruption", r"exception: access violation (reading|writing) 0x\w"),
            r"zsh: (segmentation fault|illegal hardware instruction|bus error) ",
            *(r"(died from|with) signal (4|5|7|8|10|11)\b", r"died with <Signals\.SIG(?!ABRT)\w{1,8}: \d{1,2}>"),
            *ended(
                signals=(SIGILL, SIGBUS, SIGFPE, SIGSEGV),
                statuses=(ACCESS_VIOLATION, ILLEGAL_INSTRUCTION, STACK_OVERFLOW, HEAP_CORRUPT, CPP_EXCEPTION),
            ),
        ),
    ),
    Declaration(
        code="load-out-of-memory",
        severity="error",
        title="Memory ran out while the model was loading",
        cause="The model and everything else that runs need more memory than this machine has.",
        remediation="End other processes, use a smaller dtype or model, or run one model at a time.",
        shows=(
            *(r"Some modules are dispatched on the CPU or the disk\. Make sure you have enough GPU RAM", r"OOMKilled"),
            *(r"(CUDA|HIP|XPU|MPS|SYCL|cuda\w{1,20})\b.{0,80}?\bout of memory\b", r"RESOURCE_EXHAUSTED: Out of memory"),
            *(r"DataLoader worker \(pid.{1,40}?\) is killed by signal: Killed", r"failed to allocate compute buffers"),
            *(r"A process of this unit has been killed by the OOM killer", r"unable to mmap memory: you tried to mmap"),
            *(r"Unable to allocate [\d.]{1,9} [KMGT]iB for an array", r"failed to allocate \S{1,20} buffer of size \d"),
            *(r"llama-server reported out-of-memory during startup", r"kIOGPUCommandBufferCallbackErrorOutOfMemory"),
            r"Command buffer execution failed: Insufficient Memory",
            r"\[metal::malloc\] (Attempting to allocate \d{1,20} bytes|Resource limit \(\d{1,20}\) exceeded)",
            *(r"Device memory allocation of size \d{1,20} failed", r"NVML_SUCCESS == .{0,60}? INTERNAL ASSERT FAILED"),
            *(r"DefaultCPUAllocator: can't allocate memory", r"NvMapMemAlloc\w{0,40}: \d{1,12} error 12", r"^Killed$"),
            *(r"process has terminated: signal: killed", r"failed to allocate buffer for kv cache", r"std::bad_alloc"),
            *(r"failed to allocate buffer of size \d", r"Detected \d{1,6} oom_kill events? in", r"MemoryError:\x20"),
            *(r"unable to allocate \S{1,20} buffer", r"Out of memory: Killed process", r"Memory cgroup out of memory"),
            *(r"Failed with result 'oom-kill'", r"line \d{1,6}: \d{1,9} Killed ", r"CUBLAS_STATUS_ALLOC_FAILED"),
            *(r"failed to allocate memory$", r"Invalid buffer size: \d", r"^\[\d{1,4}\]\+? Killed ", r"MemoryError$"),
            *(r"ErrorOutOfDeviceMemory", r"… invoked oom-killer: ", r"OutOfMemoryError:\x20", r"ErrorOutOfHostMemory"),
            *(r"oom-kill:constraint=", r"zsh: killed "),
        ),
        may_show=(
            r"Failed to create llama_context",
            *ended(signals=(SIGKILL,)),
        ),
    ),
    Declaration(
        code="load-timeout",
        severity="error",
        title="Loading did not finish before its deadline",
        cause="The disk is very slow, the accelerator hangs, or the library waits for a network or an answer.",
        remediation="See what the process was waiting for when it was stopped: the disk, the device or a question. "
        "Raise the deadline only if the machine is really that slow.",
    ),
    Declaration(
        code="load-keys-mismatched",
        severity="error",
        title="Part of the loaded model is random",
        cause="The library did not find these tensors, or they did not fit, and it filled them with random numbers. It "
        "only prints a warning; the model cannot be trusted.",
        remediation="Fetch the weights again, and make sure that config.json belongs to them.",
        shows=(*(r"You should probably TRAIN this model on a down-stream task", r"[A-Z]\w{1,80} LOAD REPORT from: "),),
        may_show=(r"Some weights of \S{1,100} were not initialized from the model checkpoint",),
    ),
    Declaration(
        code="params-not-materialised",
        severity="error",
        title="Parts of the model were not loaded into memory",
        cause="The parameters are still on the `meta` device: they have a shape and no values. The usual reasons are "
        "tensors that are missing from the file, and an automatic device map without enough memory.",
        remediation="Check the weights for missing tensors, and load without `device_map` if memory suffices.",
        shows=(
            *(r"Cannot copy out of meta tensor", r"Tensor on device meta is not on the expected device"),
            r"is on the meta device(, we need a `value` to put in| because (they were|it was) offloaded)",
            r"You can't move a model that has some modules offloaded",
            *(r"Tensor\.item\(\) cannot be called on meta tensors", r"doesn't have any device set"),
        ),
    ),
    Declaration(
        code="params-on-wrong-device",
        severity="error",
        title="The model is not on the device it should run on",
        cause="The accelerator had no room, and the library put parameters on the CPU, or the inputs are there.",
        remediation="Free the accelerator's memory, name the device explicitly, and move inputs: `x.to(model.device)`.",
        shows=(
            r"You are attempting to load an? .{1,40}? model with a device_map that contains a (CPU|cpu)",
            r"indices should be either on … or on the same device as the indexed tensor",
            *(r"Placeholder storage has not been allocated on MPS device", r"Input tensors need to be on the same GPU"),
            *(r"module must have its parameters and buffers on device", r"Found modules on cpu/disk\. Using Exllama"),
            *(r"Input type \(\S{1,40}Tensor\) and weight type \(", r"Expected all tensors to be on the same device"),
        ),
        may_show=(r"Some parameters are on the meta device",),  # a warning
    ),
    Declaration(
        code="model-not-generative",
        severity="info",
        title="This model does not generate text",
        cause="It is an encoder or classifier: it loads, but cannot be prompted.",
        remediation="Nothing to do, unless a session expects answers from it.",
        shows=(
            r"The current model class .{1,200}? is not compatible with `\.generate\(\)`",
            *(r"This model does not support `--runner generate`", r"CLIP cannot be used as main model"),
        ),
        may_show=(r"Unrecognized configuration class .{1,300}? for this kind of AutoModel: AutoModelForCausalLM",),
    ),
    Declaration(
        code="generate-failed",
        severity="error",
        title="The model loads but cannot answer",
        cause="Generation ended with an error after the load succeeded.",
        remediation="Paste the message into `sage-doctor explain -`. The usual reasons are a tokenizer of another "
        "model, and a GPU kernel that does not fit the device.",
        may_show=(r"CUDA error: ", r"CUBLAS_STATUS_\w{1,40}", r"cuDNN error: "),
    ),
    Declaration(
        code="generate-timeout",
        severity="error",
        title="Generation did not finish before its deadline",
        cause="The model loaded and then hung, or runs far more slowly than it should.",
        remediation="Check which device it runs on, and what else uses that device. After a hung GPU call, only a "
        "restart of the device or the machine helps.",
    ),
    Declaration(
        code="generate-nonfinite",
        severity="error",
        title="The model computes NaN",
        cause="The weights are broken, or 16-bit numbers overflow on this device.",
        remediation="Run `sage-doctor check --level integrity` on the weights. If they are fine, try bfloat16 or "
        "float32.",
        shows=(
            *(r"probability tensor contains either `inf`, `nan` or element < 0", r"A tensor with NaNs was produced"),
            r"A tensor with all NaNs was produced",
        ),
        may_show=(r"device-side assert triggered",),
    ),
    Declaration(
        code="generate-degenerate",
        severity="error",
        title="The answer is empty or repeats itself forever",
        cause="Broken weights, a wrong tokenizer or a wrong chat template cause this without any error.",
        remediation="Check weights and tokenizer with `--level integrity`, and compare with a machine where it works.",
    ),
    Declaration(
        code="adapter-no-effect",
        severity="error",
        title="The adapter changes nothing",
        cause="None of the adapter's weights were applied, or they are all zero, as they are before training.",
        remediation="Check that the adapter was saved after training, and that its tensor names match its base.",
    ),
)
