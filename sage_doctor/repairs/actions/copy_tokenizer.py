"""Copies a merged model's missing tokenizer or configuration from its base or adapter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sage_doctor.facts.embeddings import embedding_tensor
from sage_doctor.facts.tokenizers import read_tokenizer
from sage_doctor.merge.base import BaseModel, read_base
from sage_doctor.merge.companions import TEMPLATES, companions
from sage_doctor.readers.tree import TOKENIZER_FILES, read_tree
from sage_doctor.repairs.repair import Plan, RepairContext, RepairRefused, read_input, repair
from sage_doctor.subjects.model import Model
from sage_doctor.subjects.recipe import recipe_places
from sage_doctor.system.file_steps import Applied, all_of, backup_name, undo_write, write_file
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_range
from sage_doctor.system.seen import see

OF_A_TOKENIZER = ("tokenizer-missing", "tokenizer-invalid", "tokenizer-vocab-overflow")
OF_A_CONFIG = ("config-missing", "config-invalid", "config-type-unknown")
_BY_HAND = "Copy the file from a machine with the complete model."


@repair(name="copy-tokenizer", codes=[*OF_A_TOKENIZER, *OF_A_CONFIG], after=["merge"])
def plan_copy_tokenizer(context: RepairContext) -> Plan:
    """Copies a merged model's tokenizer or configuration from the base and adapter of its recipe."""
    finding, model = context.finding, context.model
    places = recipe_places(model)
    if places is None:
        raise RepairRefused(f"the manifest has no merge recipe for it whose base and adapter are here. {_BY_HAND}")
    base = read_base(places[0], "named in the merge recipe")
    files, whose, _ = companions(base, read_tree(places[1]), model.path)
    if finding.code in OF_A_CONFIG:
        _same_tensors(model, base)
        files = tuple(c for c in files if c.name in ("config.json", "generation_config.json"))
    else:
        files = tuple(c for c in files if c.name in TOKENIZER_FILES | TEMPLATES | {"added_tokens.json"})
        _fits(model, places[0] if whose == "base" else places[1])
    steps: list[Callable[[], Applied]] = []
    writes: list[str] = []
    undo: list[str] = []
    for file in files:
        path = model.path / file.name
        seen = see(path)
        there = seen.state is not None
        data = read_input(file.source, file.nbytes)
        if there and inspect_path(path).kind == "file" and _same(path, data):
            continue
        if there and file.name == "generation_config.json":
            continue
        backup = backup_name(path) if there else None
        steps.append(partial(write_file, path, data, backup=backup, seen=seen))
        writes.append(f"{path}" + (f" (the old file becomes {backup.name})" if backup is not None else ""))
        undo.append(undo_write(path, backup))
    if not steps:
        raise RepairRefused(f"its files already equal those of its base and adapter. {_BY_HAND}")
    return Plan(
        action=f"copy {len(steps)} file{'' if len(steps) == 1 else 's'} from its base or adapter",
        reads=tuple(str(f.source) for f in files),
        writes=tuple(writes),
        write_bytes=sum(f.nbytes for f in files),
        disk_bytes=sum(f.nbytes for f in files),
        unchanged="the weights, the base, the adapter",
        undo_commands=tuple(undo),
        apply=lambda _on_progress: all_of(steps),
    )


def _same(path: Path, data: bytes) -> bool:
    try:
        return inspect_path(path).size == len(data) and read_range(path, 0, len(data)) == data
    except UnreadableFile:
        return False


def _same_tensors(model: Model, base: BaseModel) -> None:
    """Raise `RepairRefused` if the base's configuration does not describe the weights."""
    own = {t.name: tuple(t.shape) for t in model.tensors.values()}
    theirs = {name: tuple(p.tensor.shape) for name, p in base.tensors.items()}
    if own != theirs:
        raise RepairRefused(
            "its tensors differ from the base's in names or shapes, so the base's config.json does not describe them. "
            "Merge it again: `sage-doctor merge` writes the right config.json."
        )


def _fits(model: Model, owner: Path) -> None:
    """Raise `RepairRefused` if the tokenizer has an id beyond the rows of the embedding."""
    highest = read_tokenizer(read_tree(owner)).highest_id
    embedding = embedding_tensor(model.tensors)
    rows = embedding.shape[0] if embedding is not None else model.config.vocab_size
    if highest is None or rows is None:
        raise RepairRefused(
            f"the vocabulary size of these weights or of {owner.name}'s tokenizer is unknown. {_BY_HAND}"
        )
    if highest >= rows:
        raise RepairRefused(
            f"the tokenizer of {owner.name} has ids up to {highest}, but the embedding has {rows} rows. {_BY_HAND}"
        )
