"""Which models a service says it has, and where it answers."""

from __future__ import annotations

import pytest

from sage_doctor.services import Endpoint, Listing


@pytest.mark.parametrize(
    "url, host, port, path",
    [
        ("http://127.0.0.1:8000", "127.0.0.1", 8000, "/v1/models"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1", 8000, "/v1/models"),
        ("https://sage.example/llm/v1/", "sage.example", 443, "/llm/v1/models"),
        ("http://[::1]/x", "::1", 80, "/x/v1/models"),
    ],
)
def test_the_address(url: str, host: str, port: int, path: str) -> None:
    endpoint = Endpoint(url=url)
    assert (endpoint.host, endpoint.port, endpoint.path("/v1/models")) == (host, port, path)


def test_the_key_is_in_no_representation() -> None:
    assert "s3cret" not in repr(Endpoint(url="http://h", key="s3cret"))


@pytest.mark.parametrize(
    "models, name, has",
    [
        (("a", "b"), "b", "yes"),
        (("a:latest",), "a", "yes"),
        (("a:7b",), "a", "no"),
        ((), "a", "no"),
        # transformers serve lists the cache of repositories, whatever directory it was started with.
        (("org/a",), "/models/a", "unknown"),
        ((), "/models/a", "unknown"),
        (("/models/b",), "/models/a", "no"),
    ],
)
def test_what_a_list_says_of_a_model(models: tuple[str, ...], name: str, has: str) -> None:
    assert Listing(models=models).has(name) == has


def test_a_list_that_failed_says_nothing() -> None:
    assert Listing(models=(), problem="HTTP 500").has("a") == "unknown"
