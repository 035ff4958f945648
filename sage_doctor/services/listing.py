"""The list of models that a service returns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sage_doctor.services.endpoint import Endpoint, ServiceError, ServiceFailure, Timeouts
from sage_doctor.services.http_request import error_text, excerpt, http_request, raise_for_status
from sage_doctor.text import printable

PATHS = {"openai": "/v1/models", "ollama": "/api/tags"}
_MOST_MODELS = 20_000


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The model names that a service lists. `problem` says why there are none if the list itself fails."""

    models: tuple[str, ...]
    problem: str = ""

    def has(self, name: str) -> Literal["yes", "no", "unknown"]:
        """Return whether a model is there.

        Ollama leaves out the tag `latest`. `transformers serve` lists the Hugging Face cache and not the directory it
        was started with: whether it has a model that is named by its path shows only when it is asked.
        """
        if self.problem:
            return "unknown"
        if name in self.models or f"{name}:latest" in self.models:
            return "yes"
        by_path = name.startswith("/") and not any(m.startswith("/") for m in self.models)
        return "unknown" if by_path else "no"


def list_models(endpoint: Endpoint, timeouts: Timeouts) -> Listing | ServiceFailure:
    """Return what the service lists. Never raises for what a service does."""
    path = endpoint.path(PATHS[endpoint.api])
    try:
        return _listed(endpoint, path, timeouts)
    except ServiceError as found:
        return found.failure


def _listed(endpoint: Endpoint, path: str, timeouts: Timeouts) -> Listing:
    with http_request(endpoint, path, timeouts, all_s=timeouts.list_s, idle_s=timeouts.list_s) as reply:
        raise_for_status(reply, endpoint, path)
        if reply.status == 500:
            # `transformers serve` does that where there is no Hugging Face cache, and generates all the same.
            return Listing(models=(), problem=f"{path} answers HTTP 500: {error_text(reply, endpoint)}")
        if reply.status > 500 or reply.status == 429:
            shown_text = error_text(reply, endpoint)
            raise ServiceError("down", f"answers HTTP {reply.status} to {path}: {shown_text}", status=reply.status)
        if reply.status != 200:
            other = "ollama" if endpoint.api == "openai" else "openai"
            raise ServiceError(
                "foreign",
                f'answers HTTP {reply.status} to {path}: is it really api = "{endpoint.api}", not "{other}"?',
                status=reply.status,
            )
        text = reply.body()
        kind = reply.content_type
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        shown_text = excerpt(text, endpoint) or "nothing"
        shown_kind = printable(kind, limit=60) or "no content type"
        raise ServiceError(
            "foreign",
            f"answers {path} with something that is not JSON ({shown_kind}): {shown_text}",
            content_type=kind,
        ) from error
    key = "data" if endpoint.api == "openai" else "models"
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        shown_text = excerpt(text, endpoint)
        raise ServiceError("foreign", f"answers {path} without a list of models: {shown_text}")
    return Listing(models=tuple(_names(found[:_MOST_MODELS], "id" if endpoint.api == "openai" else "name")))


def _names(entries: Sequence[object], key: str) -> list[str]:
    names = [e.get(key) for e in entries if isinstance(e, dict)]
    return list(dict.fromkeys(n for n in names if isinstance(n, str)))
