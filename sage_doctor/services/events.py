"""The events of a streamed answer, line by line: server-sent events of the OpenAI API, JSON lines of Ollama."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sage_doctor.services.endpoint import Endpoint, ServiceError
from sage_doctor.services.http_request import error_message, excerpt

# Why an answer ended that is complete, of a server that gives no reason.
DONE = "done"
# Why it ended where the server itself gave up: vLLM, OpenRouter, LiteLLM.
_FAILED = ("error", "abort")


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """One event of a stream: some text, and at the end why it ended (`stop`, `length`) and how many tokens it had."""

    text: str = ""
    ended: str = ""
    tokens: int | None = None
    model: str = ""


def parse_stream(lines: Iterable[str], endpoint: Endpoint) -> Iterator[StreamEvent]:
    """Yield the events of a stream as they arrive. Raises `ServiceError` for an error, and for what is not a stream."""
    strange: list[str] = []
    started = False
    for line, data in _messages(lines, endpoint):
        if data == "[DONE]":
            if started:
                yield StreamEvent(ended=DONE)
            return
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            if started:
                raise ServiceError(
                    "foreign", f"interrupts its answer with something that is not JSON: {excerpt(line, endpoint)}"
                ) from None
            strange.append(line)
            if len(strange) >= 20:
                break
            continue
        if strange:
            break
        started = True
        yield parse_event(value, endpoint)
    if strange:
        raise _no_stream("\n".join(strange), endpoint)


def _messages(lines: Iterable[str], endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """Yield the lines that hold something, each with its text. Raises `ServiceError` for what is marked as an error."""
    event = ""
    for line in lines:
        if endpoint.api != "openai":
            if line.strip():
                yield line, line.strip()
            continue
        field, _, rest = line.partition(":")
        rest = rest.strip()
        if field == "event" or not line:
            event = rest
        elif rest and (field == "error" or (field == "data" and event == "error")):
            # llama.cpp until 2025 had a field `error` of its own, others call the event so.
            raise ServiceError("error", f"answers the prompt with an error: {excerpt(rest, endpoint)}")
        elif field == "data":
            if rest:
                yield line, rest
        elif line.strip() and field not in ("", "id", "retry"):
            yield line, line.strip()


def _no_stream(text: str, endpoint: Endpoint) -> ServiceError:
    shown_text = excerpt(text, endpoint)
    kind = "foreign" if shown_text == "a web page" or text.lstrip().startswith(("{", "[", "data:")) else "error"
    what = "something that is not JSON" if kind == "foreign" else "text instead of an answer"
    return ServiceError(kind, f"answers the prompt with {what}: {shown_text}")  # type: ignore[arg-type]


def parse_event(value: object, endpoint: Endpoint) -> StreamEvent:
    """Return the event in one JSON message. Raises `ServiceError` for an error and for unexpected JSON."""
    error = error_message(value)
    if error is not None:
        raise ServiceError("error", f"answers the prompt with an error: {excerpt(error, endpoint)}")
    event = None
    if isinstance(value, dict):
        event = _of_openai(value) if endpoint.api == "openai" else _of_ollama(value)
    if event is None:
        shown_text = excerpt(json.dumps(value), endpoint)
        raise ServiceError("foreign", f"answers the prompt with unexpected JSON: {shown_text}")
    return event


def _of_openai(value: dict[str, Any]) -> StreamEvent | None:
    choices = value.get("choices")
    if not isinstance(choices, list):
        return None
    first = choices[0] if choices and isinstance(choices[0], dict) else {}
    part = first.get("delta") or first.get("message") or {}
    texts = [first.get("text")]
    if isinstance(part, dict):
        # The reasoning of a model is generated too, and may be all that fits into a short answer.
        texts += [part.get("reasoning_content"), part.get("reasoning"), part.get("content")]
        texts += _tool_calls(part.get("tool_calls"))
    if first.get("finish_reason") in _FAILED:
        raise ServiceError("error", f"ends its answer with the reason {first['finish_reason']}")
    usage = value.get("usage")
    return StreamEvent(
        text="".join(t for t in texts if isinstance(t, str)),
        ended=_word(first.get("finish_reason")),
        tokens=_count(usage.get("completion_tokens")) if isinstance(usage, dict) else None,
        model=_word(value.get("model")),
    )


def _tool_calls(calls: object) -> list[Any]:
    """Return what a model generated as calls of tools: that is no text, but it did not say nothing."""
    functions = [c.get("function") for c in calls if isinstance(c, dict)] if isinstance(calls, list) else []
    return [text for f in functions if isinstance(f, dict) for text in (f.get("name"), f.get("arguments"))]


def _of_ollama(value: dict[str, Any]) -> StreamEvent | None:
    if "response" not in value and "done" not in value:
        return None
    texts = (value.get("thinking"), value.get("response"))
    done = value.get("done") is True
    return StreamEvent(
        text="".join(t for t in texts if isinstance(t, str)),
        ended=(_word(value.get("done_reason")) or "stop") if done else "",
        tokens=_count(value.get("eval_count")),
        model=_word(value.get("model")),
    )


def _word(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else None
