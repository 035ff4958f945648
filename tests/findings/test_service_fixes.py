"""What is advised for a service that failed: texts as the servers send them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sage_doctor.findings.service_fixes import service_fix
from sage_doctor.services.endpoint import ServiceFailure


def advice(kind: Any, message: str, tokens_per_s: float | None = None, **evidence: str) -> str:
    service: Any = SimpleNamespace(spec=SimpleNamespace(budget=SimpleNamespace(tokens_per_s=tokens_per_s)))
    return service_fix(service, ServiceFailure(kind=kind, message=message, evidence=evidence)).summary


@pytest.mark.parametrize(
    "message",
    [
        'answers the prompt with HTTP 400: "tiny" does not support generate',  # Ollama
        'answers the prompt with HTTP 400: "tiny" does not support chat',
        "answers the prompt with HTTP 400: The model does not support Chat Completions API",  # vLLM
        "answers the prompt with HTTP 501: This server does not support completions. Start it without `--embeddings`",
    ],
)
def test_a_model_for_embeddings_is_told_as_one(message: str) -> None:
    assert advice("error", message).startswith("It is a model for embeddings")


def test_what_the_message_means_goes_first() -> None:
    assert "chat_template.jinja" in advice("error", "answers with HTTP 422: Template error: template not found")
    assert "Shorten the prompt" in advice(
        "error", "answers: Input length (5000 tokens) exceeds the maximum allowed length (4090 tokens). Use a shorter"
    )


def test_a_slow_service_need_not_be_restarted() -> None:
    assert "slows it down" in advice("slow", "was still generating", 5.0)
    assert "Restart it" in advice("slow", "was still generating")


def test_a_host_that_ollama_refuses_is_told() -> None:
    said = advice("refused", "refuses requests for the host sage.example (HTTP 403)", reason="host")
    assert "OLLAMA_HOST=0.0.0.0" in said
    assert "key" not in said


def test_a_machine_that_does_not_answer_is_not_told_as_a_program_to_start() -> None:
    service: Any = SimpleNamespace(spec=SimpleNamespace(url="http://10.0.0.7:8000", api="openai"))
    for reason in ("no connection in time", "No route to host", "Network is unreachable"):
        fix = service_fix(service, ServiceFailure(kind="down", message="", evidence={"reason": reason}))
        assert "the network is up" in fix.summary
        assert "curl -sv --max-time 5 http://10.0.0.7:8000/v1/models" in fix.commands


def test_a_name_server_that_does_not_answer_is_told() -> None:
    for message, network in (("(Temporary failure in name resolution)", True), ("(Name or service not known)", False)):
        failure = ServiceFailure(kind="down", message=message, evidence={"host": "gpu-box"})
        said = service_fix(SimpleNamespace(), failure).summary  # type: ignore[arg-type]
        assert ("the network is up" in said, "/etc/hosts" in said) == (network, True)


def test_a_request_that_is_refused_is_not_blamed_on_memory() -> None:
    failure = ServiceFailure(kind="error", message="answers the prompt with HTTP 402: x", evidence={"status": 402})
    service: Any = SimpleNamespace()
    assert "does not accept" in service_fix(service, failure).summary
