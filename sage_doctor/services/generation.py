"""A short generation by a service: asked, streamed, timed and judged."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from sage_doctor.probe.degeneration import Degeneration, find_degeneration
from sage_doctor.services.dialect import Dialect
from sage_doctor.services.endpoint import Endpoint, ServiceError, ServiceFailure, Timeouts
from sage_doctor.services.events import DONE, StreamEvent, parse_stream
from sage_doctor.services.http_request import Reply, error_body, excerpt, http_request
from sage_doctor.services.statuses import once_loaded, raise_for_status
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
# vLLM, OpenAI, Ollama, LM Studio and llama.cpp's router; LiteLLM; `transformers serve` with a model of its own;
# `mlx_lm.server`, which asks the Hub; llama-swap; OpenRouter; tabbyAPI.
_NO_MODEL = re.compile(
    r"\bmodel\b.{0,120}?(?:\bnot found\b|\bdoes not exist\b)|\bno models? (?:is |are )?(?:currently )?loaded\b"
    r"|\bmodel (?:is |was )?unloaded\b"
    r"|\binvalid model name\b|\bserver is pinned to\b|\brepository not found\b|\bnot a valid model id\b"
    r"|\bcould not find (?:real )?model|\bno (?:router|handler) for requested model\b",
    re.IGNORECASE | re.DOTALL,
)
# LiteLLM, one-api and LocalAI, Open WebUI: what they pass requests on to does not answer, and they say so with 500.
_NOT_REACHED = re.compile(
    r"\bcannot connect to host\b|\bconnection refused\b|Exception - Connection error\b|\bdo request failed\b"
    r"|\bserver connection error\b|\bcode = Unavailable\b",
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
        dialect, _ = once_loaded(lambda: _warm_up(endpoint, model, timeouts), timeouts)
        ready_s = time.monotonic() - started
        return _measure_answer(endpoint, dialect, model, prompt, most_tokens, timeouts, ready_s)
    except ServiceError as found:
        return found.failure


def _warm_up(endpoint: Endpoint, model: str, timeouts: Timeouts) -> Dialect:
    """Generate one token, and return in which dialect this service was asked."""
    dialect, refused = Dialect.first(endpoint), None
    while True:
        try:
            for _event, _arrived in _stream(endpoint, dialect, model, WARM_UP, 1, timeouts, rest_s=timeouts.token_s):
                pass
        except _NotUnderstood as refusal:
            refused, dialect = refused or refusal, refusal.instead
        except ServiceError as found:
            # An older form of the request that is not known either says nothing: the first refusal does.
            raise (refused if refused is not None and found.failure.kind == "foreign" else found) from None
        else:
            return dialect


def _measure_answer(
    endpoint: Endpoint, dialect: Dialect, model: str, prompt: str, most_tokens: int, timeouts: Timeouts, ready_s: float
) -> Generation:
    texts: list[str] = []
    times: list[float] = []
    last = StreamEvent()
    tokens: int | None = None
    hidden = 0
    answering_model = ""
    started = time.monotonic()
    for event, arrived in _stream(endpoint, dialect, model, prompt, most_tokens, timeouts, rest_s=timeouts.all_s):
        if event.text:
            texts.append(event.text)
            times.append(arrived)
        if event.tokens is not None:
            tokens = event.tokens
        hidden = event.hidden or hidden
        answering_model = event.model or answering_model
        last = event if event.ended and not last.ended else last
    text = endpoint.without_key("".join(texts))
    count = tokens or len(texts)
    first = times[0] if times else time.monotonic()
    decoding = times[-1] - first if times else 0.0
    ended = last.ended not in ("", "length", DONE)
    return Generation(
        text=text[:_MOST_TEXT],
        tokens=count,
        ready_s=ready_s,
        first_token_ms=(first - started) * 1000,
        tokens_per_s=_speed(count, decoding, first - started),
        seconds=time.monotonic() - started,
        # A model that still thought when its tokens were used up has generated something, which is not shown.
        degeneration=None if hidden and not text else find_degeneration(_as_ids(texts), text, ended_by_eos=ended),
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


class _NotUnderstood(ServiceError):
    """The service does not understand this form of the request, and may understand another."""

    def __init__(self, refusal: ServiceFailure, instead: Dialect) -> None:
        super().__init__(refusal.kind, refusal.message, **refusal.evidence)
        self.instead = instead


def _stream(
    endpoint: Endpoint,
    dialect: Dialect,
    model: str,
    prompt: str,
    most_tokens: int,
    timeouts: Timeouts,
    *,
    rest_s: float,
) -> Iterator[tuple[StreamEvent, float]]:
    """Yield the events of an answer, each with the time it arrived. Raises `ServiceError` and `_NotUnderstood`."""
    path = endpoint.path(dialect.path)
    count, ended, text_count, out_of_time = 0, False, 0, False
    first_s = timeouts.first_s
    body = dialect.body(model, prompt, most_tokens)
    try:
        with http_request(endpoint, path, timeouts, all_s=first_s + rest_s, idle_s=first_s, body=body) as reply:
            raise_for_status(reply, endpoint, path)
            if not reply.succeeded:
                _raise_for_error(reply, endpoint, dialect, model)
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
        raise _with_progress(found, text_count, most_tokens, out_of_time=out_of_time and text_count > 1) from None
    if not ended:
        if text_count == 0 and count == 0:
            raise ServiceError("foreign", f"answers {path} with an empty response")
        raise ServiceError("error", f"ends in the middle of its answer, after {text_count} piece(s), without a reason")


def _with_progress(found: ServiceError, text_count: int, most_tokens: int, *, out_of_time: bool) -> ServiceError:
    """Return the error for an answer that did not come in time: not at all, in part, or too slowly. Others stay."""
    kind = found.failure.kind
    if kind not in ("silent", "unfinished") or "status" in found.failure.evidence:
        return found
    evidence = {"pieces": text_count, "asked_for": most_tokens}
    so_far = f"{text_count} piece(s) of at most {most_tokens} token(s)"
    if kind == "unfinished":
        state = f"had not finished its answer, after {so_far}," if text_count else "had not generated anything"
        return ServiceError(kind, state, **evidence)
    if out_of_time:
        return ServiceError("slow", f"was still generating when its time ran out: {so_far}", **evidence)
    if text_count:
        return ServiceError("silent", f"stopped in the middle of its answer, after {so_far}", **evidence)
    return ServiceError("silent", "accepts the prompt but generates nothing in time", **evidence)


def _events(reply: Reply, endpoint: Endpoint) -> Iterator[StreamEvent]:
    lines = reply.lines()
    first = next((line for line in lines if line.strip()), "")
    if endpoint.api == "openai" and first.lstrip().startswith("{"):
        whole = [first, *lines]  # an answer in one piece, or an error, whatever the content type says
        text = " ".join(whole)
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text)
            whole = [text]
        lines = iter(whole)
    else:
        lines = itertools.chain([first], lines)
    yield from parse_stream(lines, endpoint)


def _raise_for_error(reply: Reply, endpoint: Endpoint, dialect: Dialect, model: str) -> None:
    body = error_body(reply)
    text = excerpt(body, endpoint)
    status = reply.status
    shown = printable(model, limit=100)
    if status in (400, 404, 422, 502) and (_NO_MODEL.search(text) or '"model_not_found"' in body):
        raise ServiceError("missing", f"does not have {shown}: {text}", status=status)
    refusal = ServiceError("error", f"answers the prompt with HTTP {status}: {text or 'no text'}", status=status)
    if status in (404, 405):
        question = 'is it really api = "ollama", not "openai"?' if endpoint.api == "ollama" else text or "no text"
        message = f"answers HTTP {status} to {endpoint.path(dialect.path)}: {question}"
        refusal = ServiceError("foreign", message, status=status)
    elif status >= 500 and _NOT_REACHED.search(text):
        message = f"does not reach what it passes requests on to (HTTP {status}: {text})"
        refusal = ServiceError("gateway", message, status=status)
    instead = dialect.after_refusal(status, text)
    raise refusal if instead is None else _NotUnderstood(refusal.failure, instead)
