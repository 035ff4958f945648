"""How gateways and lesser known servers answer: behaviours for `behaving.py`, each after a source or a report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .behaving import Handler

WORDS = ["I", " am", " behind", " a", " gateway", "."]


def event(delta: dict[str, Any], reason: str | None = None) -> str:
    """Return an event of a chat."""
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}) + "\n\n"


def says(*others: str, kind: str = "text/event-stream", status: int = 200, reason: str = "stop") -> Callable[..., None]:
    """Return an answer in which other events stand between the words."""

    def answer(handler: Handler, _body: dict[str, Any]) -> None:
        handler.start(kind, status)
        for number, word in enumerate(WORDS):
            handler.write(event({"content": word}) + (others[number] if number < len(others) else ""))
        handler.write(event({}, reason) + "".join(others[len(WORDS) :]) + "data: [DONE]\n\n")

    return answer


def parts(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    handler.write(event({"content": [thought]}) + event({"content": [{"type": "text", "text": "I am."}]}))
    handler.write(event({}, "stop") + "data: [DONE]\n\n")


def thinks_in_secret(handler: Handler, body: dict[str, Any]) -> None:
    tokens = body["max_tokens"]
    usage = {"completion_tokens": tokens, "completion_tokens_details": {"reasoning_tokens": tokens}}
    handler.start("text/event-stream")
    handler.write(event({"content": ""}) + event({}, "length"))
    handler.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n")


def only_pings(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    handler.write(PING + "data: [DONE]\n\n")


def error(status: int, message: object) -> Callable[..., None]:
    """Return an error of a chat; the older request is not known."""

    def answer(handler: Handler, _body: dict[str, Any]) -> None:
        if "chat" in handler.path:
            handler.json({"error": {"message": message, "param": None}}, status)
        else:
            handler.json({"detail": "Not Found"}, 404)

    return answer


def late_error(message: str) -> Callable[..., None]:
    """Return an error of every request for more than one token."""

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        (error(400, message) if body["max_tokens"] > 1 else says(reason="length"))(handler, body)

    return answer


def versioned(handler: Handler, body: dict[str, Any]) -> None:
    # docs.openvino.ai: the OpenVINO model server has everything below /v3
    if handler.path.split("/")[2] != "v3":
        handler.json({"error": "Invalid request URL"}, 404)
    elif body:
        says()(handler, body)
    else:
        handler.json({"data": [{"id": "tiny"}]})


USAGE = {"object": "chat.completion.chunk", "usage": {"completion_tokens": 6}}
PING = 'event: ping\ndata: {"type": "ping"}\n\n'
ANSWERS: dict[str, Callable[..., None]] = {
    # github.com/cline/cline/pull/8518, github.com/earendil-works/pi/pull/2466, github.com/ROCm/ATOM/pull/1711
    "choices-null": says(*[""] * 6, f"data: {json.dumps({**USAGE, 'choices': None})}\n\n"),
    "choices-absent": says(*[""] * 6, f"data: {json.dumps(USAGE)}\n\n"),
    "null-event": says("data: null\n\n"),
    "pings": says(PING, ": keep-alive\n\n", PING),
    "only-pings": only_pings,
    "json-type": says(kind="application/json"),
    "created": says(status=201),
    "parts": parts,
    "thinks-in-secret": thinks_in_secret,
    "no-template": error(400, "As of transformers v4.44, default chat template is no longer allowed"),
    "embeddings": error(501, "This server does not support completions. Start it without `--embeddings`"),
    # github.com/BerriAI/litellm/issues/4494
    "litellm-down": error(500, "litellm.APIConnectionError: OllamaException - Cannot connect to host localhost:11434"),
    "one-api-down": error(500, "do request failed: Post 'http://127.0.0.1:8001/v1': connect: connection refused"),
    "tabby-empty": lambda handler, _body: handler.json(
        {"detail": {"error": {"message": "No models are currently loaded.", "trace": None}}}, 400
    ),
    "lm-studio-unloaded": error(400, "Model unloaded."),  # github.com/lmstudio-ai/lmstudio-bug-tracker
    # vLLM names both fields
    "too-long-later": late_error(
        "'max_tokens' or 'max_completion_tokens' is too large: 32. This model's maximum context length is 16 tokens"
    ),
    "no-such-path": error(404, "Not Found"),
    "openvino": versioned,
}  # fmt: skip
LISTS: dict[str, Callable[..., None]] = {
    "list-none": lambda handler, _body: handler.json({"detail": "Not Found"}, 404),
    "list-page": lambda handler, _body: handler.text("text/html", "<!doctype html><html></html>"),
    "list-none-501": lambda handler, _body: handler.json({"error": {"message": "not implemented"}}, 501),
    "list-other-host": lambda handler, _body: handler.text("text/plain", "Invalid host header", 400),
    "list-later": lambda handler, _body: handler.text("text/plain", "", 503),
}
