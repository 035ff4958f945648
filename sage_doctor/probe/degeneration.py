"""Detecting degenerate generations: no text, one token repeated, or a loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sage_doctor.system.frozen import frozen

DegenerationKind = Literal["empty", "one-token", "loop"]

# Shorter repetitions may be intended: a line of dashes, a refrain, "no, no, no".
LEAST_TOKENS = 16
LEAST_REPEATS = 4
LONGEST_PERIOD = 8
LEAST_TOKENS_ALL_ALIKE = 8


@frozen
class Degeneration:
    """How a generation degenerated. `period` is the length of what repeats, `tokens` how many tokens repeat."""

    kind: DegenerationKind
    period: int = 0
    tokens: int = 0

    @property
    def description(self) -> str:
        """What happened, as the end of a sentence that begins with `the model`."""
        if self.kind == "empty":
            return "generated no text"
        if self.kind == "one-token":
            return f"repeated one token {self.tokens} times, to the end"
        return f"repeated the same {self.period} tokens to the end, {self.tokens // self.period} times"


def find_degeneration(token_ids: Sequence[int], text: str, *, ended_by_eos: bool) -> Degeneration | None:
    """Return how a greedy generation degenerated, or None where it did not.

    A model that ended by itself is not in a loop, whatever it repeated before. Scores that are not finite show as one
    repeated token: greedy decoding of NaN always picks the same one.
    """
    if not text.strip():
        return Degeneration(kind="empty", tokens=len(token_ids))
    if ended_by_eos:
        return None
    for period in range(1, LONGEST_PERIOD + 1):
        tokens = _repeating_tail(token_ids, period)
        if period == 1 and tokens == len(token_ids) >= LEAST_TOKENS_ALL_ALIKE:
            return Degeneration(kind="one-token", period=1, tokens=tokens)
        if tokens >= LEAST_TOKENS and tokens // period >= LEAST_REPEATS:
            return Degeneration(kind="one-token" if period == 1 else "loop", period=period, tokens=tokens)
    return None


def _repeating_tail(token_ids: Sequence[int], period: int) -> int:
    """Return how many tokens at the end repeat with this period, the first occurrence included."""
    if len(token_ids) <= period:
        return 0
    start = len(token_ids) - period
    while start > 0 and token_ids[start - 1] == token_ids[start - 1 + period]:
        start -= 1
    return len(token_ids) - start
