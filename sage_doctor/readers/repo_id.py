"""Reads a text as the name of a repository on the Hugging Face hub."""

from __future__ import annotations

import re

_REPO_ID = re.compile(r"(\b[\w\-.]{1,96}\b/)?\b[\w\-.]{1,96}\b", re.ASCII)  # huggingface_hub/utils/_validators.py


def is_repo_id(text: str) -> bool:
    """Return whether `text` can name a repository: the rules of huggingface_hub's `validate_repo_id`."""
    return _REPO_ID.fullmatch(text) is not None and "--" not in text and ".." not in text and not text.endswith(".git")
