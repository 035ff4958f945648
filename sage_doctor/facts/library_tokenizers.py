"""Which models take text, and what their tokenizers are made of, by the tables of the installed transformers.

Its sources are read, nothing is imported. They are asked only where a file is missing, so they may take a moment.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sage_doctor.facts.library_source import knows_model_type
from sage_doctor.readers.python_source import source_text
from sage_doctor.readers.tree import read_tree

# What a task is called whose models read or write text: MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and its like.
_OF_TEXT = frozenset(("LM", "TEXT", "SEQ", "SEQUENCE", "QUESTION", "TOKEN", "CHOICE", "SENTENCE", "SHOT", "RETRIEVAL"))
_SPEECH_TO_LETTERS = "CTC"


def takes_text(site_packages: Sequence[Path], model_type: str, architecture: str) -> bool | None:
    """Return whether a class of a model type needs a tokenizer; None where the library does not tell.

    The tasks that transformers lists a class for decide. A class of none, as `HubertModel`, is one of its type: the
    bare part of a speech recogniser takes sound alone.
    """
    tables = _tables(tuple(site_packages))
    if not tables or not knows_model_type(site_packages, model_type):
        return None
    own = tasks_of(site_packages, architecture)
    if own:
        return any(task == _SPEECH_TO_LETTERS or _of_text(task) for task in own)
    tasks = {task for task, text in tables.items() if f'"{model_type}"' in text}
    if _SPEECH_TO_LETTERS in tasks:
        return False
    if any(map(_of_text, tasks)) or _tokenizer_class(site_packages, model_type):
        return True
    return None if "text" in re.split(r"[_-]", model_type) else False


def tasks_of(site_packages: Sequence[Path], architecture: str) -> set[str]:
    """Return the tasks that transformers lists a class for, as `IMAGE_CLASSIFICATION`; none for a class it lacks."""
    tables = _tables(tuple(site_packages)).items()
    return {task for task, text in tables if architecture and f'"{architecture}"' in text}


def knows_tokenizer_class(site_packages: Sequence[Path], name: str) -> bool | None:
    """Return whether the installed transformers has a tokenizer class; None where that cannot be read."""
    named = re.compile(rf"\b{re.escape(name)}(?:Fast)?\b")
    for site_dir in site_packages:
        places = (_auto(site_dir, "tokenization_auto"), site_dir / "transformers/__init__.py")
        if not any(map(source_text, places)):
            continue
        if any(named.search(source_text(p)) for p in places):
            return True
        # Classes of old models are in no table. Hundreds of files, read for a name that is hardly ever there.
        models = site_dir / "transformers/models"
        folders = [models / n for n in sorted(read_tree(models).names)]
        folders += [models / "deprecated" / n for n in sorted(read_tree(models / "deprecated").names)]
        sources = (f / n for f in folders for n in sorted(read_tree(f).names) if n.startswith("tokenization_"))
        return any(named.search(source_text(p)) for p in sources)
    return None


def states_its_own(site_packages: Sequence[Path], config: Mapping[str, Any]) -> bool:
    """Return whether a part of config.json names a tokenizer class that transformers does not have.

    Another library keeps its settings there, as Chronos does in `chronos_config`: its tokenizer needs no files.
    """
    named = (part.get("tokenizer_class") for part in config.values() if isinstance(part, Mapping))
    return any(isinstance(n, str) and knows_tokenizer_class(site_packages, n) is False for n in named)


def class_of_like_name(site_packages: Sequence[Path], name: str) -> str | None:
    """Return the installed transformers' tokenizer class that differs from a name in upper and lower case only."""
    tables = (source_text(_auto(p, "tokenization_auto")) for p in site_packages)
    found = (re.search(rf'"({re.escape(name)})"', table, re.IGNORECASE) for table in tables)
    return next((m[1] for m in found if m is not None and m[1] != name), None)


