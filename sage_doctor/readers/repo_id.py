"""Reads a text as the name of a repository on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

_REPO_ID = re.compile(r"(\b[\w\-.]{1,96}\b/)?\b[\w\-.]{1,96}\b", re.ASCII)  # huggingface_hub/utils/_validators.py


def is_repo_id(text: str) -> bool:
    """Return whether `text` can name a repository: the rules of huggingface_hub's `validate_repo_id`."""
    return _REPO_ID.fullmatch(text) is not None and "--" not in text and ".." not in text and not text.endswith(".git")


def is_snapshot(path: Path) -> bool:
    """Return whether a directory is a snapshot in a Hugging Face cache, by its place: models--…/snapshots/COMMIT."""
    return path.parent.name == "snapshots" and path.parent.parent.name.startswith("models--")
