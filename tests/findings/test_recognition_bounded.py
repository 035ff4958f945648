"""Searching an error text takes time in proportion to it, whatever the text is: a log may hold a stranger's bytes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sage_doctor.findings.log_window import plain_text
from sage_doctor.findings.message_pattern import MessagePattern
from sage_doctor.findings.recognition import patterns

PATTERNS = {p.compiled.pattern.decode(): p for p in patterns()}
MOST_STEPS = 3_100  # from one place of a text
MOST_WORD = 500
CHARACTERS = "x1/ '\".:-_=<>|\\\t\n(\x1b["
PROGRAM = """
import sys
from sage_doctor.findings.recognition import search
for part in sys.argv[1:]:
    search((part * 20_000)[:20_000])
"""


def parse(pattern: str) -> Any:
    for name in ("re._parser", "sre_parse"):  # its name before Python 3.11
        try:
            return importlib.import_module(name).parse(pattern)
        except ModuleNotFoundError:
            continue
    raise AssertionError


def repeats(tree: Any, *, inside: bool = False) -> Iterator[tuple[int, bool]]:
    """Yield how often each part of a pattern may repeat, and whether it lies in another that may."""
    for operation, value in tree:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, part = value
            limit = MOST_WORD if str(most) == "MAXREPEAT" else int(most)
            if most != least and limit > 1:
                yield limit, inside
            yield from repeats(part, inside=inside or limit > 1)
        elif name == "SUBPATTERN":
            yield from repeats(value[3], inside=inside)
        elif name == "BRANCH":
            for branch in value[1]:
                yield from repeats(branch, inside=inside)
        elif name in ("ASSERT", "ASSERT_NOT"):
            yield from repeats(value[1], inside=inside)


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_a_pattern_has_a_word_by_which_it_is_looked_up(pattern: MessagePattern) -> None:
    assert pattern.words


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_takes_few_steps_from_any_place(pattern: str) -> None:
    found = list(repeats(parse(pattern)))
    assert not any(inside for _, inside in found), "a repetition in a repetition"
    assert ".*" not in pattern, "say how far it may reach: .{0,300}?"
    assert ".+" not in pattern, "say how far it may reach: .{1,300}?"
    assert sum(limit for limit, _ in found) <= MOST_STEPS


def test_what_an_open_repetition_can_match_is_short() -> None:
    plain = plain_text(b"a" * 5_000 + b" \n\t " * 5_000 + b"\x1b[31m" + b"b" * 5_000)
    assert max(map(len, plain.split())) == MOST_WORD
    assert not any(pair in plain for pair in (b"  ", b" \n", b"\n ", b"\n\n"))


def test_runs_of_each_kind_of_character_are_searched_in_bounded_time() -> None:
    starts = [p.split(".{")[0].replace("\\s", " ").replace("\\", "") for p in PATTERNS if ".{" in p]
    worst = [*CHARACTERS, "ImportError:" + " " * 4_000, *(f"{s} " for s in starts[:: len(starts) // 8])]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *worst], timeout=120, check=False)
    assert done.returncode == 0
