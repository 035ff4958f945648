"""The tokenizer files of a directory: which are there, whether they parse, and the highest token id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.regular import UnreadableFile, read_start
from sage_doctor.readers.signature import describe_content
from sage_doctor.readers.tree import Tree

# Any of these sets is enough for a tokenizer to be built from.
_ENOUGH: tuple[tuple[str, ...], ...] = (
    ("tokenizer.json",), ("tokenizer.model",), ("spiece.model",), ("sentencepiece.bpe.model",), ("spm.model",),
    ("vocab.json", "merges.txt"), ("vocab.txt",), ("tekken.json",), ("vocab.json",), ("tiktoken.model",),
)  # fmt: skip
# Classes that need no vocabulary file: they read bytes or characters.
_WITHOUT_FILES = frozenset({"ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer"})
# The models that the tokenizers library has (tokenizers/models); older files do not say which one theirs is.
_MODEL_TYPES = frozenset({"BPE", "WordPiece", "WordLevel", "Unigram"})
_MODELS = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")


@dataclass(frozen=True, kw_only=True)
class TokenizerProblem:
    """A tokenizer file that cannot be used."""

    file: str
    line: int
    message: str
    lfs_pointer: bool = False


@dataclass(frozen=True, kw_only=True)
class TokenizerFacts:
    """The tokenizer of a directory. `source` is the file it is built from, None where there is none.

    `highest_id` is the greatest token id in tokenizer.json (None where another file holds the vocabulary),
    `highest_token` its text. `merges_as_pairs` tells the schema that tokenizers before 0.20 cannot read.
    """

    source: str | None
    files: tuple[str, ...]
    problems: tuple[TokenizerProblem, ...] = ()
    highest_id: int | None = None
    highest_token: str | None = None
    merges_as_pairs: bool = False
    chat_template: bool = False


def read_tokenizer(tree: Tree) -> TokenizerFacts:
    """Return the facts of a directory's tokenizer. Never raises for what the files hold."""
    files = tuple(sorted({n for names in _ENOUGH for n in names if tree.has(n)}))
    source = next((names[0] for names in _ENOUGH if all(tree.has(n) for n in names)), None)
    problems: list[TokenizerProblem] = []
    config = read_json_object(tree.path / "tokenizer_config.json")
    if config.problem:
        problems.append(_problem(config.problem, "tokenizer_config.json", config.line, lfs=config.lfs_pointer))
    values = config.value or {}
    kind = values.get("tokenizer_class")
    if source is None and kind in _WITHOUT_FILES:
        source = "tokenizer_config.json"
    if source == "vocab.json" and not tree.has("merges.txt") and not (isinstance(kind, str) and "CTC" in kind):
        problems.append(_problem("not there, and vocab.json alone does not tell how words are split", "merges.txt", 0))
    template = bool(values.get("chat_template")) or tree.has("chat_template.jinja") or tree.has("chat_template.json")
    fast: Mapping[str, Any] = {}
    if tree.has("tokenizer.json"):
        file = read_json_object(tree.path / "tokenizer.json")
        if file.problem:
            problems.append(_problem(file.problem, "tokenizer.json", file.line, lfs=file.lfs_pointer))
        elif file.missing:
            problems.append(_problem(tree.look("tokenizer.json").detail, "tokenizer.json", 0))
        else:
            problems += _schema_problem(file.value or {})
        fast = file.value or {}
    else:
        problems += [p for n in _MODELS if tree.has(n) for p in _model_problem(tree, n)]
    highest = _highest(fast)
    return TokenizerFacts(
        source=source,
        files=files,
        problems=tuple(problems),
        highest_id=highest[0] if highest else None,
        highest_token=highest[1] if highest else None,
        merges_as_pairs=_merges_as_pairs(fast),
        chat_template=template,
    )


def _problem(message: str, file: str, line: int, *, lfs: bool = False) -> TokenizerProblem:
    return TokenizerProblem(file=file, line=line, message=message, lfs_pointer=lfs)


def _schema_problem(fast: Mapping[str, Any]) -> list[TokenizerProblem]:
    """Return what in a parsed tokenizer.json no release of tokenizers understands."""
    model = fast.get("model")
    if not isinstance(model, Mapping):
        return [_problem("it describes no tokenizer model", "tokenizer.json", 0)]
    kind = model.get("type")
    if kind is not None and kind not in _MODEL_TYPES:
        return [_problem(f"its model is of the type {kind!r}, which tokenizers do not know", "tokenizer.json", 0)]
    return []


def _model_problem(tree: Tree, name: str) -> list[TokenizerProblem]:
    """Return what is wrong with a SentencePiece file, as far as its first bytes tell."""
    node = tree.look(name)
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
    return [_problem(what, name, 0, lfs=what == "a Git LFS pointer")] if wrong else []


def _highest(fast: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return the greatest token id and its token. Unigram models keep a list, the others a map."""
    model = fast.get("model")
    found: list[tuple[int, str]] = []
    vocab = model.get("vocab") if isinstance(model, Mapping) else None
    if isinstance(vocab, Mapping):
        ids = [i for i in vocab.values() if type(i) is int]
        if ids:
            highest = max(ids)
            found.append((highest, next(str(t) for t, i in vocab.items() if i == highest)))
    elif isinstance(vocab, list) and vocab:
        last = vocab[-1]
        found.append((len(vocab) - 1, str(last[0]) if isinstance(last, list) and last else ""))
    added = fast.get("added_tokens")
    entries = [e for e in added if isinstance(e, Mapping)] if isinstance(added, list) else []
    found += [(e["id"], str(e.get("content", ""))) for e in entries if type(e.get("id")) is int]
    return max(found, default=None)


def _merges_as_pairs(fast: Mapping[str, Any]) -> bool:
    model = fast.get("model")
    merges = model.get("merges") if isinstance(model, Mapping) else None
    return isinstance(merges, list) and bool(merges) and isinstance(merges[0], list)
