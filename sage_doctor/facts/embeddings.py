"""The token embedding of a checkpoint, and its number of layers, from tensor names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sage_doctor.facts.config import ConfigFacts, sizes_named
from sage_doctor.readers.safetensors_header import Tensor
from sage_doctor.text import printable

# The names under which the libraries' architectures store the token embedding, most common first.
EMBEDDING_NAMES = (
    "embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight", "tok_embeddings.weight",
    "shared.weight", "token_embedding.weight", "embeddings.weight", "embedding.weight",
)  # fmt: skip
OUTPUT_NAMES = frozenset({"lm_head", "embed_out"})  # those of output layers over the vocabulary
_NOT_TEXT = re.compile(r"(?:vision|visual|image|audio|position|token_type|patch|per_layer|speech|decoder_pos)")
_LAYER = re.compile(r"^(?:(?:model|transformer|backbone|gpt_neox|base_model|language_model|text_model)\.)*"
                    r"(?:decoder\.)?(?:layers|h|blocks)\.(\d{1,9})\.")  # fmt: skip


def embedding_tensor(tensors: Mapping[str, Tensor]) -> Tensor | None:
    """Return the token embedding's header entry (rows × width), or None where no name is known for it."""
    for ending in EMBEDDING_NAMES:
        found = [
            t
            for name, t in tensors.items()
            if (name == ending or name.endswith("." + ending)) and len(t.shape) == 2 and not _NOT_TEXT.search(name)
        ]
        if found:
            return min(found, key=lambda t: (len(t.name), t.name))
    return None


def embedding_mismatches(
    config: ConfigFacts, values: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Iterator[tuple[str, str]]:
    """Yield where the token embedding does not have the sizes of config.json (`values`), and its name."""
    embedding = embedding_tensor(tensors)
    if embedding is None or config.quantized:
        return
    rows, width = embedding.shape
    if config.vocab_size and rows != config.vocab_size and rows not in sizes_named(values, part="vocab"):
        yield f"vocab_size {config.vocab_size}, but {printable(embedding.name)} has {rows} rows", embedding.name
    other_widths = sizes_named(values, part="embed") | sizes_named(values, part="dim")
    if config.hidden_size and width != config.hidden_size and width not in other_widths:
        yield f"hidden size {config.hidden_size}, but {printable(embedding.name)} is {width} wide", embedding.name


def vocabulary_layers(tensors: Mapping[str, Tensor]) -> frozenset[str]:
    """Return the last parts of the names of the token embedding and of output layers."""
    embedding = embedding_tensor(tensors)
    own = [embedding.name.removesuffix(".weight").rpartition(".")[2]] if embedding is not None else []
    return OUTPUT_NAMES | frozenset(own)


def layer_count(names: Iterable[str]) -> int | None:
    """Return one more than the highest layer number in the names of a decoder, or None where there is none."""
    numbers = [int(m[1]) for n in names if (m := _LAYER.match(n))]
    return max(numbers) + 1 if numbers else None
