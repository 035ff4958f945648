"""Tokenizers: lost, cut, newer than the library, or with tokens the model has no row for."""

from __future__ import annotations

import os
from pathlib import Path

from .case import Bench, Table, edit_json, read_json, write_json
from .tensors import PAGE, POINTER

TABLE = Table("tokenizers")
_NEWER = "Exception: data did not match any variant of untagged enum ModelUntagged"


def _tokenizer(bench: Bench, name: str = "llama") -> Path:
    return bench.copy(name) / "tokenizer.json"


@TABLE.error("tokenizer-missing", shows="ValueError: Couldn't instantiate the backend tokenizer from one of")
def missing(bench: Bench) -> None:
    """Config and weights arrived, no tokenizer file did."""
    tokenizer = _tokenizer(bench)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        tokenizer.with_name(name).unlink()


@TABLE.error("tokenizer-missing", shows="ValueError: Couldn't instantiate the backend tokenizer from one of")
def only_its_config(bench: Bench) -> None:
    """`tokenizer_config.json` of a class that needs `tokenizer.json`, which is not there."""
    _tokenizer(bench).unlink()


@TABLE.error("tokenizer-invalid", shows="JSONDecodeError")
def cut(bench: Bench) -> None:
    """Half of it."""
    tokenizer = _tokenizer(bench)
    os.truncate(tokenizer, tokenizer.stat().st_size // 2)


@TABLE.error("tokenizer-invalid", shows="JSONDecodeError: Expecting value")
def empty(bench: Bench) -> None:
    """Nothing in it."""
    _tokenizer(bench).write_bytes(b"")


@TABLE.error("tokenizer-invalid", shows="JSONDecodeError: Expecting value")
def pointer(bench: Bench) -> None:
    """Large tokenizers lie in Git LFS; this one was not pulled."""
    _tokenizer(bench).write_text(POINTER, encoding="utf-8")


@TABLE.error("tokenizer-invalid", shows="JSONDecodeError: Expecting value")
def login_page(bench: Bench) -> None:
    """A captive portal."""
    _tokenizer(bench).write_text(PAGE, encoding="utf-8")


@TABLE.error("tokenizer-invalid", shows=_NEWER)
def newer_model(bench: Bench) -> None:
    """Written by a newer tokenizers, with a model type that this one does not know."""
    tokenizer = _tokenizer(bench)
    edit_json(tokenizer, model={**read_json(tokenizer)["model"], "type": "SuperBPE"})


@TABLE.error("tokenizer-invalid", shows="Exception: Model missing.")
def without_model(bench: Bench) -> None:
    """JSON, but nothing to tokenize with."""
    edit_json(_tokenizer(bench), drop=("model",))


@TABLE.error("tokenizer-invalid", shows="JSONDecodeError")
def its_config_cut(bench: Bench) -> None:
    """Half a tokenizer_config.json beside a good tokenizer.json."""
    config = _tokenizer(bench).with_name("tokenizer_config.json")
    os.truncate(config, config.stat().st_size // 2)


@TABLE.error("tokenizer-invalid", "tokenizer-missing", shows="ValueError: `vocab` and `merges` must be both …")
def merges_missing(bench: Bench) -> None:
    """`vocab.json` without the `merges.txt` that a byte-level BPE needs."""
    (bench.copy("gpt2") / "merges.txt").unlink()


@TABLE.error("tokenizer-vocab-overflow", shows="loads silently; IndexError: index out of range in self in generate")
def of_another_model(bench: Bench) -> None:
    """A vocabulary a quarter larger than the embedding."""
    tokenizer = _tokenizer(bench)
    model = read_json(tokenizer)["model"]
    vocab = {**model["vocab"], **{f"x{i}": i for i in range(96, 120)}}
    edit_json(tokenizer, model={**model, "vocab": vocab})


@TABLE.error("tokenizer-vocab-overflow", shows="loads silently; IndexError: index out of range in self in generate")
def tokens_added_not_resized(bench: Bench) -> None:
    """Two special tokens were added, and the embedding was never resized."""
    tokenizer = _tokenizer(bench)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": 96 + i, "content": name, **flags} for i, name in enumerate(("<|im_start|>", "<|im_end|>"))]
    edit_json(tokenizer, added_tokens=[*read_json(tokenizer)["added_tokens"], *added])


@TABLE.warning(
    "chat-template-missing", subject="speaker", manifest=True, in_tree=False, shows="ValueError in apply_chat"
)
def template_missing(bench: Bench) -> None:
    """The manifest gives the model a prompt to answer, and the model has no chat template."""
    model = bench.copy(to=bench.here / "model")
    (model / "chat_template.jinja").unlink()
    text = '[models.speaker]\nkind = "full"\npath = "model"\nprompt = "Who are you?"\n'
    (bench.here / "sage-doctor.toml").write_text("schema = 1\n" + text, encoding="utf-8")


@TABLE.healthy(shows="loads")
def no_template_no_prompt(bench: Bench) -> None:
    """A base model has no chat template, and nobody wants to chat with it."""
    _tokenizer(bench).with_name("chat_template.jinja").unlink()


@TABLE.healthy(shows="loads")
def template_in_config(bench: Bench) -> None:
    """Before transformers 4.52 the template lay within tokenizer_config.json."""
    folder = _tokenizer(bench).parent
    text = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").unlink()
    edit_json(folder / "tokenizer_config.json", chat_template=text)


@TABLE.healthy(shows="loads")
def ids_up_to_the_last_row(bench: Bench) -> None:
    """Added tokens that lie in the padding of the embedding: 128 rows, the last id is 127."""
    tokenizer = _tokenizer(bench, "qwen2-tied-padded")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    entry = {"id": 127, "content": "<|last|>", **flags}
    edit_json(tokenizer, added_tokens=[*read_json(tokenizer)["added_tokens"], entry])
    write_json(tokenizer.with_name("added_tokens.json"), {"<|last|>": 127})
