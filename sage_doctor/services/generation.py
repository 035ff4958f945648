"""A short generation by a service: asked, streamed, timed and judged."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sage_doctor.probe.degeneration import Degeneration, judge
from sage_doctor.services.endpoint import Endpoint, ServiceFailure, Timeouts, Troubled
from sage_doctor.services.events import StreamEvent, event_of, events_of
from sage_doctor.services.http_request import Reply, http_request, refuse, said
from sage_doctor.text import printable

WARM_UP = "Hi"
_MOST_TEXT = 2000
_MOST_EVENTS = 20_000
# A service that hands on what went wrong as if the model had said it.
_ERROR_TEXT = re.compile(
    r"\s*(?:\[(?:fatal )?error\]|(?:server |runtime |fatal )?error\s*[:\-(]|internal server error"
    r"|traceback \(most recent call last\)|(?-i:[A-Z]\w*(?:Error|Exception)): )",
    re.IGNORECASE,
)
_WORDS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What a service said. `ready_s` is how long the first token took it, loading the model included where it had to.

    `first_token_ms` and `tokens_per_s` are those of a second answer, as they are of a local model: after the load.
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
    endpoint: Endpoint, model: str, prompt: str, *, most_tokens: int, patience: Timeouts
) -> Generation | ServiceFailure:
    """Ask the model, first for one token and then for an answer. Never raises for what a service does.

    The first request is where a service loads the model that it was not asked for until now.
    """
    try:
        begun = time.monotonic()
        path = _warm_up(endpoint, model, patience)
        ready_s = time.monotonic() - begun
        return _answer(endpoint, path, model, prompt, most_tokens, patience, ready_s)
    except Troubled as found:
        return found.trouble


def _warm_up(endpoint: Endpoint, model: str, patience: Timeouts) -> str:
    """Have one token generated, and return the path of the request that this service answers."""
    paths = ["/api/generate"] if endpoint.api == "ollama" else ["/v1/chat/completions", "/v1/completions"]
    for rest in paths:
        try:
            for _event, _arrived in _stream(endpoint, rest, model, WARM_UP, 1, patience, rest_s=patience.token_s):
                pass
        except _NoSuchRequest as nothing:
            if rest == paths[-1]:
                raise nothing.troubled from None
        else:
            return rest
    raise AssertionError("one of the paths was returned or raised for")


def _answer(
    endpoint: Endpoint, path: str, model: str, prompt: str, most: int, patience: Timeouts, ready_s: float
) -> Generation:
    texts: list[str] = []
    times: list[float] = []
    last = StreamEvent()
    tokens: int | None = None
    answered = ""
    begun = time.monotonic()
    for event, arrived in _stream(endpoint, path, model, prompt, most, patience, rest_s=patience.all_s):
        if event.text:
            texts.append(event.text)
            times.append(arrived)
        if event.tokens is not None:
            tokens = event.tokens
        answered = event.model or answered
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
        first_token_ms=(first - begun) * 1000,
        tokens_per_s=_speed(count, decoding, first - begun),
        seconds=time.monotonic() - begun,
        degeneration=judge(_as_ids(texts), text, ended_by_eos=ended),
        model=answered,
    )


def _speed(tokens: int, decoding: float, waiting: float) -> float | None:
    """Return tokens per second: after the first one, or over all of it where everything came in one piece."""
    if tokens < 2:
        return None
    return (tokens - 1) / decoding if decoding > 0 else tokens / waiting if waiting > 0 else None


def _as_ids(texts: list[str]) -> list[int]:
    """Return numbers that are alike where pieces of the answer are: a service does not tell its tokens."""
    pieces = texts if len(texts) >= 8 else _WORDS.findall("".join(texts))
    numbers: dict[str, int] = {}
    return [numbers.setdefault(piece, len(numbers)) for piece in pieces]


class _NoSuchRequest(Exception):
    """The service does not answer this kind of request, and may answer another."""

    def __init__(self, troubled: Troubled) -> None:
        self.troubled = troubled


def _stream(
    endpoint: Endpoint, rest: str, model: str, prompt: str, most: int, patience: Timeouts, *, rest_s: float
) -> Iterator[tuple[StreamEvent, float]]:
    """Give what the service says, each with the time it came. Raises `Troubled` and `_NoSuchRequest`."""
    path = endpoint.path(rest)
    count, ended, spoken, over = 0, False, 0, False
    first_s = patience.first_s
    body = _body(rest, model, prompt, most)
    try:
        with http_request(endpoint, path, patience, all_s=first_s + rest_s, idle_s=first_s, body=body) as reply:
            refuse(reply, endpoint, path)
            if reply.status != 200:
                _refused(reply, endpoint, rest, model)
            try:
                for event in _events(reply, endpoint):
                    count += 1
                    spoken += bool(event.text)
                    ended = ended or bool(event.ended)
                    if event.text:
                        reply.wait(patience.token_s)
                    if count > _MOST_EVENTS:
                        raise Troubled("foreign", f"goes on after {_MOST_EVENTS:,} pieces, asked for {most} tokens")
                    yield event, reply.arrived
                    if ended and endpoint.api == "ollama":
                        break
            finally:
                over = reply.still_coming
    except Troubled as found:
        if found.trouble.ending == "silent":
            raise _late(spoken, most, over=over and spoken > 1) from found
        raise
    if not ended:
        if spoken == 0 and count == 0:
            raise Troubled("foreign", f"answers {path} with nothing at all")
        raise Troubled("error", f"ends in the midst of its answer, after {spoken} piece(s), without saying why")


def _late(spoken: int, most: int, *, over: bool) -> Troubled:
    """Return the trouble of an answer that did not come in time: not at all, in part, or too slowly."""
    told = {"pieces": spoken, "asked_for": most}
    if over:
        so_far = f"{spoken} piece(s) of at most {most} token(s)"
        return Troubled("slow", f"was still generating when the time for its answer was over: {so_far}", **told)
    if spoken:
        return Troubled(
            "silent", f"stopped in the midst of its answer, after {spoken} piece(s) of at most {most} token(s)", **told
        )
    return Troubled("silent", "takes the prompt and generates nothing in time", **told)


def _events(reply: Reply, endpoint: Endpoint) -> Iterator[StreamEvent]:
    if endpoint.api == "openai" and reply.content_type == "application/json":
        text = reply.body()  # an answer in one piece, or an error
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise Troubled("foreign", "answers the prompt with something that is no JSON") from None
        yield event_of(value, endpoint)
        return
    yield from events_of(reply.lines(), endpoint)


def _refused(reply: Reply, endpoint: Endpoint, rest: str, model: str) -> None:
    told = said(reply, endpoint)
    status = reply.status
    lower = told.lower()
    shown = printable(model, limit=100)
    if status in (400, 404) and "model" in lower and ("not found" in lower or "does not exist" in lower):
        raise Troubled("missing", f"does not have {shown}: {told}", status=status)
    troubled = Troubled("error", f"answers the prompt with HTTP {status}: {told or 'no text'}", status=status)
    if rest.endswith("/chat/completions") and (status in (404, 405, 501) or "chat template" in lower):
        raise _NoSuchRequest(troubled)
    raise troubled


def _body(rest: str, model: str, prompt: str, most: int) -> Mapping[str, Any]:
    if rest == "/api/generate":
        options = {"num_predict": most, "temperature": 0}
        return {"model": model, "prompt": prompt, "stream": True, "options": options}
    common = {"model": model, "max_tokens": most, "temperature": 0, "stream": True}
    common["stream_options"] = {"include_usage": True}
    if rest.endswith("/chat/completions"):
        return {**common, "messages": [{"role": "user", "content": prompt}]}
    return {**common, "prompt": prompt}
