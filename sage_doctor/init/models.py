"""The model directories worth an entry: those below the roots, without parts and by-products of others."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from sage_doctor.launchers.code import is_archive
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.merge_record import RECORD
from sage_doctor.readers.other_programs import is_for_another_program
from sage_doctor.readers.tree import find_model_directories, read_tree
from sage_doctor.subjects.directories import is_merged, kind_of, only_tokenizer
from sage_doctor.subjects.model import ModelKind
from sage_doctor.text import printable

MOST_MODELS: Final = 500
MOST_DIRECTORIES: Final = 20_000
MOST_RECORD: Final = 1 << 24
_CHECKPOINT: Final = re.compile(r"(?:checkpoint|step|epoch|global_step|checkpoint_epoch)[-_]?\d{1,12}\Z", re.IGNORECASE)


@dataclass(kw_only=True)
class ModelDirectories:
    """Directories that get an entry, and sentences about those that were skipped."""

    found: list[Path] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    truncated: bool = False


def find_new_models(roots: Sequence[Path], known: Collection[str]) -> ModelDirectories:
    """Return the model directories below the roots that are not among `known` (real paths), in a stable order."""
    places = ModelDirectories()
    seen = set(known)
    passed: Counter[str] = Counter()
    for path in chain.from_iterable(find_model_directories(r, most_directories=MOST_DIRECTORIES) for r in roots):
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        why = None if path in roots else _skip_reason(path, roots)
        if why is not None:
            passed[why] += 1
        elif len(seen) - sum(passed.values()) > MOST_MODELS:
            places.truncated = True  # those written by an earlier run count, or each run would add as many again
        else:
            places.found.append(path)
    places.skipped += [f"skipped {n} director{'y' if n == 1 else 'ies'} {why}" for why, n in sorted(passed.items())]
    return places


def _skip_reason(path: Path, roots: Sequence[Path]) -> str | None:
    """Return why a directory gets no entry, None if it gets one."""
    if _is_cached(path):
        return "in a Hugging Face cache that nothing here refers to"
    if is_archive(path, roots):
        return "in an archive"
    if not can_be_written(path):
        return f"with a name that is not UTF-8, which no manifest can contain ({printable(str(path), limit=300)})"
    if _CHECKPOINT.match(path.name):
        return "with a checkpoint of a training run"
    if is_for_another_program(path, read_tree(path).names):
        return "of models in the form of another program (GGUF, ONNX and the like)"
    return "with only a tokenizer" if only_tokenizer(path) else None


def _is_cached(path: Path) -> bool:
    """Return whether a path has the layout of the hub's cache, whose models are named by their repository."""
    return "snapshots" in path.parts and any(p.startswith("models--") for p in path.parts)


def can_be_written(path: Path | str) -> bool:
    """Return whether a manifest can contain a path: TOML is UTF-8, and file names need not be."""
    return not any(0xD800 <= ord(c) <= 0xDFFF for c in str(path))


def kind_at(path: Path) -> ModelKind:
    """Return the kind of the model in a directory."""
    kind = kind_of(path)
    return "merged" if kind == "full" and is_merged(path) else kind


def recorded_ingredients(path: Path) -> tuple[str, str] | None:
    """Return the paths of base and adapter from the record beside a merge's result, None if there is none."""
    record = read_json_object(path / RECORD, most=MOST_RECORD).value or {}
    found = []
    for part in ("base", "adapter"):
        value = record.get(part)
        text = value.get("path") if isinstance(value, dict) else None
        if not isinstance(text, str) or not text:
            return None
        found.append(text)
    return found[0], found[1]
