"""What a directory is that a session would take for a PEFT adapter and that is laid out in another way.

Told by the names in it, by the keys of its adapter_config.json, and by the headers of its safetensors files. Each of
these directories makes PEFT fail with a message about something else: a key, a repository id, a missing file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from sage_doctor.readers.safetensors_header import read_header
from sage_doctor.readers.tree import Tree, read_tree
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path

LayoutKind = Literal["mlx", "adapter-hub", "model-config", "run", "renamed", "sharded", "gguf"]
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_MOST_ENTRIES = 2000  # directories and files that are looked at
_MOST_HEADERS = 20
_MLX_KEYS = frozenset({"fine_tune_type", "lora_parameters", "adapter_path"})
_MLX_FILES = frozenset({"adapters.safetensors", "adapters.npz"})
_HUB_KEYS = frozenset({"config_id", "model_class", "model_name"})
_SHARD = re.compile(r".+-\d{5}-of-\d{5}\.safetensors")
_CONVERTED = re.compile(r"\.gguf$|^ggml-adapter-model\.bin$")  # as llama.cpp's converters name them
_INNER = ("adapter", "adapters", "default", "lora", "policy")
_STEP = re.compile(r"checkpoint-\d{1,12}")
_TENSORS = re.compile(r"\.lora_(?:A|B|embedding_[AB])(?:\.|$)")


@frozen
class AdapterLayout:
    """Such a directory. `names` are the files or directories that show what it is, the newest one last."""

    kind: LayoutKind
    names: tuple[str, ...] = ()


def read_layout(tree: Tree, config: Mapping[str, Any] | None) -> AdapterLayout | None:
    """Return what a directory is instead of a PEFT adapter; None where it is one, or nothing shows what it is.

    `config` is its adapter_config.json, None where that is missing or cannot be read.
    """
    own = _MLX_FILES & tree.names
    if config is not None and not config.get("peft_type"):
        if own or _MLX_KEYS & config.keys():
            return AdapterLayout(kind="mlx", names=tuple(sorted(own)))
        if len(_HUB_KEYS & config.keys()) > 1:
            return AdapterLayout(kind="adapter-hub")
        if {"model_type", "architectures"} & config.keys():
            return AdapterLayout(kind="model-config", names=tuple(_model_type(config)))
    whole = tree.has(WEIGHTS) or tree.has("adapter_model.bin")
    if whole and tree.has(CONFIG):
        return None
    if not whole:
        if own:
            return AdapterLayout(kind="mlx", names=tuple(sorted(own)))
        renamed = _with_lora_tensors(tree)
        if renamed and tree.has(CONFIG):
            shards = len(renamed) > 1 and all(_SHARD.fullmatch(n) for n in renamed)
            return AdapterLayout(kind="sharded" if shards else "renamed", names=renamed)
        converted = tuple(sorted(n for n in tree.names if _CONVERTED.search(n)))
        if converted and tree.has(CONFIG):
            return AdapterLayout(kind="gguf", names=converted)
    below = adapters_below(tree)
    return AdapterLayout(kind="run", names=below) if below else None


def _model_type(config: Mapping[str, Any]) -> Iterable[str]:
    value = config.get("model_type")
    return [value] if isinstance(value, str) else []


def _with_lora_tensors(tree: Tree) -> tuple[str, ...]:
    names = sorted(n for n in tree.names if n.endswith(".safetensors"))[:_MOST_HEADERS]
    return tuple(n for n in names if any(_TENSORS.search(t) for t in read_header(tree.path / n).tensors))


def adapters_below(tree: Tree) -> tuple[str, ...]:
    """Return the directories in this one that hold an adapter, those of checkpoints by number: the last one last."""
    found = []
    for name in sorted(tree.names)[:_MOST_ENTRIES]:
        if name.startswith(".") or inspect_path(tree.path / name).kind != "directory":
            continue
        steps = sorted(n for n in read_tree(tree.path / name).names if _STEP.fullmatch(n))[:_MOST_ENTRIES]
        for place in (Path(name), *(Path(name) / n for n in (*_INNER, *steps))):
            names = read_tree(tree.path / place).names
            if CONFIG in names and {WEIGHTS, "adapter_model.bin"} & names:
                found.append(str(place))
    return tuple(sorted(found, key=_by_step))


def _by_step(name: str) -> tuple[int, str]:
    steps = re.findall(r"\d{1,12}", name)
    return (int(steps[-1]) if steps else -1, name)
