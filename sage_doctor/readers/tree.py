"""One directory's entries, and the model directories below one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sage_doctor.readers.json_object import read_json_object
from sage_doctor.system.path_info import PathInfo, UnreadableFile, inspect_path, read_start
from sage_doctor.system.walk import Walk

WEIGHTS = re.compile(
    r"^(?:adapter_model\.(?:safetensors|bin)|(?:model|pytorch_model|consolidated)[\w.-]*\.(?:safetensors|bin)"
    r"|[\w.-]+-\d{5}-of-\d{5}[\w.-]*\.(?:safetensors|bin)|[\w.-]+\.(?:safetensors|bin)\.index\.json)$",
    re.ASCII,
)
TOKENIZER_FILES = frozenset(
    {
        "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "spiece.model", "sentencepiece.bpe.model",
        "spm.model", "vocab.json", "vocab.txt", "merges.txt", "tekken.json", "special_tokens_map.json",
    }
)  # fmt: skip
_NO_DISKS = frozenset({"/dev", "/proc", "/sys"})  # of a walk from the root
# A directory that is hidden is a program's own: a download's, a repository's, `.no_exist` of the Hugging Face cache.
_PASSED_OVER = re.compile(r"\..*|__pycache__|node_modules|(?:site|dist)-packages|blobs", re.DOTALL)
# What a load can begin with: without one of these a directory below a model is a part of it (original, onnx).
_LOADABLE = re.compile(
    r"adapter_config\.json|adapter_model\.(?:safetensors|bin)|(?:model|pytorch_model)(?:-\d{5}-of-\d{5})?"
    r"\.(?:safetensors|bin)|(?:model\.safetensors|pytorch_model\.bin)\.index\.json",
    re.ASCII,
)
# Modules of sentence-transformers that hold no model of transformers themselves.
WITHOUT_TRANSFORMER = frozenset({"StaticEmbedding", "SparseStaticEmbedding", "Router", "Asym", "WordEmbeddings", "BoW"})
_TOKENIZER_FOLDER = re.compile(r"(?:(?:nemo_)?tokenizer|processor|feature_extractor)(?:_\d{1,2})?", re.ASCII)


@dataclass(frozen=True)
class Tree:
    """The names in one directory; `problem` says why they cannot be listed."""

    path: Path
    names: frozenset[str]
    problem: str = ""

    def has(self, name: str) -> bool:
        """Return whether an entry of that name is there, whatever it is (a dangling link counts)."""
        return name in self.names

    def info(self, name: str) -> PathInfo:
        """Return what lies under `name`."""
        return inspect_path(self.path / name)

    def is_file(self, name: str) -> bool:
        """Return whether `name` is a regular file, links followed: what a loader's `isfile` says."""
        return name in self.names and self.info(name).kind == "file"

    def matching(self, pattern: str) -> list[str]:
        """Return the names that fully match a regular expression, sorted."""
        compiled = re.compile(pattern)
        return sorted(n for n in self.names if compiled.fullmatch(n))


def read_tree(path: Path) -> Tree:
    """Return the entries of the directory at `path`. Never raises for what a disk may hold."""
    try:
        return Tree(path=path, names=frozenset(os.listdir(path)))
    except OSError as error:
        return Tree(path=path, names=frozenset(), problem=os.strerror(error.errno or 0).lower())


def is_model_directory(tree: Tree) -> bool:
    """Return whether a directory holds, or was meant to hold, a model, an adapter or a tokenizer.

    A `config.json` alone does not: other libraries (diffusers, sentence-transformers, node) write one as well, so
    it must name a model type or an architecture, or show a trace of one where it is broken.
    """
    names = tree.names
    if names_modules(tree):
        return True
    if "gliner_config.json" in names and "config.json" not in names:
        return False  # GLiNER's own weights and tokenizer, under transformers' names
    if "adapter_config.json" in names or names & TOKENIZER_FILES - {"vocab.txt", "merges.txt", "vocab.json"}:
        return True
    weights = any(WEIGHTS.match(n) for n in names)
    if "config.json" not in names:
        return weights
    config = read_json_object(tree.path / "config.json", most=1 << 24)
    if config.value is None:
        return weights or config.lfs_pointer or _speaks_of_a_model(tree)
    if "_class_name" in config.value or "_diffusers_version" in config.value:
        return False
    if "model_type" in config.value or "architectures" in config.value:
        return True
    # A part of a sentence-transformers model (2_Dense) has weights and a config of its own.
    return weights and inspect_path(tree.path.parent / "modules.json").kind == "missing"


