"""Reads a `tokenizer.json` of the tokenizers library: whether it is valid, and its highest token id.

Format: https://github.com/huggingface/tokenizers (`tokenizers/src/tokenizer/serialization.rs`). A model, its
adapter and the merged model usually share one of some megabytes: each content is parsed once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Any

from sage_doctor.readers.json_object import MOST_BYTES, JsonFile, parse_json_object, read_json_object
from sage_doctor.system.atomic_write import replace_file
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, inspect_path, read_start
from sage_doctor.system.trust import is_trusted

# The models that the library has (tokenizers/src/models); older files do not say which one theirs is.
_MODEL_TYPES = frozenset({"BPE", "WordPiece", "WordLevel", "Unigram"})
_MOST_CACHED = 200
_MOST_SPECIAL = 1000
_WORTH_CACHING = 1 << 18  # bytes; smaller ones are parsed faster than looked up
_VERSION = 3


@frozen
class TokenizerJson:
    """What a tokenizer.json says. Where `problem` is set, it cannot be read, and `line` says where (0: nowhere).

    `highest_id` is the greatest token id, `highest_token` its text; `highest_plain` is that of what any text may
    become, special tokens left out, and `special` has those beyond it, by their text. `merges_as_pairs` tells
    the form that tokenizers before 0.20 cannot read.
    """

    problem: str = ""
    line: int = 0
    lfs_pointer: bool = False
    highest_id: int | None = None
    highest_token: str | None = None
    highest_plain: int | None = None
    special: Mapping[str, int] = field(default_factory=dict)
    merges_as_pairs: bool = False


_known: dict[str, TokenizerJson] = {}


def read_tokenizer_json(path: Path, *, cache: Path | None = None) -> TokenizerJson:
    """Return what the tokenizer.json at `path` says. Never raises for what it holds.

    `cache` is a file that caches contents between runs by their sha256, so that it is never out of date; None caches
    within this process only. A cache that cannot be read or written is not used.
    """
    node = inspect_path(path)
    if node.kind != "file" or node.size > MOST_BYTES:
        file = read_json_object(path)  # says why not
        return TokenizerJson(problem=file.problem or node.detail or "not there")
    try:
        raw = read_start(path, node.size)
    except UnreadableFile as error:
        return TokenizerJson(problem=str(error))
    digest = hashlib.sha256(raw).hexdigest()
    if digest not in _known:
        worth = cache if node.size >= _WORTH_CACHING else None
        earlier = _read_cache(worth) if worth is not None else {}
        found = earlier.get(digest)
        _known[digest] = found if found is not None else _parsed(parse_json_object(str(path), raw))
        if worth is not None and found is None:
            _write_cache(worth, {**earlier, digest: _known[digest]})
    return _known[digest]


def _read_cache(cache: Path) -> dict[str, TokenizerJson]:
    """Return what earlier runs cached. Entries of another format are dropped."""
    value = (read_json_object(cache, most=1 << 20).value if is_trusted(cache) else None) or {}
    entries = value.get("tokenizers")
    if value.get("version") != _VERSION or not isinstance(entries, dict):
        return {}
    try:
        return {str(k): TokenizerJson(**v) for k, v in entries.items()}
    except TypeError:
        return {}


def _write_cache(cache: Path, entries: Mapping[str, TokenizerJson]) -> None:
    latest = dict(list(entries.items())[-_MOST_CACHED:])
    text = json.dumps({"version": _VERSION, "tokenizers": {k: asdict(v) for k, v in latest.items()}})
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if is_trusted(cache):
            replace_file(cache, text.encode("ascii"), mode=0o600, durable=False)


def _parsed(file: JsonFile) -> TokenizerJson:
    if file.value is None:
        return TokenizerJson(problem=file.problem, line=file.line, lfs_pointer=file.lfs_pointer)
    model = file.value.get("model")
    if not isinstance(model, Mapping):
        return TokenizerJson(problem="it describes no tokenizer model")
    kind = model.get("type")
    if kind is not None and kind not in _MODEL_TYPES:
        return TokenizerJson(problem=f"its model is of the type {kind!r}, which tokenizers do not know")
    merges = model.get("merges")
    wrong = _wrong_merge(model, merges) if kind in (None, "BPE") and isinstance(merges, list) else ""
    if wrong:
        return TokenizerJson(problem=wrong)
    facts = TokenizerJson(merges_as_pairs=isinstance(merges, list) and bool(merges) and isinstance(merges[0], list))
    highest = max([*_in_vocabulary(model.get("vocab")), *_in_added(file.value.get("added_tokens"))], default=None)
    if highest is None:
        return facts
    special = _special(file.value)
    vocab = model.get("vocab")
    plain = [
        *_in_vocabulary({t: i for t, i in vocab.items() if t not in special} if isinstance(vocab, Mapping) else vocab),
        *((i, t) for i, t in _in_added(file.value.get("added_tokens")) if t not in special),
    ]
    top = max(plain)[0] if plain else None
    beyond = {t: i for t, i in special.items() if top is None or i > top}
    if len(beyond) > _MOST_SPECIAL:
        top, beyond = highest[0], {}
    return replace(facts, highest_id=highest[0], highest_token=highest[1], highest_plain=top, special=beyond)


def _wrong_merge(model: Mapping[str, Any], merges: list[Any]) -> str:
    """Return what is wrong with the first merge that the library refuses; empty where it takes all.

    tokenizers/src/models/bpe/serialization.rs: all pairs or all texts, a text has exactly one space, and both parts and
    what they make are tokens (what a prefix takes away is left to the library).
    """
    vocab = model.get("vocab")
    known = vocab if isinstance(vocab, Mapping) and not model.get("continuing_subword_prefix") else None
    paired = bool(merges) and isinstance(merges[0], list)
    for number, merge in enumerate(merges, start=1):
        if not paired and isinstance(merge, str):
            if merge.startswith("#version"):
                continue
            parts = merge.split(" ")
        else:
            parts = merge if paired and isinstance(merge, list) and all(isinstance(p, str) for p in merge) else []
        if len(parts) != 2:
            form = "a pair of tokens" if paired else "two tokens with one space between them"
            return f"merge {number} of {len(merges)} is {str(merge)[:60]!r}, not {form}: tokenizers refuse the file"
        if known is not None and not (parts[0] in known and parts[1] in known and parts[0] + parts[1] in known):
            lacking = next(t for t in (*parts, "".join(parts)) if t not in known)
            return f"merge {number} of {len(merges)} needs the token {lacking[:60]!r}, which is not in the vocabulary"
    return ""


def _special(values: Mapping[str, Any]) -> dict[str, int]:
    """Return the added tokens that are special, without those that the tokenizer itself puts around every text."""
    tokens = values.get("added_tokens")
    entries = [t for t in tokens if isinstance(t, Mapping)] if isinstance(tokens, list) else []
    around = json.dumps(values.get("post_processor"))
    return {
        text: t["id"]
        for t in entries
        if t.get("special") is True and type(t.get("id")) is int and isinstance(text := t.get("content"), str)
        if json.dumps(text) not in around
    }


def _in_vocabulary(vocab: Any) -> list[tuple[int, str]]:
    """Return the greatest id in a vocabulary. Unigram models keep a list, the others a map."""
    if isinstance(vocab, Mapping):
        ids = [i for i in vocab.values() if type(i) is int]
        if not ids:
            return []
        highest = max(ids)
        return [(highest, next(str(token) for token, i in vocab.items() if i == highest))]
    if isinstance(vocab, list) and vocab:
        last = vocab[-1]
        return [(len(vocab) - 1, str(last[0]) if isinstance(last, list) and last else "")]
    return []


def _in_added(tokens: Any) -> list[tuple[int, str]]:
    entries = [t for t in tokens if isinstance(t, Mapping)] if isinstance(tokens, list) else []
    return [(t["id"], str(t.get("content", ""))) for t in entries if type(t.get("id")) is int]
