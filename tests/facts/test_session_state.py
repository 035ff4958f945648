"""State files as sessions leave them, whole and broken."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from sage_doctor.facts.session_state import read_session_state

OLD = 1_600_000_000


def state(directory: Path, text: str | bytes) -> Path:
    path = directory / "state.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, (OLD, OLD))
    return path


@pytest.mark.parametrize(
    "text, counter, value",
    [
        ('{"n": 3}', "n", 3),
        ('{"a": {"b c": {"n": -2.5}}}', "a.b c.n", -2.5),
        ('{"a": [1, {"n": 7}]}', "a.1.n", 7),
        ('{"0": {"1": 5}}', "0.1", 5),
        ('{"n": 1' + "0" * 400 + "}", "n", 10**400),
        ('{"n": 1, "n": 2}', "n", 2),
    ],
)
def test_where_the_number_stands(tmp_path: Path, text: str, counter: str, value: float) -> None:
    found = read_session_state(state(tmp_path, text), counter)
    assert (found.counter, found.problem, found.where) == (value, "", "state.json")


def test_without_a_counter_the_file_is_enough(tmp_path: Path) -> None:
    found = read_session_state(state(tmp_path, "{}"), None)
    assert (found.counter, found.problem) == (None, "")


@pytest.mark.parametrize(
    "text, counter, problem",
    [
        ("", "n", "empty"),
        (b"\0" * 64, "n", "filled with zero bytes"),
        ('{"n": 3', "n", "not valid JSON"),
        ('{"n": 3}{"n": 4}', "n", "not valid JSON"),
        ("[3]", "n", "holds a JSON array where an object is expected"),
        (b'{"n": "\xff"}', "n", "not UTF-8"),
        ("[" * 100_000, "n", "nested too deep"),
        ('{"n": 1' + "0" * 5000 + "}", "n", "a number too long"),
        ("{}", "n", "no n in it; there is nothing"),
        ('{"m": 1, "k": 2}', "n", "no n in it; there is m, k"),
        ('{"a": {"m": 1}}', "a.n", "no a.n in it; there is m"),
        ('{"a": [1, 2]}', "a.2", "no a.2 in it; there is a list of 2"),
        ('{"a": [1, 2]}', "a.-1", "no a.-1 in it; there is a list of 2"),
        ('{"a": [1, 2]}', "a.n", "no a.n in it; there is a list of 2"),
        ('{"a": 5}', "a.n", "no a.n in it; a is 5"),
        ('{"n": "3"}', "n", 'n is no number but "3"'),
        ('{"n": null}', "n", "n is no number but null"),
        ('{"n": true}', "n", "n is no number but true"),
        ('{"n": NaN}', "n", "n is no number but NaN"),
        ('{"n": -Infinity}', "n", "n is no number but -Infinity"),
        ('{"n": {}}', "n", "n is no number but an object"),
        ('{"\\u001b[31m": 1}', "n", "there is \\x1b[31m"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str | bytes, counter: str, problem: str) -> None:
    found = read_session_state(state(tmp_path, text), counter)
    assert found.counter is None
    assert problem in found.problem
    assert found.problem.isprintable()


def test_what_is_no_file(tmp_path: Path) -> None:
    assert read_session_state(tmp_path / "none", "n").problem == "not there"
    os.mkfifo(tmp_path / "pipe")
    os.utime(tmp_path / "pipe", (OLD, OLD))
    assert "a named pipe" in read_session_state(tmp_path / "pipe", "n").problem
    (tmp_path / "loop").symlink_to("loop")
    assert "leads back to itself" in read_session_state(tmp_path / "loop", "n").problem


def test_a_session_that_is_just_writing_it_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"n": ')

    def finish() -> None:
        time.sleep(0.1)
        path.write_text('{"n": 8}')

    writer = threading.Thread(target=finish)
    writer.start()
    found = read_session_state(path, "n")
    writer.join()
    assert (found.counter, found.problem) == (8, "")