def names_modules(tree: Tree) -> bool:
    """Return whether a directory is a sentence-transformers model that has no model of transformers at its top.

    All of its modules lie in directories below it, or the one at the top is a table of vectors or a router.
    """
    modules = read_modules(tree)
    top = [kind for path, kind in modules if path in ("", ".")]
    if not top:
        return "config.json" not in tree.names and bool(modules)
    return bool(WITHOUT_TRANSFORMER.intersection(top))


def read_modules(tree: Tree) -> list[tuple[str, str]]:
    """Return the directory and the class, without its package, of each module that modules.json names."""
    if "modules.json" not in tree.names:
        return []
    try:
        modules = json.loads(read_start(tree.path / "modules.json", 1 << 20))
    except (UnreadableFile, ValueError, RecursionError):
        return []
    entries = [m for m in modules if isinstance(m, dict)] if isinstance(modules, list) else []
    return [(p, str(m.get("type")).rpartition(".")[2]) for m in entries if isinstance(p := m.get("path"), str)]


def _speaks_of_a_model(tree: Tree) -> bool:
    """Return whether a `config.json` that is no JSON was one of a model: cut off, filled with zeros, or not fetched."""
    if tree.info("config.json").kind == "dangling":
        return True
    try:
        raw = read_start(tree.path / "config.json", 1 << 20).replace(b"\0", b"")
    except UnreadableFile:
        return False
    return not raw.strip() or b"model_type" in raw or b"architectures" in raw


def find_model_directories(root: Path, *, most_directories: int = 200_000) -> Iterator[Path]:
    """Yield the model directories at and below `root`, parents first, in sorted order.

    Directories behind links are not descended into (loops, other people's disks); a link that is itself a model
    directory counts, unless its target is found under `root` as well.
    """
    walk = Walk(roots=[root], most_directories=most_directories)
    linked: list[Path] = []
    found: dict[Path, _Above] = {}
    for listing in walk.listings():
        path, tree = Path(listing.path), Tree(path=Path(listing.path), names=listing.names)
        below = [e for e in listing.below if e.path not in _NO_DISKS and not _PASSED_OVER.fullmatch(e.name)]
        listing.below = [e for e in below if not _of_another_kind(e.name)]
        if "model_index.json" in tree.names:  # a diffusers pipeline: not loaded through transformers
            listing.below.clear()
            continue
        if is_model_directory(tree) and not _is_part_of(path, tree, found):
            found[path] = _Above(weights=_has_weights(tree), modules=bool(read_modules(tree)))
            yield path
        links = (e for e in listing.files if not _PASSED_OVER.fullmatch(e.name))
        linked += [Path(e.path) for e in links if _leads_to_a_directory(e)]
    seen = walk.seen
    for path in sorted(linked):
        node = inspect_path(path)
        if node.kind == "directory" and (node.device, node.inode) not in seen and is_model_directory(read_tree(path)):
            seen.add((node.device, node.inode))
            yield path


def _of_another_kind(name: str) -> bool:
    """Return whether a directory is a data set's or a space's in the Hugging Face cache: they have configs as well."""
    return name.startswith(("datasets--", "spaces--"))


class _Above(NamedTuple):
    """What is known of a model directory when those below it are listed."""

    weights: bool
    modules: bool


def _is_part_of(path: Path, tree: Tree, found: Mapping[Path, _Above]) -> bool:
    """Return whether a directory belongs to a model above it: shards kept apart, a module, what another program reads.

    A directory of its own right has weights that a load begins with; a module has no transformers configuration.
    """
    if not any(n.endswith(".json") for n in tree.names):
        return path.parent in found
    if "config.json" not in tree.names and not _has_weights(tree) and _TOKENIZER_FOLDER.fullmatch(path.name):
        return True
    above = [found[p] for p in path.parents if p in found]
    if any(a.modules for a in above) and not _names_an_architecture(tree):
        return True
    return not _has_weights(tree) and any(a.weights for a in above)


def _names_an_architecture(tree: Tree) -> bool:
    config = read_json_object(tree.path / "config.json", most=1 << 24).value or {}
    return "model_type" in config or "architectures" in config


def _has_weights(tree: Tree) -> bool:
    return any(_LOADABLE.fullmatch(n) for n in tree.names)


def _leads_to_a_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link loop
        return False
