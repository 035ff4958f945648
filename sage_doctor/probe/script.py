"""The child side of the probe: loads a model and generates, as a session would, and reports what it sees.

Run by path, by the session's own interpreter (Python 3.8 or newer): standard library, torch, transformers and peft
only, and nothing of sage-doctor. `argv` holds two inherited descriptors: the request comes from the first as one line
of JSON, answers go to the second as one JSON object a line. Standard output and error belong to the libraries.
Every stage is announced before it begins, so that the parent can name the one that hung or crashed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import math
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

MOST_NAMES = 50
MOST_TOKENS = 20_000
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "DefaultCPUAllocator",
    "NVML_SUCCESS ==",  # how torch's CUDA allocator runs out of memory on Jetson
    "NvMapMemAlloc",
)
# Settings that sample or search: a probe decodes greedily so that two runs can be compared.
_NOT_GREEDY = (
    *("do_sample", "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"),
    *("penalty_alpha", "num_beams", "num_beam_groups", "diversity_penalty", "length_penalty", "early_stopping"),
    *("num_return_sequences", "max_length", "max_time"),
)


class ProbeFailure(Exception):
    """A session would fail here although no library raised; `kind` is reported as the exception's type."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Reporter:
    """Writes answers to the parent."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, event: str, **values: Any) -> None:
        """Write one line. Raises `OSError` if the parent is gone."""
        rest = json.dumps({"event": event, **values}, allow_nan=False).encode("ascii") + b"\n"
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def stage(self, name: str) -> None:
        """Announce the stage that begins now."""
        self.send("stage", name=name)


class TokenTimer:
    """Records the time of each new token; has the interface of transformers' streamers."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.times: list[float] = []
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        """Note one token; the first call hands over the prompt."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self.times.append(time.perf_counter())
        self.ids.extend(int(i) for i in value.flatten().tolist())

    def end(self) -> None:
        """Do nothing: the last token's time is the end."""


def die_with_parent() -> None:
    """Ask Linux to kill this process when the thread that started it ends."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    with contextlib.suppress(Exception):
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request took hold
        os._exit(1)


def watch_parent(descriptor: int) -> None:
    """End the whole group once the parent closes its end: also where a wrapper stands between, and on macOS."""

    def watch() -> None:
        while os.read(descriptor, 4096):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="watch-parent").start()


def offer_to_oom_killer() -> None:
    """If memory runs out, the kernel should kill the probe and not the user's session."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+", encoding="ascii") as handle:
        if int(handle.read()) < 500:
            handle.write("500")


def bounded(names: Iterable[Any]) -> dict[str, Any]:
    """Return the first names in order and how many there are."""
    every = sorted(str(n)[:500] for n in names)
    return {"names": every[:MOST_NAMES], "total": len(every)}


def import_all(reporter: Reporter, wanted: Iterable[str]) -> list[Any]:
    """Import the packages one by one, reporting each version."""
    versions = {"python": platform.python_version(), "torch": "", "transformers": "", "peft": ""}
    modules = []
    for name in wanted:
        try:
            module = importlib.import_module(name)
        except BaseException as error:
            if not isinstance(error, ImportError) or not error.name:  # a shared library that does not load
                error.probe_module = name  # type: ignore[attr-defined]
            raise
        versions[name] = str(getattr(module, "__version__", ""))
        modules.append(module)
        reporter.send("packages", **versions)
    return modules


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
        reporter.send("device", verified=not facts["problem"], seconds=time.perf_counter() - started, **facts, **memory)

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


def read_config(directory: str, name: str = "config.json") -> dict[str, Any]:
    """Return a JSON object beside the weights, or an empty one: what is wrong with it is the library's to say."""
    path = os.path.join(directory, name)
    try:
        if os.path.isfile(path) and os.path.getsize(path) < 1 << 24:
            with open(path, encoding="utf-8") as handle:
                value = json.load(handle)
            return value if isinstance(value, dict) else {}
    except (OSError, ValueError, RecursionError):
        pass
    return {}


