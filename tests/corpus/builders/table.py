"""`CASES`: every case of the corpus, in the order of the catalogue."""

from __future__ import annotations

import os

from . import (
    adapters,
    bases,
    cache,
    configs,
    deep,
    field,
    foreign,
    paths,
    pickles,
    shards,
    sizes,
    special,
    stock,
    tokenizers,
    trained,
    variants,
    weights,
)
from .case import Bench, Case


def _already_there(_: Bench) -> None:
    """The stock is built before every other case."""


# A session that does not resize the base by the tokenizer beside the adapter cannot load it.
_OF_LABELS = ("lora-labels", "lora-reward", "lora-tags")  # load where the session states num_labels
_WARNED = {
    **dict.fromkeys(("lora-resized", "lora-rows-added", "lora-rows-added-tied"), ("adapter-shape-mismatch",)),
    # Nor one that is not told the number of labels.
    **dict.fromkeys(_OF_LABELS, ("adapter-shape-mismatch",)),
    "lora-tied-together": ("adapter-tied-embeddings",),
}
STOCK = tuple(
    Case(
        name=f"stock/{name}",
        outcome="warning" if name in _WARNED else "healthy",
        codes=_WARNED.get(name, ()),
        build=_already_there,
        shows="RuntimeError: Error(s) in loading state_dict" if name in _OF_LABELS else "loads",
    )
    for name in (*stock.RECIPES, *trained.TRAININGS)
)
_TABLES = (
    variants.TABLE,
    foreign.TABLE,
    paths.TABLE,
    configs.TABLE,
    weights.TABLE,
    shards.TABLE,
    pickles.TABLE,
    sizes.TABLE,
    special.TABLE,
    tokenizers.TABLE,
    adapters.TABLE,
    bases.TABLE,
    cache.TABLE,
    deep.INTEGRITY,
    deep.TABLE,
    *field.tables(),
)
# Device nodes and files of other users can be made by root only; everywhere else these cases do not exist.
CASES = (*STOCK, *(case for table in _TABLES for case in table.cases if os.geteuid() == 0 or not case.root_only))
