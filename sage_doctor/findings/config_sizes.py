"""The sizes that config.json states, against those of the weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sage_doctor.facts.config import layers_named
from sage_doctor.facts.embeddings import embedding_mismatches, layer_count
from sage_doctor.text import printable

if TYPE_CHECKING:
    from sage_doctor.readers.safetensors_header import Tensor
    from sage_doctor.subjects.model import Model


_MATRIX = 2
# A classifier of one thing each, and the last matrix of its head, which has a row for each label.
_CLASSIFIER = re.compile(r"\w+For(?:Sequence|Token|Image|Audio|Video)Classification")
_HEADS = ("classifier.weight", "score.weight", "classifier.out_proj.weight", "classification_head.out_proj.weight")


def size_mismatches(model: Model, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield where these tensors do not fit config.json, and the tensor that shows it.

    Judges only what needs no knowledge of architectures.
    """
    config = model.config
    values = model.config_file.value or {}
    yield from embedding_mismatches(config, values, tensors)
    yield from _labels(model, tensors)
    layers = layer_count(tensors)
    if not config.layers or not layers or config.nested or layers in layers_named(values):
        return
    # A list of convolutions (`decoder.layers` of mimi) is not what a config counts: no part of it has a matrix.
    if not any(layer_count([n]) == layers and len(t.shape) == _MATRIX for n, t in tensors.items()):
        return
    if layers < config.layers or layers > config.layers + config.extra_layers:
        yield f"{config.layers} layers, but the weights hold {layers}", f"layer {layers - 1}"


def _labels(model: Model, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield where the head of a classifier has another number of rows than config.json has labels."""
    values = model.config_file.value or {}
    named = values.get("id2label")
    head = next((tensors[name] for name in _HEADS if name in tensors), None)
    if head is None or not isinstance(named, Mapping) or len(head.shape) != 2 or model.config.quantized:
        return
    count = len(named)
    if values.get("num_labels", count) != count or head.shape[0] == count:
        return
    if any(_CLASSIFIER.fullmatch(name) for name in model.config.architectures[:1]):
        yield f"{count} labels (id2label), but {printable(head.name)} has {head.shape[0]} rows", head.name
