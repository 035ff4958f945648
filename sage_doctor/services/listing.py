"""The list of models that a service returns."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Literal

from sage_doctor.services.endpoint import LISTS, Endpoint, ServiceError, ServiceFailure, Timeouts
from sage_doctor.services.http_request import Reply, error_body, error_text, excerpt, http_request
from sage_doctor.services.model_names import (
    ListedModel,
    is_in_ollamas_cloud,
    is_ollamas,
    listed_model,
    may_ignore_names,
    ollama_name,
    one_for_all,
    shows_when_asked,
)
from sage_doctor.services.statuses import once_loaded, raise_for_status
from sage_doctor.text import printable

# What servers in Python say of the host name in the URL: uvicorn's middleware, Django.
_WANTS_ANOTHER_HOST = re.compile(r"\binvalid host\b|\bdisallowed ?host\b", re.IGNORECASE)
# As nginx says it, and as servers in Go do.
_WANTS_TLS = re.compile(r"HTTP request (?:was sent )?to (?:an )?HTTPS (?:port|server)")
_MOST_MODELS = 20_000


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The models that a service lists. `problem` says why there are none if the list itself fails.

    `waited_s` is how long the service still loaded its model before it answered.
    """

    entries: tuple[ListedModel, ...] = ()
    api: str = "openai"
    problem: str = ""
    waited_s: float = 0.0

    @property
    def models(self) -> tuple[str, ...]:
        """Every name in the list, aliases included."""
        return tuple(dict.fromkeys(n for entry in self.entries for n in entry.names))

    @property
    def one_for_all(self) -> str:
        """The program that answers every name with its one model, empty where names count or it is not known."""
        return one_for_all(self.entries)

    @property
    def may_ignore_names(self) -> bool:
        """Whether the service has one model and perhaps answers every name with it."""
        return self.api == "openai" and may_ignore_names(self.entries)

    def is_another(self, answering: str, name: str) -> bool:
        """Return whether the model that answered is another one of the list. To Ollama names always count."""
        if self.api == "ollama" or is_ollamas(self.entries):
            return False
        return answering in self.models and ollama_name(answering) != ollama_name(name)

    def has(self, name: str) -> Literal["yes", "no", "unknown"]:
        """Return whether the service has a model of that name; `unknown` where only asking it shows."""
        if self.problem:
            return "unknown"
        names = self.models
        if name in names or name.removesuffix("@main") in names:  # `transformers serve` leaves out this revision
            return "yes"
        if self.api == "ollama" or is_ollamas(self.entries):
            if ollama_name(name) in map(ollama_name, names):
                return "yes"
            return "unknown" if is_in_ollamas_cloud(name) else "no"
        return "unknown" if self.one_for_all or shows_when_asked(self.entries, name) else "no"


def list_models(endpoint: Endpoint, timeouts: Timeouts) -> Listing | ServiceFailure:
    """Return what the service lists. Never raises for what a service does."""
    path = endpoint.path(LISTS[endpoint.api])
    try:
        found, waited_s = once_loaded(lambda: _listed(endpoint, path, timeouts), timeouts)
        return replace(found, waited_s=waited_s)
    except ServiceError as found:
        return found.failure


def _no_list(reply: Reply, endpoint: Endpoint, path: str) -> ServiceError:
    """Return what an error in the place of the list says."""
    status, body = reply.status, error_body(reply)
    kind, what = "foreign", excerpt(body, endpoint) or "no text"
    if status > 500 and status != 501:
        kind = "down"
    elif not endpoint.tls and _WANTS_TLS.search(body):
        what = "it speaks TLS, so the URL has to begin with https://"
    elif _WANTS_ANOTHER_HOST.search(what):
        kind = "refused"
    elif status in (404, 405, 501):
        other = "ollama" if endpoint.api == "openai" else "openai"
        what = f'is it really api = "{endpoint.api}", not "{other}"?'
    return ServiceError(kind, f"answers HTTP {status} to {path}: {what}", status=status)  # type: ignore[arg-type]


def _listed(endpoint: Endpoint, path: str, timeouts: Timeouts) -> Listing:
    with http_request(endpoint, path, timeouts, all_s=timeouts.list_s, idle_s=timeouts.list_s) as reply:
        raise_for_status(reply, endpoint, path)
        if reply.status == 500:
            # `transformers serve` does that where there is no Hugging Face cache, and generates all the same.
            return Listing(problem=f"{path} answers HTTP 500: {error_text(reply, endpoint)}")
        if not reply.succeeded:
            raise _no_list(reply, endpoint, path)
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
    found = value.get(key, value) if isinstance(value, dict) else value  # some send the list itself
    if found is None and isinstance(value, dict):
        found = []  # how Go writes a list without entries
    if not isinstance(found, list):
        shown_text = excerpt(text, endpoint)
        raise ServiceError("foreign", f"answers {path} without a list of models: {shown_text}")
    entries = [listed_model(e, "id" if endpoint.api == "openai" else "name") for e in found[:_MOST_MODELS]]
    return Listing(entries=tuple(e for e in entries if e is not None), api=endpoint.api)
