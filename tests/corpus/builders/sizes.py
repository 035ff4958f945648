"""A config.json and weights that are each in order, and not each other's."""

from __future__ import annotations

from pathlib import Path

from .case import Bench, Table, edit_json, read_json

TABLE = Table("sizes")


def _config(bench: Bench, stock: str = "llama") -> Path:
    return bench.copy(stock) / "config.json"


@TABLE.error("weights-shape-mismatch", shows="RuntimeError: You set `ignore_mismatched_sizes` to `False`")
def vocabulary_of_another_model(bench: Bench) -> None:
    """config.json of a model with more tokens."""
    edit_json(_config(bench), vocab_size=128)


@TABLE.error("weights-shape-mismatch", shows="RuntimeError: You set `ignore_mismatched_sizes` to `False`")
def width_of_another_model(bench: Bench) -> None:
    """config.json of a wider model."""
    edit_json(_config(bench), hidden_size=64, head_dim=16)


@TABLE.error("weights-shape-mismatch", shows="loads silently: the third layer is random")
def deeper_than_its_weights(bench: Bench) -> None:
    """config.json has a layer more than the file: nothing but a warning in the log."""
    edit_json(_config(bench), num_hidden_layers=3)


@TABLE.error("weights-shape-mismatch", shows="loads silently: the second layer is dropped")
def shallower_than_its_weights(bench: Bench) -> None:
    """config.json has a layer less than the file."""
    edit_json(_config(bench), num_hidden_layers=1)


@TABLE.error("weights-shape-mismatch", shows="RuntimeError: You set `ignore_mismatched_sizes` to `False`")
def nested_vocabulary(bench: Bench) -> None:
    """The sizes of a vision-language model lie in `text_config`."""
    path = _config(bench, "llava")
    text = read_json(path)["text_config"]
    edit_json(path, text_config={**text, "vocab_size": 128})
