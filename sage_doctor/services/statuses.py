"""What a status other than 200 says: still loading, a proxy without its service, a key, a name not accepted."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable
from typing import TypeVar

from sage_doctor.services.endpoint import Endpoint, ServiceError, Timeouts
from sage_doctor.services.http_request import Reply, error_body, excerpt
from sage_doctor.text import printable

_PAUSE_S = 0.5
T = TypeVar("T")

# llama.cpp says "Loading model", Hugging Face's endpoints "Model X is currently loading".
_LOADING = re.compile(r"\bloading\b|\bstarting(?: up)?\b|\bwarming up\b|\bnot (?:yet )?ready\b", re.IGNORECASE)
_BUSY = re.compile(
    r"\bbusy\b|\boverloaded\b|\bpending requests\b|\btoo many\b|\brate.?limit|\bqueue\b|\bno (?:available )?slots?\b",
    re.IGNORECASE,
)
_ABOUT_A_KEY = re.compile(r"\bapi.?key\b|\btoken\b|\bauth|\bcredential|\blog.?in\b|\bpassword\b", re.IGNORECASE)
# Envoy, Traefik, HAProxy and nginx, where they answer 503 in the place of what is behind them.
_PROXY = re.compile(r"\bupstream\b|\bno available server\b|\bno server is available\b", re.IGNORECASE)
_PROXIES = re.compile(r"nginx|openresty|envoy|haproxy|traefik|cloudflare", re.IGNORECASE)
# LiteLLM's router (HTTP 429) after the servers behind it failed, which it leaves alone for a while.
_NONE_BEHIND = re.compile(r"\bno (?:healthy )?deployments? available\b", re.IGNORECASE)
_OLLAMA_PORT = 11434
_OLLAMAS_DOMAINS = (".localhost", ".local", ".internal")
# Of Cloudflare: 520-523 and 525-530 did not reach the server behind it, 524 got no answer from it.
_GATEWAY = {502, *range(520, 524), *range(525, 531)}
_GATEWAY_TIMEOUT = {504, 524}


def raise_for_status(reply: Reply, endpoint: Endpoint, path: str) -> None:
    """Raise `ServiceError` for a status that says the same whatever was asked, a list of models or an answer."""
    status = reply.status
    if 300 <= status < 400:
        to = printable(endpoint.without_key(reply.location), limit=200) or "nowhere"
        message = f"redirects {path} to {to} (HTTP {status}); redirects are not followed"
        raise ServiceError("foreign", message, status=status)
    if status in (401, 403, 407):
        raise _refusal(reply, endpoint)
    if status not in {429, 503} | _GATEWAY | _GATEWAY_TIMEOUT:
        return
    body = error_body(reply)
    text = excerpt(body, endpoint)
    told = f": {text}" if text else ""
    if status in _GATEWAY_TIMEOUT:
        message = f"is behind a proxy that got no answer from it in time (HTTP {status}{told})"
        raise ServiceError("silent", message, status=status, proxy=reply.server)
    if status in _GATEWAY:
        message = f"is behind a proxy that does not reach it (HTTP {status}{told})"
        raise ServiceError("gateway", message, status=status, proxy=reply.server)
    if status == 503 and _LOADING.search(text):
        raise ServiceError("loading", f"is still loading its model (HTTP {status}{told})", status=status)
    if _NONE_BEHIND.search(text):
        message = f"is behind a proxy that has no working server left to pass requests on to (HTTP {status}{told})"
        raise ServiceError("gateway", message, status=status, proxy=reply.server)
    if status == 429 or _BUSY.search(text):
        raise ServiceError("busy", f"takes no more requests now (HTTP {status}{told})", status=status)
    by = _PROXIES.search(reply.server + ("" if text != "a web page" else body))
    if by or _PROXY.search(body):
        # nginx answers 502 where it does not reach the service; its 503 is this only in Kubernetes.
        other = ", is set to maintenance, or limits requests" * (by is not None and by[0].lower() == "nginx")
        message = f"is behind a proxy that has no service to pass requests on to{other} (HTTP {status}{told})"
        raise ServiceError("gateway", message, status=status, proxy=reply.server)
    raise ServiceError("down", f"answers HTTP {status} to {path}{told}", status=status)


def _refusal(reply: Reply, endpoint: Endpoint) -> ServiceError:
    status = reply.status
    body = error_body(reply)
    text = excerpt(body, endpoint)
    if '"signin_url"' in body:
        # Ollama passes requests for the models of its cloud on; those need an account, and no key is sent to it.
        message = f"runs this model in Ollama's cloud, and is not signed in there (HTTP {status})"
        return ServiceError("refused", message, status=status, reason="signin")
    ollama = endpoint.api == "ollama" or endpoint.port == _OLLAMA_PORT
    if status == 403 and not text and ollama and not is_ollamas_own(endpoint.host):
        # Bound to loopback it answers only to names of its own machine; it never asks for a key.
        message = f"refuses requests for the host {printable(endpoint.host, limit=100)} (HTTP {status})"
        return ServiceError("refused", message, status=status, reason="host")
    if status in (401, 407) and reply.asks_for_password:
        message = f"asks for a user name and a password (HTTP {status}, Basic), and not for a key"
        return ServiceError("refused", message, status=status, reason="password")
    if status == 401 or (status == 403 and (endpoint.key or _ABOUT_A_KEY.search(text))):
        asked = "with the key it was sent" if endpoint.key else "without a key"
        return ServiceError("key", f"refuses to answer {asked} (HTTP {status})", status=status)
    told = f": {text}" if text else ", and does not say why"
    return ServiceError("refused", f"refuses the request (HTTP {status}){told}", status=status)


def is_ollamas_own(host: str) -> bool:
    """Return whether Ollama accepts requests for this host wherever it listens, as its server's source says.

    Those are private addresses and local names; its own host name is not known here.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(_OLLAMAS_DOMAINS)
    return address.is_loopback or address.is_private or address.is_unspecified


def once_loaded(ask: Callable[[], T], timeouts: Timeouts) -> tuple[T, float]:
    """Ask until the service has loaded its model, and return what it answered and how long that took.

    It may take as long as a first token may: with other services it is the first request that loads. Raises what the
    last attempt raised.
    """
    started = time.monotonic()
    until = timeouts.within(timeouts.first_s)
    while True:
        try:
            answer = ask()
        except ServiceError as found:
            if found.failure.kind != "loading":
                raise
            if time.monotonic() + _PAUSE_S >= until:
                raise _still_loading(time.monotonic() - started, found, over=until >= timeouts.until) from found
            time.sleep(_PAUSE_S)
        else:
            return answer, time.monotonic() - started


def _still_loading(waited_s: float, found: ServiceError, *, over: bool) -> ServiceError:
    if over:
        return ServiceError("unfinished", "was still loading its model", **found.failure.evidence)
    return ServiceError(
        "loading", f"{found.failure.message}, after {waited_s:.0f} s of waiting", **found.failure.evidence
    )
