"""The tokenizer of a directory: its files, whether they parse, and the highest token id."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from sage_doctor.facts.chat_template import ChatTemplate, read_chat_template
from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.signature import describe_content
from sage_doctor.readers.tokenizer_json import TokenizerJson, read_tokenizer_json
from sage_doctor.readers.tree import Tree
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, read_start

# Any of these sets is enough for a tokenizer to be built from.
_ENOUGH: tuple[tuple[str, ...], ...] = (
    ("tokenizer.json",), ("tokenizer.model",), ("spiece.model",), ("sentencepiece.bpe.model",), ("spm.model",),
    ("vocab.json", "merges.txt"), ("vocab.txt",), ("tekken.json",), ("vocab.json",), ("tiktoken.model",),
)  # fmt: skip
# Classes that need no vocabulary file: they read bytes or characters.
_WITHOUT_FILES = frozenset({"ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer"})
_MODELS = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")
_PLAIN = (*_MODELS, "merges.txt", "vocab.txt", "tiktoken.model")
_TIKTOKEN = re.compile(rb"[A-Za-z0-9+/]+=* \d+\r?\n")
# What a server answers in place of a file, where a program saved the answer.
_REFUSALS = frozenset(
    {b"Entry not found", b"Not Found", b"404: Not Found", b"Repository not found", b"Unauthorized", b"Access denied"}
)


@frozen
class TokenizerProblem:
    """A tokenizer file that cannot be used. `passed_over`: a load goes on without it, as if it were not there."""

    file: str
    line: int
    message: str
    lfs_pointer: bool = False
    passed_over: bool = False


@frozen
class TokenizerFacts:
    """The tokenizer of a directory. `source` is the file it is built from, None where there is none.

    `highest_id` is the greatest token id in tokenizer.json (None where another file holds the vocabulary),
    `highest_token` its text; `highest_used` leaves out special tokens that neither the chat template nor the
    tokenizer's own settings put into a prompt. `added_by_config` are tokens of tokenizer_config.json that
    tokenizer.json does not have: a load gives them the ids after its last. `merges_as_pairs` tells the schema that
    tokenizers before 0.20 cannot read. `vocabulary_alone`: only vocab.json is there, which not every class is content
    with. `tokenizer_class` is the one that tokenizer_config.json names, `config` that file, empty where it cannot be
    read.
    """

    source: str | None
    files: tuple[str, ...]
    problems: tuple[TokenizerProblem, ...] = ()
    highest_id: int | None = None
    highest_token: str | None = None
    highest_used: int | None = None
    added_by_config: tuple[str, ...] = ()
    merges_as_pairs: bool = False
    chat_template: ChatTemplate | None = None
    vocabulary_alone: bool = False
    tokenizer_class: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def read_tokenizer(tree: Tree, *, cache: Path | None = None) -> TokenizerFacts:
    """Return the facts of a directory's tokenizer. Never raises for what the files hold.

    `cache` is a file that caches the contents of large files between runs (see `read_tokenizer_json`).
    """
    files = tuple(sorted({n for names in _ENOUGH for n in names if tree.has(n)}))
    source = next((names[0] for names in _ENOUGH if all(tree.has(n) for n in names)), None)
    problems: list[TokenizerProblem] = []
    config = read_json_object(tree.path / "tokenizer_config.json")
    passed_over = tree.info("tokenizer_config.json").kind == "dangling"
    if config.problem and not passed_over:
        problems.append(_problem(config.problem, "tokenizer_config.json", config.line, lfs=config.lfs_pointer))
    values = config.value or {}
    problems += [_problem(fault, "tokenizer_config.json", 0) for fault in _faults(values)]
    kind = values.get("tokenizer_class")
    if source is None and isinstance(kind, str) and kind in _WITHOUT_FILES:
        source = "tokenizer_config.json"
    fast = TokenizerJson()
    if tree.has("tokenizer.json"):
        fast = read_tokenizer_json(tree.path / "tokenizer.json", cache=cache)
        if fast.problem:
            problems.append(_problem(fast.problem, "tokenizer.json", fast.line, lfs=fast.lfs_pointer))
    else:
        problems += [p for n in _PLAIN if tree.has(n) for p in _content_problem(tree, n)]
        if source == "vocab.json":
            problems += _json_problem(tree, "vocab.json")
    # Both are read where tokenizer_config.json does not list the added tokens itself.
    if source is not None and "added_tokens_decoder" not in values:
        for name in ("special_tokens_map.json", "added_tokens.json"):
            problems += _json_problem(tree, name)
    if passed_over:  # behind what ends a load
        problems.append(
            TokenizerProblem(file="tokenizer_config.json", line=0, message=config.problem, passed_over=True)
        )
    return TokenizerFacts(
        source=source,
        files=files,
        problems=tuple(problems),
        highest_id=fast.highest_id,
        highest_token=fast.highest_token,
        highest_used=_highest_used(tree, fast, values),
        added_by_config=_added_by_config(tree, fast, values),
        merges_as_pairs=fast.merges_as_pairs,
        chat_template=read_chat_template(tree, values),
        vocabulary_alone=source == "vocab.json" and not tree.has("merges.txt"),
        tokenizer_class=kind if isinstance(kind, str) else None,
        config=values,
    )


def _faults(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each setting with which a tokenizer is not made, or fails at the first text."""
    for name in (*_PUT_IN, "mask_token"):
        if values.get(name) is not None and not isinstance(values[name], (str, Mapping)):
            yield f"{name} is {values[name]!r:.60}, where a text is expected"
    for name in ("padding_side", "truncation_side"):
        if name in values and values[name] not in ("left", "right"):
            yield f"{name} is {values[name]!r:.60}, where left or right is expected"
    if isinstance(values.get("model_max_length"), str):
        yield f"model_max_length is {values['model_max_length']!r:.60}, where a number is expected"
    for name in ("additional_special_tokens", "extra_special_tokens"):
        if isinstance(values.get(name), str):
            yield f"{name} is {values[name]!r:.60}, where a list is expected"
    added = values.get("added_tokens_decoder", {})
    if not isinstance(added, Mapping) or not all(re.fullmatch(r"\d+", k) for k in added):
        yield "added_tokens_decoder is not an object of token ids"


