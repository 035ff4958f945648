"""Where a service answers, how long one waits for it, and in which way it may be none."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

FailureKind = Literal["down", "silent", "slow", "foreign", "key", "error", "missing"]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A service's address. `url` may end in `/v1`. `key` is sent with each request and told to nobody."""

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
        """Return the path of a request: `rest` begins with `/v1/` or `/api/`."""
        prefix = urlsplit(self.url).path.rstrip("/")
        return prefix.removesuffix("/v1") + rest

    def without_key(self, text: str) -> str:
        """Return a text from the service, from which the key is gone where the service repeats it."""
        return text.replace(self.key, "[key]") if self.key else text


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long one waits, in seconds. `until` is the `time.monotonic()` at which everything ends.

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
    """In which way a service is none.

    `down`: no connection, or an answer that says so. `silent`: a connection, and no answer in time. `slow`: an answer
    that was still going on when its time was over. `foreign`: an answer that is none of this API. `key`: it wants
    another key. `error`: it said why it cannot generate. `missing`: it does not have the model. `message` is the end
    of a sentence that begins with `it`, safe to show.
    """

    ending: FailureKind
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


class Troubled(Exception):
    """Raised inside this package with the trouble that ends an exchange; never leaves it."""

    def __init__(self, ending: FailureKind, message: str, **evidence: Any) -> None:
        self.trouble = ServiceFailure(ending=ending, message=message, evidence=evidence)
        super().__init__(message)
