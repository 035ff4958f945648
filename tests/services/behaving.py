"""A real HTTP server for the tests, in a process of its own: the first part of a path says how it behaves.

`python -m tests.services.behaving` prints its port and serves until its standard input is closed. `/well/v1/models` is
a service that behaves; the others are services as machines really have them after a bad night.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from tests.services import gateways

WORDS = ["I", " am", " a", " small", " model", ",", " and", " I", " answer", "."]
KEY = "s3cret-key"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer({})

    def do_POST(self) -> None:
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, body: dict[str, Any]) -> None:
        _, how, *rest = self.path.split("/")
        path = "/" + "/".join(rest)
        Handler.seen.append(f"{self.command} {self.path}")
        listing = path in ("/v1/models", "/api/tags")
        behaviour = BEHAVIOURS.get(how)
        self.close_connection = True
        try:
            if path == "/seen":
                self.json({"seen": Handler.seen})
            elif behaviour is not None and (listing == how.startswith("list-")):
                behaviour(self, body)
            elif not listing and how in ANSWERS:
                ANSWERS[how](self, body)
            elif listing:
                names = ["tiny", "smollm2:latest"] if how != "other" else ["smollm2-135m", "qwen"]
                self.json({"data": [{"id": n} for n in names], "models": [{"name": n} for n in names]})
            elif path == "/api/generate":
                self.ollama(WORDS[: body["options"]["num_predict"]])
            else:
                self.speak(WORDS[: body["max_tokens"]])
        except (BrokenPipeError, ConnectionResetError):
            pass

    def start(self, kind: str, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def write(self, text: str | bytes) -> None:
        self.wfile.write(text.encode() if isinstance(text, str) else text)
        self.wfile.flush()

    def json(self, value: object, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.start("application/json", status, **{"Content-Length": str(len(data))})
        self.write(data)

    def text(self, kind: str, text: str, status: int = 200) -> None:
        self.start(kind, status, **{"Content-Length": str(len(text.encode()))})
        self.write(text)

    def piece(self, text: str, *, field: str = "content", **more: Any) -> None:
        choice = {"index": 0, "delta": {field: text}, **more}
        self.write("data: " + json.dumps({"model": "tiny", "choices": [choice]}) + "\n\n")

    def speak(self, words: list[str], *, pause: float = 0.005, field: str = "content", kind: str = "") -> None:
        self.start(kind or "text/event-stream; charset=utf-8")
        self.write(": keep-alive\n\n")
        for word in words:
            self.piece(word, field=field)
            time.sleep(pause)
        self.piece("", finish_reason="stop" if len(words) == len(WORDS) else "length")
        usage = {"choices": [], "usage": {"completion_tokens": len(words)}}
        self.write(f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n")

    def ollama(self, words: list[str]) -> None:
        self.start("application/x-ndjson")
        for word in words:
            self.write(json.dumps({"model": "tiny", "response": word, "done": False}) + "\n")
            time.sleep(0.005)
        last = {"response": "", "done": True, "done_reason": "stop", "eval_count": len(words)}
        self.write(json.dumps(last) + "\n")

    def drip(self, text: str) -> None:
        for letter in text:
            self.write(letter)
            time.sleep(1)

    def endless(self, text: str) -> None:
        while True:
            self.write(text)


def keyed(handler: Handler, _body: dict[str, Any]) -> None:
    sent = handler.headers.get("Authorization", "")
    if sent != f"Bearer {KEY}":
        handler.json({"error": {"message": f"Incorrect API key provided: {sent}"}}, 401)
    else:
        handler.json({"data": [{"id": "tiny"}]})


def half(handler: Handler, body: dict[str, Any]) -> None:
    if body["max_tokens"] == 1:
        handler.speak(WORDS[:1])
        return
    handler.start("text/event-stream")
    for word in WORDS[:4]:
        handler.piece(word)
    time.sleep(60)


def cut(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    handler.piece("I am")


def one_piece(handler: Handler, _body: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "".join(WORDS)}
    handler.json({"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"completion_tokens": 10}})


def completions(handler: Handler, body: dict[str, Any]) -> None:
    if "chat" in handler.path:
        handler.json({"detail": "Not Found"}, 404)
        return
    assert "prompt" in body
    handler.start("text/event-stream")
    for word in WORDS[: body["max_tokens"]]:
        handler.write("data: " + json.dumps({"choices": [{"text": word, "finish_reason": None}]}) + "\n\n")
    handler.write('data: {"choices": [{"text": "", "finish_reason": "length"}]}\n\ndata: [DONE]\n\n')


def slow(handler: Handler, body: dict[str, Any]) -> None:
    handler.speak((WORDS * 40)[: body["max_tokens"]], pause=0.25)


def in_stream(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    handler.write('data: {"error": {"message": "CUDA out of memory\\u001b[31m"}}\n\n')


def in_ollama(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("application/x-ndjson")
    handler.write('{"response": "Yes", "done": false}\n{"error": "llama runner process has terminated"}\n')


def bad_json(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    handler.write('data: {"choices": [{\n\ndata: nothing\n\n')


def drip(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    handler.drip("data: " + json.dumps({"choices": [{"delta": {"content": "I"}}]}))


def not_http(handler: Handler, _body: dict[str, Any]) -> None:
    handler.write(b"\x00\x01SSH-2.0-OpenSSH_9.6\r\n\r\n")


def header_drip(handler: Handler, _body: dict[str, Any]) -> None:
    handler.drip("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[]")


def redirect(to: str) -> Callable[[Handler, dict[str, Any]], None]:
    def move(handler: Handler, _body: dict[str, Any]) -> None:
        handler.start("text/plain", 302, Location=to or handler.path, **{"Content-Length": "0"})

    return move


def endless_list(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("application/json")
    handler.write('{"data": [')
    handler.endless('{"id": "x"},' * 5000)


def endless_line(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    handler.write("data: ")
    handler.endless("x" * 100_000)


def loading(handler: Handler, body: dict[str, Any]) -> None:
    """Load for a second after the first request, as llama.cpp says it."""
    how = handler.path.split("/")[1]
    if time.monotonic() < LOADED.setdefault(how, time.monotonic() + 1):
        handler.json({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, 503)
    elif body:
        handler.speak(WORDS[: body["max_tokens"]])
    else:
        handler.json({"data": [{"id": "tiny"}]})


def refuses(fields: dict[str, str]) -> Callable[[Handler, dict[str, Any]], None]:
    """Return a server that refuses a request with one of these fields, in its own words."""

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        for field, text in fields.items():
            if field in body:
                handler.json({"object": "error", "message": text, "type": "BadRequestError", "code": 400}, 400)
                return
        handler.speak(WORDS[: body.get("max_tokens") or body["max_completion_tokens"]])

    return answer


def no_reason(handler: Handler, body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    for word in WORDS[: body["max_tokens"]]:
        handler.piece(word)
    handler.write("data: [DONE]\n\n")


def error_first(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    handler.write('error: {"code":400,"message":"the request exceeds the available context size"}\n\ndata: [DONE]\n\n')


def error_later(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    handler.piece("I")
    handler.write('error: {"code":500,"message":"Compute error.","type":"server_error"}\n\n')


def error_event(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    handler.piece("I")
    handler.write('event: error\ndata: {"message":"The model has crashed without additional information."}\n\n')


def basic(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/html", 401, **{"WWW-Authenticate": 'Basic realm="llm"', "Content-Length": "0"})


def zipped(handler: Handler, _body: dict[str, Any]) -> None:
    data = gzip.compress(json.dumps({"data": [{"id": "tiny"}]}).encode())
    handler.start("application/json", 200, **{"Content-Encoding": "gzip", "Content-Length": str(len(data))})
    handler.write(data)


def marked(handler: Handler, _body: dict[str, Any]) -> None:
    handler.text("application/json", "\ufeff" + json.dumps({"data": [{"id": "tiny"}]}))


def bomb(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("application/json", 200, **{"Content-Encoding": "gzip"})
    handler.write(gzip.compress(b" " * 10_000_000))


def tool_call(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    for function in ({"name": "get_weather", "arguments": ""}, {"arguments": '{"city": "Rome"}'}):
        delta = {"content": None, "tool_calls": [{"index": 0, "function": function}]}
        handler.write("data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}) + "\n\n")
    handler.piece("", finish_reason="tool_calls")


def aborted(handler: Handler, _body: dict[str, Any]) -> None:
    handler.start("text/event-stream")
    handler.piece("I")
    handler.piece("", finish_reason="abort")


def gemma(handler: Handler, _body: dict[str, Any]) -> None:
    """Answer with the model that is loaded, whichever was asked for, and name it."""
    choice = {"message": {"content": "".join(WORDS)}, "finish_reason": "stop"}
    handler.json({"model": "gemma", "choices": [choice], "usage": {"completion_tokens": 10}})


def listing(*entries: dict[str, Any]) -> Callable[[Handler, dict[str, Any]], None]:
    """Return a list of models as a server of that kind writes it."""
    data = [{"object": "model", "created": 1, **entry} for entry in entries]
    return lambda handler, _body: handler.json({"object": "list", "data": data})


def refusal(status: int, value: object) -> Callable[[Handler, dict[str, Any]], None]:
    """Return an answer with that status: a text, a page or JSON."""
    if not isinstance(value, str):
        return lambda handler, _body: handler.json(value, status)
    kind = "text/html" if value.startswith("<") else "text/plain"
    return lambda handler, _body: handler.text(kind, value, status)


def missing(handler: Handler, _body: dict[str, Any]) -> None:
    handler.json({"error": {"message": "The model `tiny` does not exist."}}, 404)


LOADED: dict[str, float] = {}
NGINX = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx/1.22.1</body></html>"
LLAMA = {"id": "/models/qwen2.5-0.5b.gguf", "owned_by": "llamacpp", "meta": {"n_ctx": 512}}
PAGE = "<!DOCTYPE html><html><title>Please log in</title></html>"
BEHAVIOURS: dict[str, Callable[[Handler, dict[str, Any]], None]] = {
    "list-html": lambda h, _: h.text("text/html", PAGE),
    "list-text": lambda h, _: h.text("text/plain", "upstream\x1b[2J not ready"),
    "list-leak": lambda h, _: h.json({"data": [{"id": h.headers["Authorization"].removeprefix("Bearer ")}]}),
    "list-shape": lambda h, _: h.json({"hello": "world"}),
    "list-404": lambda h, _: h.json({"detail": "Not Found"}, 404),
    "list-500": lambda h, _: h.text("text/plain", "Internal Server Error", 500),
    "list-503": lambda h, _: h.json({"error": {"message": "Loading model"}}, 503),
    "list-silent": lambda _h, _b: time.sleep(60),
    "list-drip": header_drip,
    "list-endless": endless_list,
    "list-loop": redirect(""),
    "list-away": redirect("http://example.invalid/v1/models"),
    "list-not-http": not_http,
    "list-closed": lambda _h, _b: None,
    "list-key": keyed,
    "list-loading": loading,
    "list-loading-again": loading,
    "list-marked": marked,
    "list-alias": listing({**LLAMA, "aliases": ["smol", "tiny"], "tags": []}),
    "list-llamacpp": listing(LLAMA),
    "list-router": listing({**LLAMA, "id": "qwen", "status": {"value": "unloaded"}}),
    "list-koboldcpp": listing({"id": "koboldcpp/qwen", "owned_by": "koboldcpp", "root": "koboldcpp"}),
    "list-sglang": listing({"id": "qwen", "owned_by": "sglang", "root": "qwen", "max_model_len": 4096}),
    "list-tgi": listing({"id": "Qwen/Qwen2.5-0.5B", "owned_by": "Qwen/Qwen2.5-0.5B"}),
    "list-me": listing({"id": "/models/qwen.gguf", "owned_by": "me", "permissions": []}),
    "list-acme": listing({"id": "qwen", "owned_by": "acme"}),
    "list-vllm": listing({"id": "qwen", "owned_by": "vllm", "root": "qwen"}),
    "list-hub": listing({"id": "Qwen/Qwen2.5-0.5B", "owned_by": "Qwen"}),
    "list-lmstudio": listing(*({"id": n, "owned_by": "organization_owner"} for n in ("qwen", "gemma"))),
    "list-lmstudio-one": listing(*({"id": n, "owned_by": "organization_owner"} for n in ("qwen", "gemma"))),
    # github.com/oobabooga/text-generation-webui: what OpenAI's clients look for, whatever is loaded
    "list-textgen": listing(*({"id": n, "owned_by": "user"} for n in ("gpt-3.5-turbo", "text-embedding-ada-002"))),
    "list-mlx": listing({"id": "mlx-community/Qwen2.5-0.5B-Instruct-4bit"}),
    "list-ollama": listing({"id": "tiny:latest", "owned_by": "library"}),
    "list-litellm": listing({"id": "gpt-4", "owned_by": "openai"}, {"id": "ti*", "owned_by": "openai"}),
    "list-null": lambda h, _: h.json({"object": "list", "data": None, "models": None}),
    "list-empty": lambda h, _: h.json({"object": "list", "data": [], "models": []}),
    "list-bare": lambda h, _: h.json([{"id": "tiny", "object": "model"}]),
    "list-zipped": zipped,
    "list-bomb": bomb,
    "list-basic": basic,
    "list-envoy": refusal(503, "upstream connect error or disconnect/reset before headers. reset reason: overflow"),
    "list-traefik": refusal(503, "no available server\n"),
    "list-hf": refusal(503, {"error": "Model org/tiny is currently loading", "estimated_time": 20.0}),
    "list-unavailable": refusal(503, {"error": {"message": "Service Unavailable"}}),
    "list-502": refusal(502, NGINX),
    "list-504": refusal(504, NGINX.replace("502 Bad Gateway", "504 Gateway Time-out")),
    "list-522": refusal(522, "error code: 522"),
    # LiteLLM after the server behind it failed: github.com/BerriAI/litellm/issues/5764
    "list-cooldown": lambda h, _: h.json(
        {"error": {"message": "No deployments available for selected model, Try again in 60 seconds.", "code": "429"}},
        429,
    ),
    "list-429": refusal(429, {"error": {"message": "Rate limit reached for requests"}}),
    "list-maintenance": refusal(503, NGINX),
    "list-403": refusal(403, ""),
    "list-403-page": refusal(403, NGINX),
    "list-403-key": refusal(403, {"detail": "Invalid token or expired token."}),
    "list-signin": refusal(401, {"error": "unauthorized", "signin_url": "https://ollama.com/connect?key=c3No"}),
    "list-https": refusal(400, "Client sent an HTTP request to an HTTPS server.\n"),
    "loading": loading,
    "error-502": refusal(502, NGINX),
    "error-504": refusal(504, NGINX),
    "error-busy": refusal(503, {"error": "server busy, please try again.  maximum pending requests exceeded"}),
    "error-overloaded": refusal(429, {"error": "Model is overloaded", "error_type": "overloaded"}),
    "error-401": refusal(401, {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}),
    "error-signin": refusal(401, {"error": "unauthorized", "signin_url": "https://ollama.com/connect?key=c3No"}),
    "error-first": error_first,
    "error-later": error_later,
    "error-event": error_event,
    "error-abort": aborted,
    "no-reason": no_reason,
    "tool-call": tool_call,
    "pinned": refusal(400, {"detail": "Server is pinned to '/models/a'; requested 'tiny'."}),
    "no-model-loaded": refusal(404, {"error": {"message": "No models loaded.", "code": "model_not_found"}}),
    "no-model-litellm": refusal(400, {"error": {"message": "Invalid model name passed in model=tiny."}}),
    "no-model-mlx": refusal(404, {"error": "404 Client Error. Repository Not Found for url: https://huggingface.co/x"}),
    "no-model-swap": refusal(400, "could not find real modelID for tiny"),
    "old-vllm": refuses(
        {"stream_options": "{'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}"}
    ),
    "old-tgi": refuses({"temperature": "Input validation error: `temperature` must be strictly positive"}),
    "openai-o": refuses(
        {
            "max_tokens": "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
            "temperature": "Unsupported value: 'temperature' does not support 0 with this model.",
        }
    ),
    "silent": lambda _h, _b: time.sleep(60),
    "half": half,
    "cut": cut,
    "drip": drip,
    "slow": slow,
    "html": lambda h, _: h.text("text/html", PAGE),
    "text-200": lambda h, _: h.text("text/plain", "Internal Server Error"),
    "error-200": lambda h, _: h.json({"error": "no slot free"}),
    "error-500": lambda h, _: h.json({"error": {"message": "kv cache full"}}, 500),
    "error-said": lambda h, _: h.speak(["Error", ":", " CUDA", " out", " of", " memory"]),
    "in-stream": in_stream,
    "in-ollama": in_ollama,
    "bad-json": bad_json,
    "nothing": lambda h, _: h.start("text/event-stream"),
    "empty": lambda h, _: h.speak([]),
    "one-token": lambda h, b: h.speak(["!"] * b["max_tokens"]),
    "endless": endless_line,
    "missing": missing,
    "one-piece": one_piece,
    "completions": completions,
    "plain-type": lambda h, b: h.speak(WORDS[: b["max_tokens"]], kind="text/plain"),
    "reasoning": lambda h, b: h.speak(WORDS[: b["max_tokens"]], field="reasoning_content"),
    **gateways.ANSWERS,
    **gateways.LISTS,
}

# How a prompt is answered by a service whose list is the behaviour.
ANSWERS: dict[str, Callable[[Handler, dict[str, Any]], None]] = {
    "list-404": refusal(404, {"detail": "Not Found"}),
    "list-html": lambda h, _: h.text("text/html", PAGE),
    "list-vllm": missing,
    "list-hub": missing,
    "list-lmstudio-one": gemma,
}


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
