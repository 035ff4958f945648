"""Texts of the manifest as locations: absolute paths, URLs, and references into the local Hugging Face cache."""

from __future__ import annotations

import re
from pathlib import Path

from sage_doctor.manifest.specs import ModelPath

# The hub's own rule for names (huggingface_hub, validate_repo_id), ASCII only because they become directory names.
_REPOSITORY = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}\Z")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*\Z")


class InvalidLocation(ValueError):
    """A text that is neither a usable path nor a well-formed `hf:` reference; the message says why."""


def absolute(directory: Path, text: str) -> Path:
    """Return the path `text` names, seen from `directory`.

    `..` stays in it and links are not resolved: after a link, `..` means the parent of the link's target, and a
    virtual environment's `python` must be started by its own name. Raises `InvalidLocation`.
    """
    if "\0" in text:
        raise InvalidLocation("contains a NUL character")
    return directory / text


def glob(_directory: Path, text: str) -> str:
    """Return a glob as it is. Raises `InvalidLocation`."""
    if "\0" in text:
        raise InvalidLocation("contains a NUL character")
    return text


def model_path(directory: Path, text: str) -> ModelPath:
    """Return the location of a model that the manifest in `directory` calls `text`. Raises `InvalidLocation`."""
    if not text.startswith("hf:"):
        return ModelPath(text=text, path=absolute(directory, text))
    name, at, revision = text[3:].partition("@")
    if not _REPOSITORY.match(name) or "--" in name or ".." in name or name.endswith((".git", ".", "-")):
        raise InvalidLocation("is not a reference of the form hf:org/name or hf:org/name@revision")
    if at and not _REVISION.match(revision):
        raise InvalidLocation("has no usable revision after '@': it must be a branch, tag or commit")
    if at and (".." in revision or revision.endswith(".lock")):
        raise InvalidLocation("has a revision that git does not allow")
    return ModelPath(text=text, hub=name, revision=revision if at else None)


# What people copy from examples in the place of the service's address.
_REQUESTS = ("/chat/completions", "/v1/completions", "/v1/models", "/api/generate", "/api/chat", "/api/tags")


def service_url(text: str) -> str:
    """Return the URL of a service without a final slash. Raises `InvalidLocation`, whose message has no password."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - a manifest without services needs none of it

    if not text.startswith(("http://", "https://")):
        raise InvalidLocation("is not the address of a service: it must start with http:// or https://")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidLocation("contains a space or a character that is not allowed in a URL")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidLocation(f"is not a URL: {error}") from error
    if not parts.hostname:
        raise InvalidLocation("has no host")
    if port == 0:
        raise InvalidLocation("has port 0")
    if "?" in text or "#" in text:
        raise InvalidLocation("has a query or a fragment; only host, port and path are used")
    root = text.rstrip("/")
    if root.endswith(_REQUESTS):
        raise InvalidLocation("is the address of one request; write it as far as /v1, or without its path")
    return root


def holds_credentials(url: str) -> bool:
    """Return whether a URL carries a user or a password, which then must not be shown."""
    return "@" in url.partition("://")[2].partition("/")[0]


def interpreter(directory: Path, text: str) -> Path:
    """Return the path of a Python interpreter. Raises `InvalidLocation` for a bare command name.

    What `python3` is depends on PATH, which differs between a shell, cron and systemd.
    """
    if "/" not in text:
        raise InvalidLocation("is a command name, not a path: PATH differs under cron; write what `command -v` says")
    return absolute(directory, text)
