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


def repository_in(text: str) -> tuple[str, str] | None:
    """Return the repository and the commit of a path into some Hugging Face cache, this machine's or another's."""
    found = re.search(r"(?:^|[/\\])models--([\w.-]+?)--([\w.-]+)[/\\]snapshots[/\\]([0-9a-f]{7,64})(?:[/\\]|$)", text)
    repo_id = f"{found[1]}/{found[2]}" if found is not None else ""
    return (repo_id, found[3]) if found is not None and is_repo_id(repo_id) else None