# Special tokens that stand for what is no text, or for a gap: no prompt of a text model has them.
_NOT_TEXT = re.compile(r"mask|image|img|audio|video|vision|speech|sound", re.IGNORECASE)
# Settings whose token is put into prompts and batches.
_PUT_IN = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


def _added_by_config(tree: Tree, fast: TokenizerJson, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the special tokens of the settings that are not in tokenizer.json, looked up in its text."""
    entries = [values.get(key) for key in _PUT_IN]
    texts = [v.get("content") if isinstance(v, Mapping) else v for v in entries]
    asked = list(dict.fromkeys(t for t in texts if isinstance(t, str) and t and t not in fast.special))
    if fast.highest_id is None:
        return ()
    # The added tokens come first in the file, so that most are found in its first bytes.
    for most in (1 << 16, tree.info("tokenizer.json").size):
        try:
            raw = read_start(tree.path / "tokenizer.json", most) if asked else b""
        except UnreadableFile:
            return ()
        # JSON may spell what is not ASCII in two ways.
        asked = [t for t in asked if not any(json.dumps(t, ensure_ascii=a).encode() in raw for a in (True, False))]
    return tuple(asked)


def _highest_used(tree: Tree, fast: TokenizerJson, values: Mapping[str, Any]) -> int | None:
    if not fast.special:
        return fast.highest_id
    texts = [values.get("chat_template")]
    for name in ("special_tokens_map.json", "chat_template.json"):
        found = (read_json_object(tree.path / name, most=1 << 20).value or {}) if tree.has(name) else {}
        texts += [found.get(key) for key in (*_PUT_IN, "chat_template")]
    texts += [values.get(key) for key in _PUT_IN]
    if tree.is_file("chat_template.jinja"):
        with contextlib.suppress(UnreadableFile):
            texts.append(read_start(tree.path / "chat_template.jinja", 1 << 20).decode("utf-8", "replace"))
    spoken = json.dumps(texts, ensure_ascii=False)
    used = [
        i
        for token, i in fast.special.items()
        if json.dumps(token, ensure_ascii=False)[1:-1] in spoken or not _NOT_TEXT.search(token)
    ]
    return max([*used, *([fast.highest_plain] if fast.highest_plain is not None else [])], default=fast.highest_id)


def _problem(message: str, file: str, line: int, *, lfs: bool = False) -> TokenizerProblem:
    return TokenizerProblem(file=file, line=line, message=message, lfs_pointer=lfs)


def _json_problem(tree: Tree, name: str) -> list[TokenizerProblem]:
    if not tree.has(name):
        return []
    file = read_json_object(tree.path / name)
    return [_problem(file.problem, name, file.line, lfs=file.lfs_pointer)] if file.problem else []


def is_tiktoken(path: Path) -> bool:
    """Return whether a vocabulary is one of tiktoken, as Llama 3 keeps it under the name tokenizer.model."""
    try:
        return _TIKTOKEN.match(read_start(path, 512)) is not None
    except UnreadableFile:
        return False


def _content_problem(tree: Tree, name: str) -> list[TokenizerProblem]:
    """Return what is wrong with a vocabulary file, as far as its first bytes tell."""
    node = tree.info(name)
    if node.kind != "file":
        return [_problem(node.detail or f"a {node.kind}, not a file", name, 0)]
    if node.size == 0:
        return [_problem("empty", name, 0)]
    try:
        start = read_start(tree.path / name, 512)
    except UnreadableFile as error:
        return [_problem(str(error), name, 0)]
    what = describe_content(start, node.size)
    wrong = what in ("a Git LFS pointer", "an HTML page", "a file of zero bytes")
    if name in _MODELS and what in ("a text", "a JSON text", "an XML document"):
        wrong = _TIKTOKEN.match(start) is None  # Llama 3 keeps its tiktoken file under this name
    if start.strip() in _REFUSALS:
        wrong, what = True, what or "a text"
    said = f": {start.decode('ascii', 'replace').strip()[:60]!r}" if wrong and what == "a text" else ""
    return [_problem(f"{what}{said}", name, 0, lfs=what == "a Git LFS pointer")] if wrong else []