def methods_named(site_packages: Sequence[Path], names: Iterable[str]) -> list[str]:
    """Return which of the names in a tokenizer's configuration are methods of its class: a load refuses those."""
    text = "".join(source_text(p / "transformers/tokenization_utils_base.py") for p in site_packages)
    text = re.split(r"^class (?:SpecialTokensMixin|PreTrainedTokenizerBase)\b", text, maxsplit=1, flags=re.MULTILINE)[
        -1
    ]
    if "conflicts with the method" not in text:
        return []
    found = [n for n in names if f"\n    def {n}(" in text]
    # A property stands behind its decorator.
    return sorted(n for n in found if f"@property\n    def {n}(" not in text)


def _of_text(task: str) -> bool:
    """Whether models of a task read or write tokens.

    Those of TEXT_RECOGNITION spell what a picture shows, by a list of characters of their own.
    """
    words = task.split("_")
    return bool(_OF_TEXT.intersection(words)) and "RECOGNITION" not in words


def needs_merges(site_packages: Sequence[Path], model_type: str, kind: str | None) -> bool | None:
    """Return whether the tokenizer that a directory names, or else its model's, reads merges.txt; None if unknown."""
    found = _source(site_packages, model_type, kind)
    return None if found is None else "merges" in found[1]


def vocabulary_files(site_packages: Sequence[Path], model_type: str, kind: str | None) -> frozenset[str] | None:
    """Return the files that the tokenizer a directory names, or else its model's, is made of.

    Empty for one that spells bytes or characters and has no vocabulary; None where that is not known.
    """
    name, text = _source(site_packages, model_type, kind) or ("", "")
    table = re.search(r"^VOCAB_FILES_NAMES = \{(.*?)\}", text, re.MULTILINE | re.DOTALL)
    if table:
        return frozenset(re.findall(r""":\s*["']([^"']+)["']""", table[1])) - {"tokenizer_config.json"}
    plain = re.search(rf"^class {re.escape(name)}\(PreTrainedTokenizer\)", text, re.MULTILINE) if name else None
    return frozenset() if plain and "vocab_files_names" not in text else None


def _source(site_packages: Sequence[Path], model_type: str, kind: str | None) -> tuple[str, str] | None:
    """Return the tokenizer that a directory names, or else its model's, and its module; None if that is not found."""
    plain = (kind or _tokenizer_class(site_packages, model_type) or "").removesuffix("Fast")
    named = re.compile(rf"^class {re.escape(plain)}(?:Fast)?\(", re.MULTILINE)
    for site_dir in site_packages if plain else ():
        table = source_text(_auto(site_dir, "tokenization_auto"))
        owners = re.findall(rf'\(\s*"([\w-]+)",\s*\(?\s*"{re.escape(plain)}"', table)
        for folder in (part.replace("-", "_") for part in dict.fromkeys((model_type, *owners))):
            if not re.fullmatch(r"\w+", folder):  # a configuration may name any path
                continue
            text = source_text(site_dir / f"transformers/models/{folder}/tokenization_{folder}.py")
            if named.search(text):
                return plain, text
    return None


@functools.cache
def _tables(site_packages: tuple[Path, ...]) -> dict[str, str]:
    """Return task → the text of its table of model types and classes, without the table of bare models."""
    for site_dir in site_packages:
        parts = re.split(
            r"^MODEL_FOR_(\w+)_MAPPING_NAMES\b", source_text(_auto(site_dir, "modeling_auto")), flags=re.MULTILINE
        )
        if len(parts) > 1:
            return {task: text.partition("\n)\n")[0] for task, text in zip(parts[1::2], parts[2::2], strict=True)}
    return {}


def _tokenizer_class(site_packages: Sequence[Path], model_type: str) -> str | None:
    for site_dir in site_packages:
        text = source_text(_auto(site_dir, "tokenization_auto")).partition("TOKENIZER_MAPPING_NAMES")[2]
        found = re.search(rf'\(\s*"{re.escape(model_type)}",\s*\(?\s*"(\w+)"', text)
        if found:
            return found[1]
    return None


def _auto(site_dir: Path, name: str) -> Path:
    return site_dir / f"transformers/models/auto/{name}.py"
