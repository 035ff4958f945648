"""Reads JSON as strictly as the safetensors library does: what only Python's parser accepts is refused.

The library parses with serde_json: no NaN, no number beyond a double, no whole number `-0`, nothing nested deeper
than 127, no half of a surrogate pair. A file that only Python can read is one that no loader opens.
"""

from __future__ import annotations

import json
from typing import Any, Final

MOST_DEPTH: Final = 127


class Repeated(dict[str, Any]):
    """An object in which a name stands twice. The last one counts; `pairs` holds all, in order."""

    pairs: list[tuple[str, Any]]

    @property
    def names(self) -> list[str]:
        """The names that stand twice, in order."""
        seen: set[str] = set()
        return [k for k, _ in self.pairs if k in seen or seen.add(k)]  # type: ignore[func-returns-value]


def parse_strictly(raw: bytes) -> Any:
    """Return the JSON value in `raw`, objects with repeated names as `Repeated`.

    Whole numbers and depth are looked at by `refuse_odd`, for the parts where they may be odd: a header of a million
    entries must not be walked twice. Raises `ValueError`, `RecursionError`.
    """
    # `-0` is the one whole number that Python and serde_json read differently; asking for each number is slow.
    whole = _whole if b"-0" in raw else int
    return json.loads(
        raw.decode("utf-8"),
        object_pairs_hook=_pairs,
        parse_constant=_no_constant,
        parse_float=_finite,
        parse_int=whole,
    )


def refuse_odd(value: object, depth: int = 1) -> None:
    """Raise `ValueError` where a value is nested too deep, or holds half a surrogate or a number beyond a double.

    `depth` is that of the value itself: 1 for the outermost object.
    """
    if isinstance(value, str):
        refuse_half_surrogates(value)
    elif isinstance(value, int):
        try:
            float(value)
        except OverflowError as error:
            raise ValueError("a number is out of range") from error
    elif isinstance(value, (dict, list)):
        if depth > MOST_DEPTH:
            raise ValueError("it is nested too deep")
        items = value if isinstance(value, list) else [p for pair in pairs_of(value) for p in pair]
        for item in items:
            refuse_odd(item, depth + 1)


def pairs_of(value: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return all names and values of an object, those included that a later one of the same name replaces."""
    return value.pairs if isinstance(value, Repeated) else list(value.items())


def refuse_half_surrogates(text: str) -> None:
    r"""Raise `ValueError` where a text holds half of a surrogate pair, which JSON can write as `\ud800`."""
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError("a text holds half of a surrogate pair") from error


def _pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) == len(items):
        return found
    repeated = Repeated(found)
    repeated.pairs = items
    return repeated


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is out of range")
    return value


def _whole(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)
