"""The files beside the weights: configuration, tokenizer, chat template, licence."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_doctor.facts.embeddings import embedding_tensor
from sage_doctor.facts.tokenizers import read_tokenizer
from sage_doctor.merge.base import BaseModel
from sage_doctor.merge.belongings import Belongings, require_own
from sage_doctor.merge.edits import TensorPlan
from sage_doctor.readers.tree import TOKENIZER_FILES, WEIGHTS, Tree
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import inspect_path

TEMPLATES = frozenset({"chat_template.jinja", "chat_template.json"})
# The files of a tokenizer and its templates: taken from one directory as a whole, never mixed.
TOKENIZER = TOKENIZER_FILES | TEMPLATES | {"added_tokens.json", "tiktoken.model", "normalizer.json"}
CONFIGS = frozenset({"config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"})
_LEFT_OUT = re.compile(
    r"^(?:adapter_(?:config|model).*|.*\.index\.json|config\.json|trainer_state\.json|sage-doctor-merge\.json"
    r"|README.*|.*\.(?:safetensors|bin|pt|pth|gguf|h5|msgpack|onnx|lock))$",
    re.IGNORECASE,
)
_TAKEN = re.compile(r"^(?:.*\.(?:json|jinja|model|txt|tiktoken|py)|(?:LICEN[SC]E|NOTICE|USE_POLICY).*)$", re.IGNORECASE)
_KEPT_TEXT = re.compile(r"^(?:(?:LICEN[SC]E|NOTICE|USE_POLICY).*|.*\.txt)$", re.IGNORECASE)
_MOST_BYTES = 1 << 28


@frozen
class Companion:
    """A file that is copied: its name in the merged model, and its source."""

    name: str
    source: Path
    nbytes: int


def unfit_tokenizer(base: BaseModel, adapter: Tree, plans: Mapping[str, TensorPlan]) -> str:
    """Return why the adapter's tokenizer does not fit the merged embedding, or an empty text.

    Tokens were added to it and the embedding was never resized: their ids would end a session. What the base's own
    tokenizer has as well is no reason, since models are published with ids that no prompt uses.
    """
    own, theirs = read_tokenizer(adapter), read_tokenizer(base.tree)
    embedding = embedding_tensor({n: p.source.tensor._replace(name=n) for n, p in plans.items()})
    if own.source is None or own.highest_id is None or embedding is None or theirs.source is None:
        return ""
    if own.highest_id < embedding.shape[0] or own.highest_id <= (theirs.highest_id or 0):
        return ""
    return f"the adapter's has ids up to {own.highest_id}, the embedding {embedding.shape[0]} rows"


def companions(
    base: BaseModel, adapter: Tree, target: Path, *, own_tokenizer: bool = True
) -> tuple[tuple[Companion, ...], str, Mapping[str, str]]:
    """Return the files to be copied, whose tokenizer they hold (`base`, `adapter` or an empty text), and what is not.

    The tokenizer is the one that sessions use with the adapter: its own if that is valid (its vocabulary may differ)
    and `own_tokenizer` allows it, else the base's. A licence or text of the target stays. Links that lead out of base
    or adapter are not copied: the last value says where each leads. Raises `MergeRefused` if the model needs one of
    them.
    """
    weights = tuple(f.name for f in base.weights.files)
    bases = Belongings.of(base.tree.path, weights)
    adapters = Belongings.of(adapter.path, ("adapter_model.safetensors",))
    require_own(bases, ["config.json", *([base.weights.entry] if base.weights.index and base.weights.entry else [])])
    require_own(adapters, ["adapter_config.json"])
    own = read_tokenizer(adapter)
    theirs = read_tokenizer(base.tree)
    valid = own_tokenizer and own.source is not None and not own.problems
    whose = "adapter" if valid else "base" if theirs.source is not None else ""
    found = {c.name: c for c in _files(base.tree) if c.name not in TOKENIZER}
    if whose == "adapter":
        found.update({c.name: c for c in _files(adapter) if c.name in TOKENIZER})
        if not own.chat_template and own.highest_id == theirs.highest_id:
            found.update({c.name: c for c in _files(base.tree) if c.name in TEMPLATES})
    else:
        found.update({c.name: c for c in _files(base.tree) if c.name in TOKENIZER})
    config = base.tree.info("config.json")
    found["config.json"] = Companion(name="config.json", source=base.tree.path / "config.json", nbytes=config.size)
    left_out = {}
    for name, companion in list(found.items()):
        belongings = bases if companion.source.parent == base.tree.path else adapters
        if _KEPT_TEXT.match(name) and name not in TOKENIZER and inspect_path(target / name).kind == "file":
            del found[name]
        elif not belongings.include(name):
            needed = name in TOKENIZER or (name.endswith(".py") and bool(base.config.get("auto_map")))
            require_own(belongings, [name] if needed else [])
            left_out[name] = os.path.realpath(companion.source)
            del found[name]
    return tuple(sorted(found.values(), key=lambda c: c.name)), whose, left_out


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
    """Return whether a file of that name shows that its directory is a model's."""
    return bool(_LEFT_OUT.match(name) or WEIGHTS.match(name)) or name in TOKENIZER | CONFIGS


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
