"""A PEFT adapter: its configuration and tensors, and which of the base's tensors they belong to, from headers alone.

Key forms of PEFT 0.21 (`peft.utils.save_and_load`): `base_model.model.<module>.lora_A.weight`; the adapter's own
name is taken out on saving and put in again on loading, so a key that still carries `.default.` never matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from sage_doctor.facts.adapter_patterns import AdapterPatterns
from sage_doctor.readers.json_object import JsonFile, read_json_object
from sage_doctor.readers.safetensors_header import Header, Tensor, read_header
from sage_doctor.readers.tree import Tree
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import PathInfo

PREFIX = "base_model.model."
_LORA = re.compile(
    r"^(?P<module>.+?)\.lora_(?P<part>A|B|embedding_A|embedding_B|magnitude_vector)(?P<name>\.[^.]+)?"
    r"(?:\.(?:weight|bias))?$"
)
# What training wraps a model or its layers in, by the name that it adds to those of all tensors inside.
WRAPPERS: Mapping[str, str] = {
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing",
    "_forward_module": "Lightning",
    "module": "DistributedDataParallel or DeepSpeed",
}
_INSIDE = re.compile(r"(?:^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\.")
_OUTSIDE = re.compile(r"^(?:base_model\.model\.)?(module)\.(?:module\.)*(?:base_model\.|model\.|transformer\.)")
_LORA_PARTS = frozenset({"A", "B", "embedding_A", "embedding_B"})
# How PEFT writes the weight of a module that it saves whole, or of one below a LoRA.
_SAVED = re.compile(r"(?:\.token_adapter)?(?:\.(?:base_layer|original_module|modules_to_save(?:\.[^.]+)?))?\.weight$")
MUTATING_INITS = ("pissa", "olora", "loftq", "corda", "lora_ga")
UNMERGEABLE = frozenset(
    {"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT", "POLY", "XLORA"}
)


@frozen
class AdapterConfig:
    """What `adapter_config.json` says. Values of an unexpected type count as not stated."""

    file: JsonFile
    peft_type: str | None = None
    base: str | None = None
    rank: int | None = None
    rank_pattern: Mapping[str, int] | None = None
    target_modules: tuple[str, ...] | str | None = None
    target_parameters: tuple[str, ...] = ()
    init: str | None = None
    fields: frozenset[str] = frozenset()
    values: Mapping[str, Any] | None = None
    patterns: AdapterPatterns = field(default_factory=lambda: AdapterPatterns({}), repr=False, compare=False)

    def rank_for(self, module: str) -> int | None:
        """Return the rank configured for a module: the first pattern that matches its end wins, as in PEFT.

        None where that cannot be told, as for bare parameters, which get the rank once for each expert. Raises
        `UnboundedPattern`.
        """
        if self.adapts_parameters(module):
            return None
        pattern = self.patterns.first("rank_pattern", module)
        return self.rank if pattern is None else (self.rank_pattern or {}).get(pattern, self.rank)

    def adapts_parameters(self, module: str) -> bool:
        """Return whether the LoRA of this module may be one of its bare parameters, such as stacked experts.

        No weight of the base has its name then: PEFT wraps the module that owns them, once for each parameter.
        Raises `UnboundedPattern`.
        """
        return bool(self.target_parameters) and not self.patterns.matches("target_modules", module)


@frozen
class AdapterWeights:
    """The adapter's weight file: `name` is what a loader would read, None where there is none."""

    name: str | None
    node: PathInfo | None = None
    header: Header | None = None
    pickle: bool = False


@frozen
class LoraTensor:
    """One LoRA tensor. `module` is the module it adapts, without PEFT's prefix."""

    tensor: Tensor
    module: str
    part: str
    adapter_name: str | None


