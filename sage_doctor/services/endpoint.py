"""The endpoint of a service, the timeouts for it, and the ways in which it can fail."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

ServiceFailureKind = Literal[
    "down", "loading", "busy", "gateway", "silent", "slow", "unfinished", "foreign", "tls", "refused", "key", "error",
    "missing",
]  # fmt: skip

LISTS = {"openai": "/v1/models", "ollama": "/api/tags"}
# OpenVINO's model server has the API below /v3.
_VERSION = re.compile(r"/v\d+$")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A service's address. `url` may end in `/v1`. `key` is sent with each request and never shown."""

    url: str
    api: Literal["openai", "ollama"] = "openai"
    key: str | None = field(default=None, repr=False)

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "https"

    @property
    def host(self) -> str:
        """The host's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port, the scheme's own where the URL names none."""
        return urlsplit(self.url).port or (443 if self.tls else 80)

    def path(self, rest: str) -> str:
        """Return the path of a request: `rest` begins with `/v1/` or `/api/`. Another version in `url` replaces v1."""
        prefix = urlsplit(self.url).path.rstrip("/").removesuffix("/v1")
        return prefix + (rest.removeprefix("/v1") if _VERSION.search(prefix) else rest)

    @property
    def listing_url(self) -> str:
        """The whole URL of the list of models."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{self.path(LISTS[self.api])}"

    def without_key(self, text: str) -> str:
        """Return a text from the service with the key removed, if the service repeats it."""
        return text.replace(self.key, "[key]") if self.key else text


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Timeouts in seconds. `until` is the `time.monotonic()` at which everything ends.

    `list_s` is for the whole list of models, `first_s` for the first token where the model may have to be loaded
    first, `token_s` for each token after that, `all_s` for a whole answer.
    """

    until: float
    connect_s: float = 5.0
    list_s: float = 10.0
    first_s: float = 60.0
    token_s: float = 30.0
    all_s: float = 120.0

    def within(self, seconds: float) -> float:
        """Return the `time.monotonic()` that is `seconds` away, or the end of everything where that is nearer."""
        return min(self.until, time.monotonic() + seconds)


@dataclass(frozen=True, kw_only=True)
class ServiceFailure:
    """How a service failed.

    `down`: no connection, or a response that says so. `loading`: it says that it still loads its model. `busy`: it has
    too much to do. `gateway`: a proxy answers, and what is behind it does not. `silent`: connected, but no answer in
    time. `slow`: an answer that was not complete when its time ran out. `unfinished`: the run's own time ended first.
    `foreign`: a response that does not belong to this API. `tls`: no encrypted connection. `refused`: the request was
    refused, and a key would not help. `key`: the key was refused. `error`: the service reported an error. `missing`: it
    does not have the model. `message` is the end of a sentence that begins with `it`, safe to show.
    """

    kind: ServiceFailureKind
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_no_list(self) -> bool:
        """Whether there may be no list of models at all: it is not found, or a page is shown in its place."""
        return self.evidence.get("status") in (404, 405, 501) or self.evidence.get("content_type") == "text/html"


class ServiceError(Exception):
    """Raised within this package for a `ServiceFailure`; never leaves it."""

    def __init__(self, kind: ServiceFailureKind, message: str, **evidence: Any) -> None:
        self.failure = ServiceFailure(kind=kind, message=message, evidence=evidence)
        super().__init__(message)
