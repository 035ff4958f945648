"""The files beside the weights: configuration, tokenizer, chat template, licence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage_doctor.facts.tokenizers import read_tokenizer
from sage_doctor.merge.base import BaseModel
from sage_doctor.readers.tree import TOKENIZER_FILES, WEIGHTS, Tree

TEMPLATES = frozenset({"chat_template.jinja", "chat_template.json"})
# The files of a tokenizer and its templates: taken from one directory as a whole, never mixed.
_TOKENIZER = TOKENIZER_FILES | TEMPLATES | {"added_tokens.json", "tiktoken.model", "normalizer.json"}
_LEFT_OUT = re.compile(
    r"^(?:adapter_(?:config|model).*|.*\.index\.json|config\.json|trainer_state\.json|sage-doctor-merge\.json"
    r"|README.*|.*\.(?:safetensors|bin|pt|pth|gguf|h5|msgpack|onnx|lock))$",
    re.IGNORECASE,
)
_TAKEN = re.compile(r"^(?:.*\.(?:json|jinja|model|txt|tiktoken|py)|(?:LICEN[SC]E|NOTICE|USE_POLICY).*)$", re.IGNORECASE)
_MOST_BYTES = 1 << 28


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A file that is copied: its name in the merged model, and its source."""

    name: str
    source: Path
    nbytes: int


def companions(base: BaseModel, adapter: Tree, *, keep: tuple[Path, ...] = ()) -> tuple[tuple[Companion, ...], str]:
    """Return the files to be copied, and whose tokenizer they hold: `base`, `adapter` or an empty text.

    The tokenizer is the one that sessions use with the adapter: its own if that is valid (its vocabulary may differ),
    else the base's. `keep` are files of the replaced directory that a merge does not write.
    """
    found = {c.name: c for c in _files(base.tree) if c.name not in _TOKENIZER}
    own = read_tokenizer(adapter)
    theirs = read_tokenizer(base.tree)
    whose = "adapter" if own.source is not None and not own.problems else "base" if theirs.source is not None else ""
    config = base.tree.info("config.json")
    found["config.json"] = Companion(name="config.json", source=base.tree.path / "config.json", nbytes=config.size)
    chosen = adapter if whose == "adapter" else base.tree
    found.update({c.name: c for c in _files(chosen) if c.name in _TOKENIZER})
    if whose == "adapter" and not own.chat_template and own.highest_id == theirs.highest_id:
        found.update({c.name: c for c in _files(base.tree) if c.name in TEMPLATES})
    for path in keep:
        found.setdefault(path.name, Companion(name=path.name, source=path, nbytes=path.stat().st_size))
    return tuple(sorted(found.values(), key=lambda c: c.name)), whose


def _files(tree: Tree) -> list[Companion]:
    found = []
    for name in sorted(tree.names):
        if _LEFT_OUT.match(name) or not _TAKEN.match(name):
            continue
        node = tree.info(name)
        if node.kind == "file" and node.size <= _MOST_BYTES:
            found.append(Companion(name=name, source=tree.path / name, nbytes=node.size))
    return found


def is_model_file(name: str) -> bool:
    """Return whether a file of a model directory is one that a merge makes or takes the place of."""
    return bool(_LEFT_OUT.match(name) or WEIGHTS.match(name) or name in _TOKENIZER) or name in (
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
        "processor_config.json",
    )


def config_text(
    config: Mapping[str, Any], *, vocabulary: int | None, untied: bool, dtype: str | None, anew: bool = False
) -> str | None:
    """Return the merged model's `config.json`, or None if the base's own is still correct byte for byte.

    `anew`: `config` is not what the base's file says.
    """
    if vocabulary is None and not untied and dtype is None and not anew:
        return None
    changed = dict(config)
    parts = [changed]
    if isinstance(changed.get("text_config"), dict):
        changed["text_config"] = dict(changed["text_config"])
        parts.append(changed["text_config"])
    for part in parts:
        nested_only = len(parts) > 1 and part is changed
        if vocabulary is not None and ("vocab_size" in part or not nested_only):
            part["vocab_size"] = vocabulary
        if untied:
            part["tie_word_embeddings"] = False
        for key in ("dtype", "torch_dtype"):
            if dtype is not None and key in part:
                part[key] = dtype
    if dtype is not None and not {"dtype", "torch_dtype"} & changed.keys():
        changed["torch_dtype"] = dtype  # every release reads this spelling
    return json.dumps(changed, indent=2, ensure_ascii=False) + "\n"
