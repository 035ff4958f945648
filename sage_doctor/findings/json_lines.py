"""Logs of one JSON object a line: their messages, with line breaks where JSON has them escaped.

What such a line says takes its place, in lines of its own that do not count as lines of the log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

INNER_END: Final = b"\f"  # ends a line that an editor does not count

_MOST_LINE: Final = 1 << 18
_LINE: Final = re.compile(rb"^[^\n{\"\x27]{0,120}(\{\s?\"[^\n]*\})\s*?$", re.MULTILINE)
_FIELD: Final = re.compile(rb"\"([\w.-]{1,80})\"\s?:\s?(\"[^\"\\\n]*(?:\\[^\n][^\"\\\n]*)*\")")
_SAYING: Final = re.compile(
    rb"(?:[\w.]{0,40}[._])?(?:msg|message|event|log|line|errors?|err|reason|details?|exc|exc_info|exception|stack|stacktrace"
    rb"|stack_?info|stack_trace|traceback|stdout|stderr|output|cause|text_?payload)",
    re.IGNORECASE,
)
_DECODER: Final = json.JSONDecoder(strict=False)


def unfolded(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a log that comes in parts of any size, with what its JSON lines say behind each."""
    kept = b""
    for part in parts:
        text = kept + part
        end = text.rfind(b"\n") + 1 or (len(text) if len(text) > _MOST_LINE else 0)
        kept = text[end:]
        yield _unfold(text[:end])
    yield _unfold(kept)


def _unfold(text: bytes) -> bytes:
    return _LINE.sub(_with_messages, text) if b'{"' in text or b'{ "' in text else text


def _with_messages(line: re.Match[bytes]) -> bytes:
    said = [_decoded(value) for name, value in _FIELD.findall(line[1]) if _is_saying(name)]
    whole = [line[0]] if not said or b'"error"' in line[0] else []  # a service's answer is known by its form
    return INNER_END.join([*whole, *said])


@lru_cache(maxsize=1000)
def _is_saying(name: bytes) -> bool:
    return _SAYING.fullmatch(name) is not None


def _decoded(value: bytes) -> bytes:
    """Return what a JSON string says, its lines ended so that they do not count as lines of the log."""
    if b"\\" not in value:
        return value[1:-1]
    try:
        text = _DECODER.decode(value.decode("utf-8", "replace"))
    except ValueError:
        return b""
    return INNER_END.join(str(text).encode("utf-8", "replace").splitlines())
