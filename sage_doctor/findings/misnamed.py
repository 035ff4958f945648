"""Files that are there under another name, or in a directory near by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sage_doctor.readers.signature import PICKLE, SAFETENSORS, TORCH_ARCHIVE
from sage_doctor.readers.tree import TOKENIZER_FILES, Tree, read_tree
from sage_doctor.report import Fix
from sage_doctor.text import shell_quote

if TYPE_CHECKING:
    from sage_doctor.subjects.model import Model


def misnamed(tree: Tree, wanted: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield files that are one of `wanted` but for their case, or for what a browser or editor added to the name."""
    by_plain = {_plain(n): n for n in sorted(tree.names, reverse=True)}
    for name in wanted:
        if name not in tree.names and (other := by_plain.get(_plain(name))) is not None:
            yield other, name


def _plain(name: str) -> str:
    """Return a name in lower case, without `(1)`, ` - Copy`, `.txt` and the like."""
    name = re.sub(r"[ _]?\(\d{1,3}\)|[ _-]{1,3}copy\b", "", name.lower())
    return re.sub(r"(?<=[a-z])\.(?:txt|\d{1,3}|bak|orig|old|aside)$", "", name)


def rename_commands(tree: Tree, pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the commands that give misnamed files their names; no file is overwritten."""
    return tuple(f"mv -n {shell_quote(tree.path / old)} {shell_quote(tree.path / new)}" for old, new in pairs)


# What a single file of weights should be called, by its name and what it is.
_RIGHT_NAMES = {
    ("pytorch_model.bin", SAFETENSORS): "model.safetensors",
    ("model.safetensors", TORCH_ARCHIVE): "pytorch_model.bin",
    ("model.safetensors", PICKLE): "pytorch_model.bin",
}


def renamed_weights(tree: Tree, name: str, content: str) -> Fix | None:
    """Return the fix for a file of weights under the name of the other form, None for any other."""
    right = _RIGHT_NAMES.get((name, content))
    if right is None or tree.has(right):
        return None
    trust = " Load it only if you trust its origin." if right.endswith(".bin") else ""
    return Fix(
        summary=f"Rename it to {right}: a loader then reads it as what it is.{trust}",
        commands=rename_commands(tree, [(name, right)]),
    )


def tokenizer_nearby(model: Model) -> Path | None:
    """Return the directory right above or below that has the tokenizer, None where none has."""
    places = [model.path.parent, model.path.parent / "tokenizer", model.path / "tokenizer", model.path.parent.parent]
    return next((p for p in places if read_tree(p).names & (TOKENIZER_FILES - {"special_tokens_map.json"})), None)
