"""Loading as a session does: the packages, the model, and the adapter on its base."""

from __future__ import annotations

import importlib
import os
import re
import time
from typing import Any

from sage_doctor.probe.child.model_class import adapter_classes, base_of, fitting_adapter, full_classes, sentence_part
from sage_doctor.probe.child.rehearsal import Fit, headers_of, rehearse
from sage_doctor.probe.child.reporter import Reporter, bounded


def load_package(name: str) -> Any:
    """Import a package; what it raises names the package."""
    try:
        return importlib.import_module(name)
    except BaseException as error:
        if not isinstance(error, ImportError) or not error.name:  # a shared library that does not load
            error.probe_module = name  # type: ignore[attr-defined]
        raise


def load_config(transformers: Any, directory: str) -> Any:
    """Return the configuration that the library makes of a directory. Raises what a session would see."""
    part = sentence_part(directory)
    where = part[0] if part is not None else directory
    return transformers.AutoConfig.from_pretrained(where, trust_remote_code=False, local_files_only=True)


class Plan:
    """What is loaded: the directory, the class that loads it, and what an adapter brings for it."""

    def __init__(self, torch: Any, transformers: Any, request: dict[str, Any], peft: Any) -> None:
        self._torch, self._transformers = torch, transformers
        self.adapter = request["path"] if peft is not None else ""
        self.directory = base_of(request["path"], request["base"]) if self.adapter else request["path"]
        self._tensors: dict[str, Any] = {}
        self.config = load_config(transformers, self.directory)
        self._plain = True
        if self.adapter:
            self._tensors = _adapter_tensors(self.adapter)
            self._set_labels()
            makers = adapter_classes(transformers, peft, self.adapter, self.directory, self.config)
            self.maker = fitting_adapter(torch, makers, self.config, self._tensors)
        else:
            part = None if request["prompted"] else sentence_part(self.directory)
            makers = full_classes(transformers, self.directory, self.config, prompted=request["prompted"])
            self.directory = part[0] if part is not None else self.directory
            self.maker = self._first_that_fits(makers)

    def _first_that_fits(self, makers: list[Any]) -> Any:
        """Return the first class whose names are those on disk: config.json does not say which one it was."""
        for maker in makers if len(makers) > 1 else ():
            fit = rehearse(self._torch, self._transformers, maker, self.directory, self.config)
            if fit is not None and not fit.wrong:
                return maker
        return makers[0]

    def _set_labels(self) -> None:
        """Give a classifier as many labels as the adapter's head has: a session has to state them."""
        for name, (shape, _) in self._tensors.items():
            if re.search(r"(^|\.)(score|classifier(\.out_proj)?)\.weight$", name) and len(shape) == 2:
                if self.config.num_labels != shape[0] and shape[0] < 1 << 20:
                    self.config.num_labels, self._plain = shape[0], False
                return

    def rehearse(self) -> Fit | None:
        """Return how the names and shapes fit, before any weight is read; None where only the load can tell."""
        fit = rehearse(self._torch, self._transformers, self.maker, self.directory, self.config)
        return fit if fit is None else self._completed(fit)

    def load(self, wanted_dtype: str) -> tuple[Any, Fit, float]:
        """Load the model; returns it, how its keys fitted, and the seconds `from_pretrained` took."""
        release = tuple(int(p) for p in self._transformers.__version__.split(".")[:2])
        dtype = wanted_dtype if wanted_dtype == "auto" else getattr(self._torch, wanted_dtype)
        options: dict[str, Any] = {"dtype" if release >= (4, 56) else "torch_dtype": dtype}
        if not self._plain:
            options["config"] = self.config
        started = time.perf_counter()
        model, info = self.maker.from_pretrained(
            self.directory,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that the names and shapes are told; refused later, as a session would
            **options,
        )
        seconds = time.perf_counter() - started
        return model, self._completed(Fit(model, info, {})), seconds

    def _completed(self, fit: Fit) -> Fit:
        """Leave out what the adapter saves whole, and tell unused heads from tensors that fit nothing."""
        fit.fill(self._tensors)
        fit.set_spare(self._torch, self.config)
        return fit


def _adapter_tensors(path: str) -> dict[str, Any]:
    """Return the headers of an adapter's tensors, named as in the base; empty where they cannot be read."""
    try:
        found = headers_of(path, ["adapter_model.safetensors"])
    except Exception:  # noqa: BLE001 - a pickle, or nothing: peft will say so
        return {}
    # peft before 0.4 wrote the wrapper's name into the tensor's. What learns a prompt wraps the model once only.
    outer = re.compile(r"^base_model\.(?:model\.)?|\.modules_to_save(?=\.)")
    return {outer.sub("", name): shape for name, shape in found.items()}


def resize(transformers: Any, model: Any, adapter: str) -> None:
    """Give the embedding the rows of the adapter's own tokenizer, as `AutoPeftModelFor…` does."""
    if not os.path.exists(os.path.join(adapter, "tokenizer_config.json")) or model.get_input_embeddings() is None:
        return
    tokenizer = transformers.AutoTokenizer.from_pretrained(adapter, trust_remote_code=False, local_files_only=True)
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer))


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
        unexpected = [k for k in results[-1].unexpected_keys if not _is_copy(k, results[-1].unexpected_keys, model)]
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    reporter.send("adapter", peft_type=kind, missing=bounded(missing), unexpected=bounded(unexpected))
    return model


def _is_copy(name: str, unused: list[str], model: Any) -> bool:
    """Return whether an unused tensor is a second copy of one that is used: peft saves some modules under two names.

    So it does with a module that is saved whole after its embedding was resized, and with the trained rows of an
    output layer that is tied to the embedding. peft 0.17 draws the matrices that all layers of a VeRA share from the
    seed in its configuration, and they are those in the file.
    """
    if name.startswith("base_model.vera_"):
        return True
    if ".modules_to_save." in name:
        return name.replace(".modules_to_save.", ".", 1) not in unused
    rows = ".trainable_tokens_delta"
    if rows not in name or not getattr(model.config, "tie_word_embeddings", False):
        return False
    return any(n.replace(".default", "") not in unused for n, _ in model.named_parameters() if rows in n)


def report_loaded(reporter: Reporter, model: Any, seconds: float) -> None:
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
        parameters=sum(dtypes.values()),
        dtypes=dtypes,
        on_meta=bounded(on_meta),
        devices=devices,
    )
