"""What is no answer, and what only looks like none."""

from __future__ import annotations

import pytest

from sage_doctor.probe.degeneration import Degeneration, find_degeneration


@pytest.mark.parametrize(
    "ids, text, by_eos, expected",
    [
        ([], "", False, Degeneration(kind="empty", tokens=0)),
        ([1], "", True, Degeneration(kind="empty", tokens=1)),
        ([198] * 4, " \n\n ", False, Degeneration(kind="empty", tokens=4)),
        ([7] * 8, "a a a a a a a a", False, Degeneration(kind="one-token", period=1, tokens=8)),
        ([1, 2] + [7] * 16, "so a a a", False, Degeneration(kind="one-token", period=1, tokens=16)),
        ([9] + [1, 2, 3, 4] * 4, "loop", False, Degeneration(kind="loop", period=4, tokens=16)),
        ([1, 2, 3, 4, 5, 6, 7, 8] * 4, "loop", False, Degeneration(kind="loop", period=8, tokens=32)),
        ([9, *([1, 2, 3] * 6), 1], "loop", False, Degeneration(kind="loop", period=3, tokens=19)),
    ],
)
def test_no_answer_is_named(ids: list[int], text: str, by_eos: bool, expected: Degeneration) -> None:
    assert find_degeneration(ids, text, ended_by_eos=by_eos) == expected


@pytest.mark.parametrize(
    "ids, by_eos",
    [
        ([7], False),
        ([7] * 7, False),  # asked for few tokens
        ([1, *([7] * 15)], False),
        ([1, 2, 3, 4, 5, 6, 7, 8] * 3, False),  # a refrain
        ([*([1, 2, 3, 4] * 5), 9], False),  # it found out
        ([7] * 32, True),  # it ended by itself
        (list(range(32)), False),
        ([*range(9), *range(9), *range(9), *range(9)], False),  # too long a period to be sure
    ],
)
def test_an_answer_is_left_alone(ids: list[int], by_eos: bool) -> None:
    assert find_degeneration(ids, "words", ended_by_eos=by_eos) is None


def test_the_words_say_what_repeats() -> None:
    made = find_degeneration([1, 2, 3, 4] * 5, "words", ended_by_eos=False)
    assert made is not None
    assert made.description == "repeated the same 4 tokens to the end, 5 times"
