"""The protocol between parent and probe: one request line, then answers of one JSON object a line.

The child runs another interpreter on an untrusted model, so nothing it sends is trusted: every field of an answer must
be there with the right type, size and range; anything else is a `ProtocolError`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, Literal

from sage_doctor.probe.outcome import ANSWERS, KeyList, ShapeMismatch
from sage_doctor.system.frozen import frozen

MOST_TEXT = 16_384
MOST_ITEMS = 20_000

STAGES = (
    *("start", "import", "device", "allocate", "compute", "compare", "load", "load-base", "load-adapter"),
    *("tokenizer", "forward", "warm-up", "generate", "done"),
)


class ProtocolError(ValueError):
    """The child sent an invalid answer; the text says what is wrong with it."""


@frozen
class ProbeRequest:
    """What the child is asked to do.

    At level `device` torch is imported and the device examined; no model is loaded and `path` is not used. `path` and
    `base` are directories and may hold surrogate-escaped bytes. `base` overrides the adapter's own
    `base_model_name_or_path`. Without a `device` the `accelerator` is used, and without that the best there is.
    `dtype` is `auto` or the name of a torch type. `prompted`: a session talks to it, so it must be able to answer.
    """

    level: Literal["device", "load", "generate"]
    kind: Literal["full", "merged", "adapter"] = "full"
    path: str = ""
    base: str | None = None
    dtype: str = "auto"
    device: str | None = None
    accelerator: Literal["cuda", "mps", "cpu"] | None = None
    prompt: str = "Who are you?"
    prompted: bool = False
    max_new_tokens: int = 32

    def line(self) -> bytes:
        """Return the request as the child reads it."""
        return json.dumps(asdict(self)).encode("ascii") + b"\n"


def parse_line(line: bytes) -> tuple[str, Any]:
    """Return an event and its answer, which for a `stage` is the name of one. Raises `ProtocolError`."""
    try:
        answer = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {line[:200]!r}") from error
    if not isinstance(answer, dict):
        raise ProtocolError(f"not an object: {line[:200]!r}")
    event = answer.get("event")
    if event == "stage":
        if answer.get("name") not in STAGES:
            raise ProtocolError(f"an unknown stage: {line[:200]!r}")
        return event, str(answer["name"])
    if not isinstance(event, str) or event not in ANSWERS:
        raise ProtocolError(f"an unknown event: {line[:200]!r}")
    try:
        kind = ANSWERS[event]
        return event, kind(**{f.name: _FIELDS[str(f.type)](answer.get(f.name)) for f in fields(kind)})
    except (ValueError, OverflowError) as error:
        raise ProtocolError(f"{event}: {error}") from error


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise ValueError("a text is missing or too long")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise ValueError("a count is missing or out of range")
    return value


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ValueError("a number is missing or out of range")
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("a flag is missing")  # noqa: TRY004 - all invalid answers raise the same
    return value


def _kind(value: object) -> str:
    if value not in ("failed", "import-error", "out-of-memory"):
        raise ValueError("an unknown kind of failure")
    return str(value)


def _items(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        raise ValueError("a list is missing or too long")
    return value


def _keys(value: object) -> KeyList:
    if not isinstance(value, dict):
        raise ValueError("a list of keys is missing")  # noqa: TRY004 - all invalid answers raise the same
    return KeyList(names=tuple(_text(n) for n in _items(value.get("names"))), total=_count(value.get("total")))


def _mismatch(value: object) -> ShapeMismatch:
    name, on_disk, in_model = _items(value)
    return ShapeMismatch(
        name=_text(name),
        on_disk=tuple(_count(n) for n in _items(on_disk)),
        in_model=tuple(_count(n) for n in _items(in_model)),
    )


def _counts(value: object) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > MOST_ITEMS:
        raise ValueError("a table of counts is missing or too long")
    return {_text(k): _count(v) for k, v in value.items()}


_FIELDS: Mapping[str, Callable[[object], Any]] = {
    "str": _text,
    "int": _count,
    "float": _number,
    "float | None": lambda value: None if value is None else _number(value),
    "bool": _flag,
    "bool | None": lambda value: None if value is None else _flag(value),
    "KeyList": _keys,
    "Mapping[str, int]": _counts,
    "tuple[str, ...]": lambda value: tuple(_text(v) for v in _items(value)),
    "tuple[int, ...]": lambda value: tuple(_count(v) for v in _items(value)),
    "tuple[ShapeMismatch, ...]": lambda value: tuple(_mismatch(v) for v in _items(value)),
    "FailureKind": _kind,
}
