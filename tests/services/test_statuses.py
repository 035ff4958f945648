"""Which hosts Ollama accepts requests for, by `allowedHostsMiddleware` of its server/routes.go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sage_doctor.services.endpoint import Endpoint, ServiceError
from sage_doctor.services.statuses import is_ollamas_own, raise_for_status


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "a.localhost", "thor.local", "x.internal", "127.0.0.1", "::1", "10.0.0.3", "0.0.0.0"],
)
def test_names_and_addresses_that_it_accepts(host: str) -> None:
    assert is_ollamas_own(host)


@pytest.mark.parametrize("host", ["thor", "ollama", "sage.example", "8.8.8.8", "host.docker.internal.example"])
def test_names_that_it_may_refuse(host: str) -> None:
    assert not is_ollamas_own(host)


@pytest.mark.parametrize(
    "url, reason",
    [("http://sage.example:11434", "host"), ("http://localhost:11434", None), ("http://10.0.0.3:11434", None)],
)
def test_an_empty_403_is_about_the_host_only_where_it_can_be(url: str, reason: str | None) -> None:
    reply: Any = SimpleNamespace(status=403, server="", location="", asks_for_password=False, body=lambda: "")
    with pytest.raises(ServiceError) as raised:
        raise_for_status(reply, Endpoint(url=url, api="ollama"), "/api/tags")
    assert (raised.value.failure.kind, raised.value.failure.evidence.get("reason")) == ("refused", reason)
