"""An adapter's tensors, each assigned to its module and part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from sage_doctor.facts.adapters import PREFIX, read_adapter_weights
from sage_doctor.merge.edits import FLOATS, TensorLocation
from sage_doctor.merge.refusal import refused, unmatched
from sage_doctor.readers.tree import Tree
from sage_doctor.system.path_info import UnreadableFile, read_range
from sage_doctor.text import join_limited, printable

Part = Literal["A", "B", "embedding_A", "embedding_B", "B.bias", "magnitude", "rows", "weight", "bias"]

_LORA = re.compile(
    r"^(?P<module>.+)\.lora_(?:(?P<matrix>A|B)\.(?P<what>weight|bias)|(?P<embedding>embedding_[AB])"
    r"|(?P<magnitude>magnitude_vector)(?:\.weight)?)$"
)
_ROWS = re.compile(r"^(?P<module>.+?)(?:\.token_adapter)?\.trainable_tokens_delta$")
_WHOLE = re.compile(
    r"^(?P<module>.+?)(?:\.token_adapter)?(?P<form>\.base_layer|\.modules_to_save|\.original_module)?\.(?P<what>weight|bias)$"
)
_COPY_BLOCK = 1 << 22


@dataclass(kw_only=True)
class ModuleParts:
    """What the adapter holds for one module. `name` is the module's name while the model runs."""

    name: str
    parts: dict[Part, TensorLocation] = field(default_factory=dict)

    @property
    def leaf(self) -> str:
        """The last part of the module's name: `q_proj`."""
        return self.name.rpartition(".")[2]


def read_parts(tree: Tree) -> tuple[Path, dict[str, ModuleParts]]:
    """Return the adapter's weight file, and its tensors by module.

    Raises `MergeRefused` where the file cannot be used, or a tensor has a name that PEFT would skip.
    """
    weights = read_adapter_weights(tree)
    if weights.pickle:
        raise refused(
            "the adapter is a pickle (adapter_model.bin), which can run code when it is opened",
            "Save it as safetensors where you trust it: model.save_pretrained(…, safe_serialization=True).",
        )
    if weights.name is None or weights.header is None:
        shards = sorted(n for n in tree.names if n.startswith("adapter_model"))
        what = f"its weights are in an unknown format: {join_limited(shards)}" if shards else "it has no weights"
        raise refused(f"the adapter cannot be read: {what}", "Restore adapter_model.safetensors.")
    if weights.header.problem is not None:
        message = printable(weights.header.problem.message)
        raise refused(f"{weights.name}: {message}", "Fetch the adapter's weights again.")
    hollow = [t.name for t in weights.header.tensors.values() if t.elements == 0]
    if hollow:
        raise refused(
            f"{weights.name} has {len(hollow)} tensors without elements: {join_limited(hollow, most=3)}",
            "Save the adapter again from the training run, with its weights gathered.",
        )
    path = tree.path / weights.name
    return path, _by_module({n: TensorLocation(path, t) for n, t in weights.header.tensors.items()})


def _by_module(locations: Mapping[str, TensorLocation]) -> dict[str, ModuleParts]:
    modules: dict[str, ModuleParts] = {}
    strange = []
    # Plain names sort before `modules_to_save` and `original_module`, so what those repeat is already known.
    for name, location in sorted(locations.items(), key=lambda item: (_rank(item[0]), item[0])):
        parsed = _parse(name)
        if parsed is None or location.tensor.dtype not in FLOATS:
            strange.append(name)
            continue
        module = modules.setdefault(parsed[0], ModuleParts(name=parsed[0]))
        known = module.parts.get(parsed[1])
        if known is None and _rank(name) == 0:
            module.parts[parsed[1]] = location
        elif known is None or (_rank(name) < _REPLACED and not same_bytes(known, location)):
            strange.append(name)
    if strange:
        raise unmatched(
            f"{len(strange)} of {len(locations)} tensors have names that PEFT would not load, or dtypes that a merge "
            f"does not read: {join_limited(strange, most=3)}",
            "Save the adapter again with PeftModel.save_pretrained().",
        )
    if not modules:
        raise unmatched("the adapter holds no tensors", "Restore adapter_model.safetensors.")
    return modules


_REPLACED = 2


def _rank(name: str) -> int:
    """Return how a name counts where PEFT saved one tensor under several: 2 is what `modules_to_save` replaced."""
    return 1 if ".modules_to_save." in name else _REPLACED if ".original_module." in name else 0


def same_bytes(one: TensorLocation, other: TensorLocation) -> bool:
    """Return whether two of the adapter's tensors are the same. Raises `MergeRefused` where they cannot be read."""
    if one.tensor.dtype != other.tensor.dtype or one.shape != other.shape:
        return False
    try:
        for at in range(0, one.nbytes, _COPY_BLOCK):
            count = min(_COPY_BLOCK, one.nbytes - at)
            first = read_range(one.path, one.tensor.start + at, count)
            if first != read_range(other.path, other.tensor.start + at, count):
                return False
    except UnreadableFile as error:
        raise refused(f"the adapter cannot be read: {error}", "Restore the adapter's weights.") from error
    return True


def _parse(name: str) -> tuple[str, Part] | None:
    if not name.startswith(PREFIX) or ".default." in name:
        return None
    rest = name.removeprefix(PREFIX)
    if match := _LORA.match(rest):
        part = match["embedding"] or ("magnitude" if match["magnitude"] else match["matrix"])
        if match["what"] == "bias":
            part = f"{part}.bias"
        return (match["module"], cast("Part", part)) if part != "A.bias" else None
    if match := _ROWS.match(rest):
        return match["module"], "rows"
    if ".lora_" in rest:
        return None
    if match := _WHOLE.match(rest):
        return match["module"], "weight" if match["what"] == "weight" else "bias"
    return None
