"""The load is rehearsed with the headers alone: the library's own, with tensors on the meta device.

Which names and shapes fit is then said by the very code that loads: renamed modules, fused experts, tied weights and
what a class ignores are all its own. No byte of a weight is read, and nothing is allocated. Whatever cannot be
rehearsed with certainty is left to the load itself.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from sage_doctor.probe.child.model_class import hollow, read_table
from sage_doctor.probe.child.reporter import MOST_NAMES, Reporter, bounded

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "BOOL": "bool",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
_MOST_HEADER = 100_000_000  # the format's own bound
# What gives missing parameters memory and values: names and shapes are known without.
_FILLING = (
    "_move_missing_keys_from_meta_to_cpu",
    "_move_missing_keys_from_meta_to_device",
    "_initialize_missing_keys",
)


class Fit:
    """How the names and shapes on disk fit a model.

    `missing` were not found, `unexpected` are not used, `mismatched` have two shapes. `spare` are tensors that another
    class of the same architecture uses, `idle` parameters that are missing and that a session can do without.
    """

    def __init__(self, model: Any, info: dict[str, Any], headers: dict[str, tuple[int, ...]]) -> None:
        self.model = model
        self.missing: list[str] = sorted(map(str, info.get("missing_keys", ())))
        self.unexpected: list[str] = sorted(map(str, info.get("unexpected_keys", ())))
        self.errors: list[str] = sorted(map(str, info.get("error_msgs", ())))
        self.spare: list[str] = []
        self.idle: list[str] = []
        self.mismatched = sorted(self._shapes(entry, headers) for entry in info.get("mismatched_keys", ()))
        self._pooler()

    def _shapes(self, entry: Any, headers: dict[str, tuple[int, ...]]) -> tuple[str, list[int], list[int]]:
        """Return a name and both shapes: transformers 4.57 tells the name alone."""
        if not isinstance(entry, str):
            return str(entry[0]), list(entry[1]), list(entry[2])
        ours = self.model.state_dict().get(entry)
        on_disk = headers.get(entry) or next((s for n, s in headers.items() if entry.endswith(f".{n}")), ())
        return entry, list(on_disk), list(ours.shape) if ours is not None else []

    def _pooler(self) -> None:
        """A pooler that the class can be built without is not what a session reads."""
        if "add_pooling_layer" in inspect.signature(type(self.model).__init__).parameters:
            self.idle = [n for n in self.missing if "pooler" in n.split(".")]
            self.missing = [n for n in self.missing if n not in self.idle]

    @property
    def wrong(self) -> bool:
        """Whether a session would talk to random numbers, or not load at all."""
        return bool(self.missing or self.mismatched)

    @property
    def sentence(self) -> str:
        """What is wrong, in the library's own words for two shapes."""
        if not self.mismatched:
            return f"{len(self.missing)} parameter(s) are not in the weights"
        name, disk, here = self.mismatched[0]
        more = f" and {len(self.mismatched) - 1} more" if len(self.mismatched) > 1 else ""
        return f"size mismatch for {name}: {disk} on disk, {here} in the model{more}"

    def fill(self, names: Iterable[str]) -> None:
        """Leave out what something else brings: the modules an adapter saves whole."""
        given = set(names)
        self.missing = [n for n in self.missing if n not in given]

    def set_spare(self, torch: Any, config: Any) -> None:
        """Tell the heads of other classes of this architecture from tensors that nothing uses."""
        kind = type(self.model)
        module = sys.modules.get(kind.__module__)
        others = [
            other
            for other in vars(module).values()
            if isinstance(other, type) and other is not kind and getattr(other, "__module__", "") == kind.__module__
            if hasattr(other, "from_pretrained") and not other.__name__.endswith("PreTrainedModel")
        ]
        left = set(self.unexpected)
        for other in others if left else ():
            try:
                left -= set(hollow(torch, other, config).state_dict())
            except Exception:  # noqa: BLE001, S112 - a class of another configuration
                continue
        self.spare = [n for n in self.unexpected if n not in left]
        self.unexpected = [n for n in self.unexpected if n in left]

    def report(self, reporter: Reporter) -> None:
        """Send the names."""
        reporter.send(
            "keys",
            model_class=type(self.model).__name__,
            missing=bounded(self.missing),
            unexpected=bounded(self.unexpected),
            spare=bounded(self.spare),
            idle=bounded(self.idle),
            mismatched=self.mismatched[:MOST_NAMES],
            mismatched_total=len(self.mismatched),
            errors=bounded(self.errors),
        )


def headers_of(directory: str, names: Iterable[str]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return name → shape and type of every tensor in some safetensors files. Raises where one is not of that form.

    safetensors would map the whole file, which a machine may refuse for one that is larger than its memory.
    """
    found = {}
    for name in names:
        with open(os.path.join(directory, name), "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _MOST_HEADER:
                raise ValueError(f"{name}: a header of {length} bytes")
            header = json.loads(file.read(length))
        for key, entry in header.items():
            if key != "__metadata__":
                found[key] = tuple(int(n) for n in entry["shape"]), str(entry["dtype"])
    return found


def weight_headers(directory: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the headers of the files `from_pretrained` would read; empty where they are no safetensors files."""
    if os.path.isfile(os.path.join(directory, "model.safetensors")):
        return headers_of(directory, ["model.safetensors"])
    listed = read_table(directory, "model.safetensors.index.json").get("weight_map")
    names = sorted({str(n) for n in listed.values()}) if isinstance(listed, dict) else []
    if not names or any(os.path.basename(n) != n or not n.endswith(".safetensors") for n in names):
        return {}
    return headers_of(directory, names)


def rehearse(torch: Any, transformers: Any, maker: Any, directory: str, config: Any) -> Fit | None:
    """Return how the weights of a directory would fit a class, None where only the load itself can tell."""
    values = config.to_dict()
    if values.get("quantization_config") or values.get("transformers_weights"):
        return None
    if not any(hasattr(transformers.PreTrainedModel, name) for name in _FILLING[:2]):
        return None  # an older library, which would fill what is missing with real numbers
    try:
        headers = weight_headers(directory)
        empty = {
            name: torch.empty(shape, dtype=getattr(torch, _DTYPES[dtype]), device="meta")
            for name, (shape, dtype) in headers.items()
        }
        if not empty:
            return None
        with _nothing_filled(transformers):
            config = copy.deepcopy(config)
            if hasattr(maker, "from_config"):  # an Auto class: it takes no configuration without a path
                chosen = hollow(torch, maker, config)
                maker, config = type(chosen), chosen.config
            model, info = maker.from_pretrained(
                None,
                config=config,
                state_dict=empty,
                device_map="meta",
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        return Fit(model, info, {name: shape for name, (shape, _) in headers.items()})
    except Exception:  # noqa: BLE001 - the load itself will say what is wrong
        return None


@contextlib.contextmanager
def _nothing_filled(transformers: Any) -> Iterator[None]:
    """Leave what is missing where it is, and the library silent: it says all this again when it loads."""
    base, logging = transformers.PreTrainedModel, transformers.logging
    kept = {name: vars(base)[name] for name in _FILLING if name in vars(base)}
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        for name in kept:
            setattr(base, name, lambda *_args, **_kwargs: None)
        yield
    finally:
        for name, function in kept.items():
            setattr(base, name, function)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
