"""What a stream of an answer says, line by line: server-sent events of the OpenAI API, JSON lines of Ollama."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sage_doctor.services.endpoint import Endpoint, Troubled
from sage_doctor.services.http_request import error_of, shown


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """One message of a stream: some text, and at the end why it ended (`stop`, `length`) and how many tokens it had."""

    text: str = ""
    ended: str = ""
    tokens: int | None = None
    model: str = ""


def events_of(lines: Iterable[str], endpoint: Endpoint) -> Iterator[StreamEvent]:
    """Give the messages of a stream as they come. Raises `Troubled` for an error in it, and for what is no stream."""
    strange: list[str] = []
    begun = False
    for line in lines:
        data = _data(line, endpoint)
        if data is None:
            continue
        if data == "[DONE]":
            return
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            if begun:
                raise Troubled(
                    "foreign", f"breaks off its answer with something that is no JSON: {shown(line, endpoint)}"
                ) from None
            strange.append(line)
            if len(strange) >= 20:
                break
            continue
        if strange:
            break
        begun = True
        yield event_of(value, endpoint)
    if strange:
        raise _no_stream("\n".join(strange), endpoint)


def _data(line: str, endpoint: Endpoint) -> str | None:
    """Return the JSON text in a line, or None where it holds none: comments, names of events, empty lines."""
    if endpoint.api == "openai":
        if line.startswith("data:"):
            return line[5:].strip() or None
        if line.startswith((":", "event:", "id:", "retry:")):
            return None
    return line.strip() or None


def _no_stream(text: str, endpoint: Endpoint) -> Troubled:
    told = shown(text, endpoint)
    ending = "foreign" if told == "a web page" or text.lstrip().startswith(("{", "[", "data:")) else "error"
    what = "something that is no JSON" if ending == "foreign" else "text instead of an answer"
    return Troubled(ending, f"answers the prompt with {what}: {told}")  # type: ignore[arg-type]


def event_of(value: object, endpoint: Endpoint) -> StreamEvent:
    """Return what one JSON message says. Raises `Troubled` for an error and for a message of another shape."""
    error = error_of(value)
    if error is not None:
        raise Troubled("error", f"answers the prompt with an error: {shown(error, endpoint)}")
    event = None
    if isinstance(value, dict):
        event = _of_openai(value) if endpoint.api == "openai" else _of_ollama(value)
    if event is None:
        told = shown(json.dumps(value), endpoint)
        raise Troubled("foreign", f"answers the prompt with JSON of another shape: {told}")
    return event


def _of_openai(value: dict[str, Any]) -> StreamEvent | None:
    choices = value.get("choices")
    if not isinstance(choices, list):
        return None
    first = choices[0] if choices and isinstance(choices[0], dict) else {}
    part = first.get("delta") or first.get("message") or {}
    texts = [first.get("text")]
    if isinstance(part, dict):
        # What a reasoning model thinks is generated too, and may be all that fits into a short answer.
        texts += [part.get("reasoning_content"), part.get("reasoning"), part.get("content")]
    usage = value.get("usage")
    return StreamEvent(
        text="".join(t for t in texts if isinstance(t, str)),
        ended=_word(first.get("finish_reason")),
        tokens=_count(usage.get("completion_tokens")) if isinstance(usage, dict) else None,
        model=_word(value.get("model")),
    )


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
