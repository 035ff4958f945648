"""Which models a service says it has, and where it answers."""

from __future__ import annotations

import pytest

from sage_doctor.services.endpoint import Endpoint
from sage_doctor.services.listing import Listing
from sage_doctor.services.model_names import ListedModel, listed_model, one_for_all


@pytest.mark.parametrize(
    "url, host, port, path",
    [
        ("http://127.0.0.1:8000", "127.0.0.1", 8000, "/v1/models"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1", 8000, "/v1/models"),
        ("https://sage.example/llm/v1/", "sage.example", 443, "/llm/v1/models"),
        ("http://[::1]/x", "::1", 80, "/x/v1/models"),
        ("http://h:8000/v3", "h", 8000, "/v3/models"),
    ],
)
def test_the_address(url: str, host: str, port: int, path: str) -> None:
    endpoint = Endpoint(url=url)
    assert (endpoint.host, endpoint.port, endpoint.path("/v1/models")) == (host, port, path)


def test_the_key_is_in_no_representation() -> None:
    assert "s3cret" not in repr(Endpoint(url="http://h", key="s3cret"))


def entries(*names: str, owner: str = "") -> tuple[ListedModel, ...]:
    return tuple(ListedModel(name=name, owner=owner) for name in names)


@pytest.mark.parametrize(
    "models, name, has",
    [
        (("a", "b"), "b", "yes"),
        (("a:7b",), "a", "no"),
        ((), "a", "no"),
        # Only Ollama takes another spelling, so the answer shows.
        (("a:latest",), "a", "unknown"),
        (("Llama",), "llama", "unknown"),
        # transformers serve lists the cache of repositories, whatever directory it was started with.
        (("org/a",), "/models/a", "unknown"),
        (("org/a",), "./models/a", "unknown"),
        ((), "/models/a", "unknown"),
        (("/models/b",), "/models/a", "no"),
        (("org/a", "org/a@v1"), "org/a@main", "yes"),
        (("org/a",), "org/a@v1", "no"),
        # mlx_lm.server calls the model it was started with so.
        (("org/a",), "default_model", "unknown"),
        # A proxy that passes on every model of a provider.
        (("openai/*",), "openai/gpt-4", "unknown"),
        (("openai/*",), "other/gpt-4", "no"),
        (("*",), "anything", "unknown"),
    ],
)
def test_what_a_list_says_of_a_model(models: tuple[str, ...], name: str, has: str) -> None:
    assert Listing(entries=entries(*models)).has(name) == has


@pytest.mark.parametrize(
    "listed, name, has",
    [
        ("Llama3.2:latest", "llama3.2", "yes"),
        ("llama3.2:1b", "LLAMA3.2:1B", "yes"),
        ("llama3.2:1b", "llama3.2", "no"),
        ("llama3.2:latest", "library/llama3.2", "yes"),
        ("llama3.2:latest", "registry.ollama.ai/library/llama3.2:latest", "yes"),
        ("llama3.2:latest", "https://registry.ollama.ai/library/llama3.2", "yes"),
        (
            "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
            "hf.co/bartowski/llama-3.2-1b-instruct-gguf:q4_k_m",
            "yes",
        ),
        ("user/tiny:latest", "tiny", "no"),
        ("tiny:latest", "user/tiny", "no"),
        ("tiny:latest", "gpt-oss:120b-cloud", "unknown"),
        ("tiny:latest", "glm-4.6:cloud", "unknown"),
        ("tiny:latest", "my-cloud-model", "no"),
        ("tiny:latest", "cloud", "no"),
    ],
)
def test_the_spellings_of_an_ollama_name(listed: str, name: str, has: str) -> None:
    assert Listing(entries=entries(listed), api="ollama").has(name) == has
    assert Listing(entries=entries(listed, owner="library"), api="openai").has(name) == has


@pytest.mark.parametrize(
    "entry, program",
    [
        ({"id": "a", "owned_by": "llamacpp"}, "llama.cpp"),
        ({"id": "a", "owned_by": "llamacpp", "status": {"value": "loaded"}}, ""),
        ({"id": "koboldcpp/a", "owned_by": "koboldcpp"}, "KoboldCpp"),
        ({"id": "org/a", "owned_by": "org/a", "created": 0}, "text-generation-inference"),
        ({"id": "org/a", "owned_by": "org"}, ""),
        ({"id": "a", "owned_by": "vllm"}, ""),
        ({"id": "a"}, ""),
        ({"id": "a", "owned_by": None}, ""),
    ],
)
def test_who_answers_every_name(entry: dict[str, object], program: str) -> None:
    listed = listed_model(entry, "id")
    assert listed is not None
    assert one_for_all([listed]) == program
    assert one_for_all([listed, listed]) == ""


def test_aliases_are_names() -> None:
    entry = {"id": "a", "aliases": ["a", "b", 3], "owned_by": "llamacpp"}
    listed = listed_model(entry, "id")
    assert listed is not None
    assert Listing(entries=(listed,)).models == ("a", "b")
    assert Listing(entries=(listed,)).has("b") == "yes"


def test_a_list_that_failed_says_nothing() -> None:
    assert Listing(problem="HTTP 500").has("a") == "unknown"