def model_class(transformers: Any, config: dict[str, Any]) -> Any:
    """Return the class a session would load this architecture with, its module imported."""
    names = config.get("architectures")
    architecture = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    own = getattr(transformers, architecture, None) if architecture.isidentifier() else None
    if not architecture or architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return transformers.AutoModelForCausalLM
    if architecture.endswith("ForConditionalGeneration"):
        if "vision_config" in config:
            newer = getattr(transformers, "AutoModelForImageTextToText", None)
            return newer or transformers.AutoModelForVision2Seq
        return transformers.AutoModelForSeq2SeqLM if own is None or "audio" not in own.__module__ else own
    if architecture.endswith("ForMaskedLM"):
        return transformers.AutoModelForMaskedLM
    return own if hasattr(own, "from_pretrained") else transformers.AutoModel


def load_base(
    reporter: Reporter, directory: str, maker: Any, *, torch: Any, transformers: Any, wanted_dtype: str
) -> tuple[Any, float]:
    """Load a model and report which keys did not fit; returns it and the seconds `from_pretrained` took."""
    release = tuple(int(p) for p in transformers.__version__.split(".")[:2])
    dtype = wanted_dtype if wanted_dtype == "auto" else getattr(torch, wanted_dtype)
    started = time.perf_counter()
    model, info = maker.from_pretrained(
        directory,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # so that the names and shapes are told; refused below, as a session would
        **{"dtype" if release >= (4, 56) else "torch_dtype": dtype},
    )
    seconds = time.perf_counter() - started
    mismatched = sorted((str(n), list(disk), list(here)) for n, disk, here in info.get("mismatched_keys", ()))
    reporter.send(
        "keys",
        model_class=type(model).__name__,
        missing=bounded(info.get("missing_keys", ())),
        unexpected=bounded(info.get("unexpected_keys", ())),
        mismatched=mismatched[:MOST_NAMES],
        mismatched_total=len(mismatched),
        errors=bounded(info.get("error_msgs", ())),
    )
    if mismatched:
        name, disk, here = mismatched[0]
        more = f" and {len(mismatched) - 1} more" if len(mismatched) > 1 else ""
        raise ProbeFailure("RuntimeError", f"size mismatch for {name}: {disk} on disk, {here} in the model{more}")
    return model, seconds


def load_adapter(reporter: Reporter, peft: Any, base: Any, directory: str) -> Any:
    """Put the adapter on its base as a session does, catching the result that `from_pretrained` throws away."""
    results: list[Any] = []
    inner = peft.PeftModel.load_adapter

    def recording(*args: Any, **kwargs: Any) -> Any:
        results.append(inner(*args, **kwargs))
        return results[-1]

    peft.PeftModel.load_adapter = recording
    try:
        model = peft.PeftModel.from_pretrained(base, directory, is_trainable=False)
    finally:
        peft.PeftModel.load_adapter = inner
    config = model.peft_config["default"]
    missing: list[str] = []
    unexpected: list[str] = []
    if results and not config.is_prompt_learning:  # prompt encoders are loaded by another way than state dicts
        shared = ("prompt_encoder", "vblora_vector_bank", ".tinylora_v.")  # held once, listed for every layer
        # Older peft lists every base parameter as missing; those of the adapter carry its name.
        own = [k for k in results[-1].missing_keys if ".default" in k and not any(s in k for s in shared)]
        missing = [k.replace(".default", "", 1) for k in own]
        unexpected = list(results[-1].unexpected_keys)
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    reporter.send("adapter", peft_type=kind, missing=bounded(missing), unexpected=bounded(unexpected))
    return model


def report_loaded(reporter: Reporter, model: Any, seconds: float, import_seconds: float) -> None:
    """Report the devices and dtypes of the parameters."""
    dtypes: dict[str, int] = {}
    devices: dict[str, int] = {}
    on_meta = []
    for name, value in model.named_parameters():
        dtype = str(value.dtype).replace("torch.", "")
        dtypes[dtype] = dtypes.get(dtype, 0) + value.numel()
        devices[str(value.device)] = devices.get(str(value.device), 0) + 1
        if value.device.type == "meta":
            on_meta.append(name)
    reporter.send(
        "loaded",
        seconds=seconds,
        import_seconds=import_seconds,
        parameters=sum(dtypes.values()),
        dtypes=dtypes,
        on_meta=bounded(on_meta),
        devices=devices,
    )


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