def read_adapter_config(tree: Tree) -> AdapterConfig:
    """Return the adapter configuration in a directory. Never raises for what the file holds."""
    file = read_json_object(tree.path / "adapter_config.json", most=1 << 24)
    values = file.value or {}
    base = values.get("base_model_name_or_path")
    pattern = values.get("rank_pattern")
    targets = values.get("target_modules")
    parameters = values.get("target_parameters")
    init = values.get("init_lora_weights")
    peft_type = values.get("peft_type")
    return AdapterConfig(
        file=file,
        peft_type=peft_type if isinstance(peft_type, str) else None,
        base=base if isinstance(base, str) and base.strip() else None,
        rank=_rank(values.get("r")),
        rank_pattern={str(k): v for k, v in pattern.items() if _rank(v)} if isinstance(pattern, dict) else None,
        target_modules=_targets(targets),
        target_parameters=tuple(str(p) for p in parameters) if isinstance(parameters, list) else (),
        init=init if isinstance(init, str) else None,
        fields=frozenset(str(k) for k in values),
        values=file.value,
        patterns=AdapterPatterns(values),
    )


def _rank(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _targets(value: object) -> tuple[str, ...] | str | None:
    if isinstance(value, str):
        return value
    return tuple(str(v) for v in value) if isinstance(value, list) else None


def read_adapter_weights(tree: Tree) -> AdapterWeights:
    """Return the weight file PEFT would read: `adapter_model.safetensors` before `adapter_model.bin`."""
    for name in ("adapter_model.safetensors", "adapter_model.bin"):
        if tree.has(name):
            node = tree.info(name)
            if name.endswith(".bin"):
                return AdapterWeights(name=name, node=node, pickle=True)
            return AdapterWeights(name=name, node=node, header=read_header(tree.path / name))
    return AdapterWeights(name=None)


def lora_tensors(tensors: Iterable[Tensor]) -> list[LoraTensor]:
    """Return the LoRA tensors among `tensors`, their module named without PEFT's prefix."""
    found = []
    for tensor in tensors:
        match = _LORA.match(tensor.name)
        if match:
            name = match["name"]
            found.append(
                LoraTensor(
                    tensor=tensor,
                    module=match["module"].removeprefix(PREFIX),
                    part=match["part"],
                    adapter_name=name[1:] if name and name not in (".weight", ".bias") else None,
                )
            )
    return found


def wrapper_in(name: str) -> str | None:
    """Return the wrapper that training left in a tensor's name (a key of `WRAPPERS`), or None."""
    match = _INSIDE.search(name) or _OUTSIDE.match(name)
    return match[1] if match is not None else None


def adapted_modules(names: Iterable[str], prefix: str) -> dict[str, str]:
    """Return the modules that an adapter changes, without PEFT's prefix, and the name of one tensor of each.

    `prefix` is how the adapter's type begins the names of its tensors, such as `ia3_`.
    """
    pattern = re.compile(rf"^{re.escape(PREFIX)}(?P<module>.+?)\.{re.escape(prefix)}")
    return {match["module"]: name for name in names if (match := pattern.match(name)) is not None}


def saved_modules(tensors: Iterable[Tensor]) -> dict[str, Tensor]:
    """Return the modules whose weight an adapter holds whole, without PEFT's prefix, and that weight."""
    found = {}
    for tensor in tensors:
        name = tensor.name.removeprefix(PREFIX)
        if name != tensor.name and name.endswith(".weight") and ".lora_" not in name:
            found[_SAVED.sub("", name)] = tensor
    return found


def rows_trained(values: Mapping[str, Any]) -> int:
    """Return how many rows an embedding must have for the tokens whose rows were trained by themselves, 0 for none."""
    said = values.get("trainable_token_indices") or values.get("token_indices")
    lists = list(said.values()) if isinstance(said, dict) else [said]
    return max((n + 1 for rows in lists if isinstance(rows, list) for n in rows if type(n) is int), default=0)


def rank_of(lora: LoraTensor) -> int | None:
    """Return the rank a LoRA tensor's shape has, or None for a part that has none."""
    shape = lora.tensor.shape
    if lora.part not in _LORA_PARTS or len(shape) < 2:
        return None
    return shape[0] if lora.part in ("A", "embedding_A") else shape[1]
