"""A short generation by a service: asked, streamed, timed and judged."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sage_doctor.probe.degeneration import Degeneration, find_degeneration
from sage_doctor.services.endpoint import Endpoint, ServiceError, ServiceFailure, Timeouts
from sage_doctor.services.events import StreamEvent, parse_event, parse_stream
from sage_doctor.services.http_request import Reply, error_text, http_request, raise_for_status
from sage_doctor.text import printable

WARM_UP = "Hi"
_MOST_TEXT = 2000
_MOST_EVENTS = 20_000
# A service that returns an error as if the model had generated it.
_ERROR_TEXT = re.compile(
    r"\s*(?:\[(?:fatal )?error\]|(?:server |runtime |fatal )?error\s*[:\-(]|internal server error"
    r"|traceback \(most recent call last\)|(?-i:[A-Z]\w*(?:Error|Exception)): )",
    re.IGNORECASE,
)
_WORDS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What a service generated. `ready_s` is the time to the first token, including the load of the model if needed.

    `first_token_ms` and `tokens_per_s` are those of a second answer, after the load, as for a local model.
    """

    text: str
    tokens: int
    ended_by_itself: bool
    ready_s: float
    first_token_ms: float
    tokens_per_s: float | None
    seconds: float
    degeneration: Degeneration | None
    model: str = ""

    @property
    def is_error(self) -> bool:
        """Whether the answer is an error's text instead of a model's."""
        return _ERROR_TEXT.match(self.text) is not None


def generate(
    endpoint: Endpoint, model: str, prompt: str, *, most_tokens: int, timeouts: Timeouts
) -> Generation | ServiceFailure:
    """Ask the model, first for one token and then for an answer. Never raises for what a service does.

    With the first request a service loads the model if it has not done so yet.
    """
    try:
        started = time.monotonic()
        path = _warm_up(endpoint, model, timeouts)
        ready_s = time.monotonic() - started
        return _measure_answer(endpoint, path, model, prompt, most_tokens, timeouts, ready_s)
    except ServiceError as found:
        return found.failure


def _warm_up(endpoint: Endpoint, model: str, timeouts: Timeouts) -> str:
    """Generate one token, and return the API path that this service supports."""
    paths = ["/api/generate"] if endpoint.api == "ollama" else ["/v1/chat/completions", "/v1/completions"]
    for api_path in paths:
        try:
            for _event, _arrived in _stream(endpoint, api_path, model, WARM_UP, 1, timeouts, rest_s=timeouts.token_s):
                pass
        except _UnsupportedPath as nothing:
            if api_path == paths[-1]:
                raise nothing.error from None
        else:
            return api_path
    raise AssertionError("one of the paths was returned or raised for")


def _measure_answer(
    endpoint: Endpoint, path: str, model: str, prompt: str, most_tokens: int, timeouts: Timeouts, ready_s: float
) -> Generation:
    texts: list[str] = []
    times: list[float] = []
    last = StreamEvent()
    tokens: int | None = None
    answering_model = ""
    started = time.monotonic()
    for event, arrived in _stream(endpoint, path, model, prompt, most_tokens, timeouts, rest_s=timeouts.all_s):
        if event.text:
            texts.append(event.text)
            times.append(arrived)
        if event.tokens is not None:
            tokens = event.tokens
        answering_model = event.model or answering_model
        last = event if event.ended else last
    text = endpoint.without_key("".join(texts))
    count = tokens or len(texts)
    first = times[0] if times else time.monotonic()
    decoding = times[-1] - first if times else 0.0
    ended = last.ended not in ("", "length")
    return Generation(
        text=text[:_MOST_TEXT],
        tokens=count,
        ended_by_itself=ended,
        ready_s=ready_s,
        first_token_ms=(first - started) * 1000,
        tokens_per_s=_speed(count, decoding, first - started),
        seconds=time.monotonic() - started,
        degeneration=find_degeneration(_as_ids(texts), text, ended_by_eos=ended),
        model=answering_model,
    )


def _speed(tokens: int, decoding: float, waiting: float) -> float | None:
    """Return tokens per second: after the first one, or over the whole answer if it came in one piece."""
    if tokens < 2:
        return None
    return (tokens - 1) / decoding if decoding > 0 else tokens / waiting if waiting > 0 else None


def _as_ids(texts: list[str]) -> list[int]:
    """Return a number for each piece of the answer, equal for equal pieces: a service does not return token ids."""
    pieces = texts if len(texts) >= 8 else _WORDS.findall("".join(texts))
    numbers: dict[str, int] = {}
    return [numbers.setdefault(piece, len(numbers)) for piece in pieces]


