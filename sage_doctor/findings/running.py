"""Loading the model and letting it answer, in the session's interpreter."""

from __future__ import annotations

from sage_doctor.findings.entry import Entry

ENTRIES = (
    Entry(
        code="probe-protocol",
        severity="error",
        title="The probe ended without a result",
        cause="The child process that loads the model stopped, or wrote something unexpected, before it said how it "
        "went. Code that runs at interpreter start-up (sitecustomize, .pth files) can do this.",
        cure="Run the interpreter by hand with `-c 'import torch, transformers'` and see what it prints.",
    ),
    Entry(
        code="load-failed",
        severity="error",
        title="The model does not load",
        cause="The files passed every check, and the libraries still refuse to load them; their own message says why.",
        cure="Paste that message into `sage-doctor explain -`. Look at library versions first: the files are in order.",
    ),
    Entry(
        code="load-crashed",
        severity="error",
        title="Loading the model kills the process",
        cause="The process was ended by a signal: a crash in native code, or the system took its memory back.",
        cure="Look at `dmesg` for what ended it. A crash in native code points to torch and driver not going together.",
        shows=(r"Segmentation fault", r"Bus error", r"Illegal instruction", r"core dumped"),
    ),
    Entry(
        code="load-out-of-memory",
        severity="error",
        title="Memory ran out while the model was loading",
        cause="The model and what else runs on this machine need more memory than there is.",
        cure="End what else runs, use a smaller dtype or model, or run one model at a time.",
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
    Entry(
        code="load-timeout",
        severity="error",
        title="Loading did not end within its deadline",
        cause="The disk is very slow, the accelerator hangs, or the library waits for a network or an answer.",
        cure="Look at what the process did when it was stopped: waiting for the disk, the device or a question. "
        "Raise the deadline only if the machine is really that slow.",
    ),
    Entry(
        code="load-over-budget",
        severity="error",
        title="Loading takes longer than its budget",
        cause="The model loads, but more slowly than the manifest allows.",
        cure="Compare with earlier runs: a first load after a reboot reads from disk. Other load on the machine and a "
        "full or slow disk are the usual reasons.",
    ),
    Entry(
        code="load-keys-mismatched",
        severity="error",
        title="Part of the loaded model is random",
        cause="The library reported tensors it did not find, or that did not fit, and filled them with random numbers. "
        "It calls this a warning; the model cannot be trusted.",
        cure="Fetch the weights again, and make sure config.json belongs to them.",
        shows=(
            r"You should probably TRAIN this model on a down-stream task",
            r"LOAD REPORT from",
        ),
        may_show=(r"were not initialized from the model checkpoint",),
    ),
    Entry(
        code="params-not-materialised",
        severity="error",
        title="Parts of the model were never given memory",
        cause="Parameters stayed on the `meta` device: they have a shape and no values. Tensors missing from the file "
        "or an automatic device map without enough memory do this.",
        cure="Check the weights for missing tensors, and load without `device_map` where memory suffices.",
        shows=(
            r"Cannot copy out of meta tensor",
            r"Tensor on device meta is not on the expected device",
            r"on the meta device because they were offloaded",
        ),
    ),
    Entry(
        code="params-on-wrong-device",
        severity="error",
        title="The model is not where it should run",
        cause="Some or all parameters lie on another device than the manifest asks for, usually on the CPU because "
        "the accelerator had no room.",
        cure="Free the accelerator's memory, and name the device explicitly in the session.",
        shows=(
            r"Some parameters are on the meta device",
            r"Expected all tensors to be on the same device",
            r"Some modules are dispatched on the CPU or the disk",
        ),
    ),
    Entry(
        code="model-not-generative",
        severity="info",
        title="This model does not generate text",
        cause="It is an encoder or classifier: it was loaded, and there is no answer to ask it for.",
        cure="Nothing needs to be done, unless a session expects answers from it.",
        shows=(
            r"Unrecognized configuration class .{1,300}? for this kind of AutoModel: AutoModelForCausalLM",
            r"The current model class .{1,200}? is not compatible with `\.generate\(\)`",
        ),
    ),
    Entry(
        code="generate-failed",
        severity="error",
        title="The model loads but cannot answer",
        cause="Generation ended with an error after a load without one.",
        cure="Paste the message into `sage-doctor explain -`. A tokenizer of another model and a GPU kernel that does "
        "not fit the device are the usual reasons.",
        may_show=(
            r"CUDA error: ",
            r"CUBLAS_STATUS_\w+",
            r"cuDNN error",
        ),
    ),
    Entry(
        code="generate-timeout",
        severity="error",
        title="The answer did not come within its deadline",
        cause="The model loaded and then hung, or runs far more slowly than it should.",
        cure="Check on which device it runs, and what else uses that device. After a hung GPU call only a restart of "
        "the device or the machine helps.",
    ),
    Entry(
        code="generate-nonfinite",
        severity="error",
        title="The model computes NaN",
        cause="The numbers that decide the next token are NaN or infinite: from broken weights, or from 16-bit "
        "overflow on this device.",
        cure="Run `sage-doctor check --level integrity` on the weights. If they are sound, try bfloat16 or float32.",
        may_show=(
            r"probability tensor contains either `inf`, `nan` or element < 0",
            r"device-side assert triggered",
        ),
    ),
    Entry(
        code="generate-degenerate",
        severity="error",
        title="The answer is empty or repeats itself for ever",
        cause="The model produced nothing, one token over and over, or a loop. Broken weights, a wrong tokenizer or a "
        "wrong chat template do this without any error.",
        cure="Check weights and tokenizer with `--level integrity`, and compare with a machine where it works.",
    ),
    Entry(
        code="adapter-no-effect",
        severity="error",
        title="The adapter changes nothing",
        cause="With and without the adapter the model computes the same numbers: none of its weights arrived, or they "
        "are all zero, as they are before training.",
        cure="Check that the adapter was saved after training, and that its tensor names match its base.",
    ),
    Entry(
        code="latency-over-budget",
        severity="error",
        title="The first token takes longer than its budget",
        cause="The model answers, but starts more slowly than the manifest allows.",
        cure="Look for other load on the machine, power limits (`nvpmodel` on Jetson), and whether the model runs on "
        "the device it should.",
    ),
    Entry(
        code="throughput-under-budget",
        severity="error",
        title="The model generates more slowly than its budget",
        cause="The model answers, but at fewer tokens per second than the manifest asks for.",
        cure="Look for other load on the machine, power limits (`nvpmodel` on Jetson), heat, and whether the model "
        "runs on the device it should.",
    ),
    Entry(
        code="memory-over-budget",
        severity="error",
        title="The model needs more memory than its budget",
        cause="The peak while loading and answering is above what the manifest allows.",
        cure="Check the dtype: float32 takes twice the memory of bfloat16. Raise the budget if the machine has room.",
    ),
    Entry(
        code="latency-regressed",
        severity="warning",
        title="The model takes far more than it usually does here",
        cause="Loading, the first token, the speed or the memory is out of the band of earlier good runs on this "
        "machine, though within the budget. Something slowed it down: other load, heat or a power limit, swap, another "
        "device, other libraries.",
        cure="Run it again when the machine is quiet, and look at what changed (`sage-doctor history MODEL`). If this "
        "is how it should be from now on, accept it: `sage-doctor history MODEL --accept`.",
    ),
)
