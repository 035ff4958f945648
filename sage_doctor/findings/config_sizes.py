"""The sizes that config.json states, against those of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sage_doctor.facts.config import layers_named, sizes_named
from sage_doctor.facts.embeddings import embedding_tensor, layer_count
from sage_doctor.text import printable

if TYPE_CHECKING:
    from sage_doctor.readers.safetensors_header import Tensor
    from sage_doctor.subjects.model import Model


def size_mismatches(model: Model, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield where these tensors do not fit config.json, and the tensor that shows it.

    Judges only what needs no knowledge of architectures.
    """
    config = model.config
    values = model.config_file.value or {}
    embedding = embedding_tensor(tensors)
    if embedding is not None and not config.quantized:
        rows, width = embedding.shape
        other_rows = sizes_named(values, part="vocab")
        if config.vocab_size and rows != config.vocab_size and rows not in other_rows:
            yield f"vocab_size {config.vocab_size}, but {printable(embedding.name)} has {rows} rows", embedding.name
        other_widths = sizes_named(values, part="embed") | sizes_named(values, part="dim")
        if config.hidden_size and width != config.hidden_size and width not in other_widths:
            yield f"hidden size {config.hidden_size}, but {printable(embedding.name)} is {width} wide", embedding.name
    layers = layer_count(tensors)
    if not config.layers or not layers or config.nested or layers in layers_named(values):
        return
    if layers < config.layers or layers > config.layers + config.extra_layers:
        yield f"{config.layers} layers, but the weights hold {layers}", f"layer {layers - 1}"