class _UnsupportedPath(Exception):
    """The service does not support this API path, but may support another."""

    def __init__(self, error: ServiceError) -> None:
        self.error = error


def _stream(
    endpoint: Endpoint, api_path: str, model: str, prompt: str, most_tokens: int, timeouts: Timeouts, *, rest_s: float
) -> Iterator[tuple[StreamEvent, float]]:
    """Yield the events of an answer, each with the time it arrived. Raises `ServiceError` and `_UnsupportedPath`."""
    path = endpoint.path(api_path)
    count, ended, text_count, out_of_time = 0, False, 0, False
    first_s = timeouts.first_s
    body = _body(api_path, model, prompt, most_tokens)
    try:
        with http_request(endpoint, path, timeouts, all_s=first_s + rest_s, idle_s=first_s, body=body) as reply:
            raise_for_status(reply, endpoint, path)
            if reply.status != 200:
                _raise_for_error(reply, endpoint, api_path, model)
            try:
                for event in _events(reply, endpoint):
                    count += 1
                    text_count += bool(event.text)
                    ended = ended or bool(event.ended)
                    if event.text:
                        reply.set_idle_timeout(timeouts.token_s)
                    if count > _MOST_EVENTS:
                        limit = f"{_MOST_EVENTS:,} pieces, asked for {most_tokens} tokens"
                        raise ServiceError("foreign", f"continues after {limit}")
                    yield event, reply.arrived
                    if ended and endpoint.api == "ollama":
                        break
            finally:
                out_of_time = reply.still_coming
    except ServiceError as found:
        if found.failure.kind == "silent":
            raise _timeout_error(text_count, most_tokens, out_of_time=out_of_time and text_count > 1) from found
        raise
    if not ended:
        if text_count == 0 and count == 0:
            raise ServiceError("foreign", f"answers {path} with an empty response")
        raise ServiceError("error", f"ends in the middle of its answer, after {text_count} piece(s), without a reason")


def _timeout_error(text_count: int, most_tokens: int, *, out_of_time: bool) -> ServiceError:
    """Return the error for an answer that did not come in time: not at all, in part, or too slowly."""
    evidence = {"pieces": text_count, "asked_for": most_tokens}
    so_far = f"{text_count} piece(s) of at most {most_tokens} token(s)"
    if out_of_time:
        return ServiceError("slow", f"was still generating when its time ran out: {so_far}", **evidence)
    if text_count:
        return ServiceError("silent", f"stopped in the middle of its answer, after {so_far}", **evidence)
    return ServiceError("silent", "accepts the prompt but generates nothing in time", **evidence)


def _events(reply: Reply, endpoint: Endpoint) -> Iterator[StreamEvent]:
    if endpoint.api == "openai" and reply.content_type == "application/json":
        text = reply.body()  # an answer in one piece, or an error
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise ServiceError("foreign", "answers the prompt with something that is not JSON") from None
        yield parse_event(value, endpoint)
        return
    yield from parse_stream(reply.lines(), endpoint)


def _raise_for_error(reply: Reply, endpoint: Endpoint, api_path: str, model: str) -> None:
    text_excerpt = error_text(reply, endpoint)
    status = reply.status
    lower = text_excerpt.lower()
    shown = printable(model, limit=100)
    if status in (400, 404) and "model" in lower and ("not found" in lower or "does not exist" in lower):
        raise ServiceError("missing", f"does not have {shown}: {text_excerpt}", status=status)
    error = ServiceError("error", f"answers the prompt with HTTP {status}: {text_excerpt or 'no text'}", status=status)
    if api_path.endswith("/chat/completions") and (status in (404, 405, 501) or "chat template" in lower):
        raise _UnsupportedPath(error)
    raise error


def _body(api_path: str, model: str, prompt: str, most_tokens: int) -> Mapping[str, Any]:
    if api_path == "/api/generate":
        options = {"num_predict": most_tokens, "temperature": 0}
        return {"model": model, "prompt": prompt, "stream": True, "options": options}
    common = {"model": model, "max_tokens": most_tokens, "temperature": 0, "stream": True}
    common["stream_options"] = {"include_usage": True}
    if api_path.endswith("/chat/completions"):
        return {**common, "messages": [{"role": "user", "content": prompt}]}
    return {**common, "prompt": prompt}
