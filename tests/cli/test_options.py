"""Every option that takes a time takes it in the same words."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from sage_doctor.cli.app import COMMANDS, build_parser, command
from sage_doctor.errors import UsageError

TIMES = [
    ("check", "--timeout"), ("gate", "--timeout"), ("gate", "--stage-timeout"), ("gate", "--max-age"),
    ("gate", "--wait"), ("merge", "--wait"), ("install", "--timeout"), ("report", "--max-age"),
    ("fleet check", "--timeout"),
]  # fmt: skip
NEEDED = {"report": ["f"], "fleet check": ["-i", "x"], "gate": ["r"], "merge": ["a", "--out", "o"], "install": ["cron"]}


def options() -> Iterator[tuple[str, argparse.Action]]:
    for name in COMMANDS:
        parser = argparse.ArgumentParser()
        command(name).add_options(parser)
        yield from ((name, action) for action in parser._actions)


def given(name: str, option: str, text: str) -> float | None:
    parsed = build_parser({}, only=name).parse_args([name, *NEEDED.get(name, []), option, text])
    value: float | None = getattr(parsed, option.strip("-").replace("-", "_"))
    return value


def test_no_option_takes_a_time_in_words_of_its_own() -> None:
    found = [(name, action.option_strings[-1]) for name, action in options() if action.metavar == "TIME"]
    assert sorted(found) == sorted(TIMES)
    assert [name for name, action in options() if action.metavar == "SECONDS" or action.type is float] == []


@pytest.mark.parametrize("name, option", TIMES)
def test_times_are_understood(name: str, option: str) -> None:
    texts = {"90s": 90, "2m": 120, "90": 90, "1h 30m": 5400, "1D": 86400}
    assert {text: given(name, option, text) for text in texts} == texts


@pytest.mark.parametrize("name, option", TIMES)
@pytest.mark.parametrize("text", ["soon", "", "-5", "1 fortnight", "nan", "9000w"])
def test_anything_else_is_wrong_usage(name: str, option: str, text: str) -> None:
    with pytest.raises(UsageError, match=option):
        given(name, f"{option}={text}" if text.startswith("-") else option, text)


def test_only_the_wait_of_a_merge_may_be_nothing() -> None:
    assert (given("merge", "--wait", "0"), given("merge", "--wait", "0s")) == (0, 0)
    for name, option in TIMES:
        if name != "merge":
            with pytest.raises(UsageError, match="length of time"):
                given(name, option, "0")


def test_the_environment_says_it_in_the_same_words() -> None:
    assert build_parser({"SAGE_DOCTOR_TIMEOUT": "2m"}, only="check").parse_args(["check"]).timeout == 120
    assert build_parser({"SAGE_DOCTOR_WAIT": "0"}, only="merge").parse_args(["merge", "a", "--out", "o"]).wait == 0