def encode(transformers: Any, request: dict[str, Any], base: str, device: str) -> tuple[Any, dict[str, Any]]:
    """Return the tokenizer of the model (of the adapter, where it brings one) and the prompt as it sees it."""
    own = any(os.path.exists(os.path.join(request["path"], name)) for name in _TOKENIZER_FILES)
    where = request["path"] if own else base
    tokenizer = transformers.AutoTokenizer.from_pretrained(where, trust_remote_code=False, local_files_only=True)
    if getattr(tokenizer, "chat_template", None):
        messages = [{"role": "user", "content": request["prompt"]}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
    else:
        inputs = tokenizer(request["prompt"], return_tensors="pt")
    kept = {k: inputs[k].to(device) for k in ("input_ids", "attention_mask") if k in inputs}
    if not kept["input_ids"].numel():
        raise ProbeFailure("ValueError", "the prompt has no tokens")
    return tokenizer, kept


def make_greedy(transformers: Any, base: Any, tokenizer: Any) -> dict[str, Any]:
    """Neutralise what samples or searches in the model's own settings; returns the settings of each call."""
    settings, plain = base.generation_config, transformers.GenerationConfig()
    for name in _NOT_GREEDY:
        if hasattr(settings, name) and hasattr(plain, name):
            setattr(settings, name, getattr(plain, name))
    pad = settings.pad_token_id if settings.pad_token_id is not None else tokenizer.pad_token_id
    if pad is None:
        ends = settings.eos_token_id if settings.eos_token_id is not None else tokenizer.eos_token_id
        pad = ends[0] if isinstance(ends, (list, tuple)) and ends else ends
    return {"do_sample": False} if pad is None else {"do_sample": False, "pad_token_id": pad}


def next_logits(model: Any, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
    """Return the raw scores of the first new token, by the very path a session's `generate` takes."""
    out = model.generate(**inputs, **settings, max_new_tokens=1, return_dict_in_generate=True, output_logits=True)
    return out.logits[0].float()


def report_forward(
    reporter: Reporter, model: Any, inputs: dict[str, Any], settings: dict[str, Any], adapter: bool
) -> None:
    """Report whether the scores are finite, and whether an adapter changes them at all."""
    scores = next_logits(model, inputs, settings)
    nan, infinite = int(scores.isnan().sum()), int(scores.isinf().sum())
    reporter.send("forward", nan=nan, infinite=infinite, total=int(scores.numel()))
    if not adapter:
        return
    difference, problem = None, ""
    try:
        with model.disable_adapter():
            plain = next_logits(model.get_base_model(), inputs, settings)
    except Exception as error:  # noqa: BLE001 - some adapter types cannot be switched off, each in its own way
        problem = f"{type(error).__name__}: {error}"[:500]
    else:
        difference = float((scores - plain).abs().max())
        if not math.isfinite(difference):
            difference, problem = None, "the scores are not finite"
    changes = None if difference is None else difference > 0
    reporter.send("effect", changes_logits=changes, max_abs_difference=difference, problem=problem)


def report_generation(
    reporter: Reporter, model: Any, tokenizer: Any, inputs: dict[str, Any], *, settings: dict[str, Any], most: int
) -> None:
    """Generate once, timed token by token, and report the result."""
    clock = TokenTimer()
    started = time.perf_counter()
    model.generate(**inputs, **settings, max_new_tokens=most, streamer=clock)
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, (list, tuple)) else [ends]
    times, ids = clock.times, clock.ids
    decoding = times[-1] - times[0] if len(times) > 1 else 0.0
    reporter.send(
        "generation",
        token_ids=ids[-MOST_TOKENS:],
        text=tokenizer.decode(ids, skip_special_tokens=True)[:2000],
        ended_by_eos=bool(ids) and ids[-1] in ends,
        first_token_ms=(times[0] - started) * 1000 if times else None,
        tokens_per_s=(len(times) - 1) / decoding if decoding > 0 else None,
        seconds=time.perf_counter() - started,
    )


def probe(reporter: Reporter, request: dict[str, Any]) -> None:
    """Run the stages. Raises whatever the libraries raise."""
    adapter = request["kind"] == "adapter"
    path = request["path"]
    reporter.stage("import")
    started = time.perf_counter()
    if request["level"] == "device":
        (torch,) = import_all(reporter, ["torch"])
        reporter.stage("device")
        verify_device(reporter, torch, choose_device(torch, request))
        return
    wanted = ["torch", "transformers"] + (["peft"] if adapter else [])
    torch, transformers, *rest = import_all(reporter, wanted)
    base = path
    if adapter:
        base = request["base"] or read_config(path, "adapter_config.json").get("base_model_name_or_path")
    if not base:
        raise ProbeFailure("ValueError", "adapter_config.json names no base model (base_model_name_or_path)")
    maker = model_class(transformers, read_config(base))
    import_seconds = time.perf_counter() - started

    reporter.stage("device")
    device = choose_device(torch, request)
    verify_device(reporter, torch, device)

    reporter.stage("load-base" if adapter else "load")
    model, seconds = load_base(
        reporter, base, maker, torch=torch, transformers=transformers, wanted_dtype=request["dtype"]
    )
    started = time.perf_counter()
    if adapter:
        reporter.stage("load-adapter")
        model = load_adapter(reporter, rest[0], model, path)
    model = model.to(device).eval()
    report_loaded(reporter, model, seconds + time.perf_counter() - started, import_seconds)
    report_memory(reporter, torch, device)
    if request["level"] != "generate":
        return

    core = model.get_base_model() if adapter else model
    if not getattr(core, "can_generate", lambda: False)():
        reporter.send("not-applicable", reason=f"{type(core).__name__} does not generate text")
        return
    reporter.stage("tokenizer")
    tokenizer, inputs = encode(transformers, request, base, device)
    reporter.send("prompt", tokens=int(inputs["input_ids"].shape[-1]), templated=bool(tokenizer.chat_template))
    settings = make_greedy(transformers, core, tokenizer)
    reporter.stage("forward")
    report_forward(reporter, model, inputs, settings, adapter)
    # The forward pass has warmed the prompt's path; two tokens after a single one warm the decoding.
    reporter.stage("warm-up")
    model.generate(**{k: v[:, -1:] for k, v in inputs.items()}, **settings, max_new_tokens=2)
    reporter.stage("generate")
    report_generation(reporter, model, tokenizer, inputs, settings=settings, most=request["max_new_tokens"])
    report_memory(reporter, torch, device)


def frames_of(error: BaseException) -> Iterator[str]:
    """Yield where the error arose, innermost frame first."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)[-3:]):
        yield f"{frame.filename}:{frame.lineno} in {frame.name}"[:500]


def report_failure(reporter: Reporter, error: BaseException) -> None:
    """Report the exception that ended the probe, and its kind."""
    text = str(error)
    imports = isinstance(error, ImportError)
    module = getattr(error, "probe_module", "") or (imports and getattr(error, "name", "")) or ""
    names = {c.__name__ for c in type(error).__mro__}
    short = names & {"MemoryError", "OutOfMemoryError"} or any(m in text for m in _OUT_OF_MEMORY)
    kind = "out-of-memory" if short else "import-error" if module or imports else "failed"
    name = error.kind if isinstance(error, ProbeFailure) else type(error).__name__
    where = [] if isinstance(error, ProbeFailure) else list(frames_of(error))
    reporter.send("failed", kind=kind, type=name, message=text[:4000], module=module, where=where)


def main() -> NoReturn:
    """Read the request, run the stages, report how it ended."""
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]  # files beside this one must not shadow modules
    die_with_parent()
    offer_to_oom_killer()
    # At the deadline the parent sends SIGTERM first: the stack goes to standard error, then the process ends.
    faulthandler.register(signal.SIGTERM, all_threads=False, chain=True)
    request_fd, answer_fd = int(sys.argv[1]), int(sys.argv[2])
    for descriptor in (request_fd, answer_fd):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - what it starts does not hold the line open
    reporter = Reporter(answer_fd)
    reporter.stage("start")
    with os.fdopen(request_fd, "rb", closefd=False) as handle:
        request = json.loads(handle.readline())
    watch_parent(request_fd)
    status = 0
    try:
        probe(reporter, request)
        reporter.stage("done")
    except BaseException as error:  # noqa: BLE001 - whatever it was, the parent is told
        report_failure(reporter, error)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # tearing down a GPU context by exit handlers has been seen to hang


if __name__ == "__main__":
    main()
