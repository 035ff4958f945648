"""Tiny tokenizers for the stock: a word-level, a byte-level BPE, a unigram and a WordPiece one, each of 96 entries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIZE = 96
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
TEMPLATE = "{% for m in messages %}<s>{{ m['role'] }} {{ m['content'] }}</s>{% endfor %}"


def words() -> list[str]:
    """Return the vocabulary in id order: four special tokens, then `w4` to `w95`."""
    return [*SPECIAL, *(f"w{i}" for i in range(len(SPECIAL), SIZE))]


def save_word_level(folder: Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`, as the library does."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    table = {word: i for i, word in enumerate(words())}
    raw = Tokenizer(models.WordLevel(table, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    _save_fast(raw, folder, chat=True)


def save_unigram(folder: Path) -> None:
    """Write a unigram `tokenizer.json`, as T5 and the SentencePiece models have."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    raw = Tokenizer(models.Unigram([(word, -float(i)) for i, word in enumerate(words())], unk_id=3))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    _save_fast(raw, folder, chat=False)


def _save_fast(raw: Any, folder: Path, *, chat: bool) -> None:
    from transformers import PreTrainedTokenizerFast

    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, **names)
    if chat:
        fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)


def write_bpe_pair(folder: Path) -> None:
    """Write `vocab.json` and `merges.txt`, the form GPT-2 and RoBERTa were published in (no `tokenizer.json`)."""
    letters = [*"abcdefghijklmnopqrstuvwxyz", "Ġ"]
    pieces = [*SPECIAL, *letters, "th", "the", "in", "an"]
    _write_json(folder / "vocab.json", {piece: i for i, piece in enumerate(pieces)})
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e\ni n\na n\n", encoding="utf-8")
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer", "unk_token": "<unk>"})


def write_word_pieces(folder: Path) -> None:
    """Write `vocab.txt`, the form BERT was published in."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words()[5:]]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})


def write_byte_level(folder: Path) -> None:
    """Write what a ByT5 directory holds: a configuration and no vocabulary, since every byte is a token."""
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "ByT5Tokenizer", "extra_ids": 0})


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
