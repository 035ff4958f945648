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
    """One event of a stream: some text, and at the end why it ended (`stop`, `length`) and how many tokens it had.

    `hidden` is how many of them the model thought, which a service may keep to itself.
    """

    text: str = ""
    ended: str = ""
    tokens: int | None = None
    hidden: int = 0
    model: str = ""


def parse_stream(lines: Iterable[str], endpoint: Endpoint) -> Iterator[StreamEvent]:
    """Yield the events of a stream as they arrive. Raises `ServiceError` for an error, and for what is not a stream.

    JSON that is no part of an answer (a ping, null) is passed over, as clients do, unless nothing else comes.
    """
    strange: list[str] = []
    unexpected: list[str] = []
    started = False
    for line, data in _messages(lines, endpoint):
        if data == "[DONE]":
            if started:
                yield StreamEvent(ended=DONE)
            break
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
        event = parse_event(value, endpoint)
        if event is None:
            unexpected.append(line)
        else:
            started = True
            yield event
    if not started and (strange or unexpected):
        raise _no_stream(strange, unexpected, endpoint)


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


def _no_stream(strange: list[str], unexpected: list[str], endpoint: Endpoint) -> ServiceError:
    if not strange:
        shown_text = excerpt(unexpected[0].removeprefix("data:").strip(), endpoint)
        return ServiceError("foreign", f"answers the prompt with unexpected JSON: {shown_text}")
    text = "\n".join(strange)
    shown_text = excerpt(text, endpoint)
    kind = "foreign" if shown_text == "a web page" or text.lstrip().startswith(("{", "[", "data:")) else "error"
    what = "something that is not JSON" if kind == "foreign" else "text instead of an answer"
    return ServiceError(kind, f"answers the prompt with {what}: {shown_text}")  # type: ignore[arg-type]


def parse_event(value: object, endpoint: Endpoint) -> StreamEvent | None:
    """Return the event in one JSON message, None if it is no part of an answer. Raises `ServiceError` for an error."""
    error = error_message(value)
    if error is not None:
        raise ServiceError("error", f"answers the prompt with an error: {excerpt(error, endpoint)}")
    if not isinstance(value, dict):
        return None
    return _of_openai(value) if endpoint.api == "openai" else _of_ollama(value)


def _of_openai(value: dict[str, Any]) -> StreamEvent | None:
    # Some gateways send the count of tokens with `choices` of null, or without: github.com/cline/cline/pull/8518
    choices, usage = value.get("choices"), value.get("usage")
    if not isinstance(choices, list) and not isinstance(usage, dict):
        return None
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    part = first.get("delta") or first.get("message") or {}
    texts = [first.get("text")]
    if isinstance(part, dict):
        # The reasoning of a model is generated too, and may be all that fits into a short answer.
        texts += [part.get("reasoning_content"), part.get("reasoning"), part.get("content")]
        texts += _tool_calls(part.get("tool_calls"))
    if first.get("finish_reason") in _FAILED:
        raise ServiceError("error", f"ends its answer with the reason {first['finish_reason']}")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("completion_tokens_details")
    return StreamEvent(
        text="".join(map(_plain, texts)),
        ended=_word(first.get("finish_reason")),
        tokens=_count(usage.get("completion_tokens")),
        hidden=(_count(details.get("reasoning_tokens")) or 0) if isinstance(details, dict) else 0,
        model=_word(value.get("model")),
    )


def _plain(part: object) -> str:
    """Return the text of a part of an answer, which may be a list of texts and of what was thought before (Mistral)."""
    if isinstance(part, list):
        return "".join(_plain(p.get("text") or p.get("thinking")) for p in part if isinstance(p, dict))
    return part if isinstance(part, str) else ""


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
