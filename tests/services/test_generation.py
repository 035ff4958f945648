"""A short generation: what is measured, and what is no answer."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import replace

import pytest

from sage_doctor.services.endpoint import Endpoint, ServiceFailure, Timeouts
from sage_doctor.services.generation import Generation, generate
from sage_doctor.services.listing import list_models

from .behaving import WORDS
from .running import base

SAID = Generation(
    text="I am.",
    tokens=2,
    ready_s=1.0,
    first_token_ms=1.0,
    tokens_per_s=1.0,
    seconds=1.0,
    degeneration=None,
)


def ask(how: str, *, most: int = 32, key: str | None = None, **timeouts: float) -> Generation | ServiceFailure:
    waiting = replace(Timeouts(until=time.monotonic() + 60), **timeouts)
    return generate(Endpoint(url=f"{base()}/{how}", key=key), "tiny", "Who?", most_tokens=most, timeouts=waiting)


def speech(how: str, *, most: int = 32) -> Generation:
    found = ask(how, most=most)
    assert isinstance(found, Generation), found
    return found


def test_what_is_said() -> None:
    whole = speech("well")
    assert (whole.text, whole.tokens, whole.model) == ("".join(WORDS), 10, "tiny")
    part = speech("well", most=4)
    assert (part.text, part.tokens) == ("".join(WORDS[:4]), 4)


def test_what_is_measured() -> None:
    # Ten words with a pause of 0.25 s after each: the first comes at once, and four come in a second.
    found = speech("slow", most=10)
    assert found.first_token_ms < 2000
    assert found.tokens_per_s is not None
    assert 0.5 < found.tokens_per_s < 4.5
    assert found.ready_s >= 0.25


def test_an_answer_in_one_piece_has_the_speed_of_all_of_it() -> None:
    found = speech("one-piece")
    assert found.tokens_per_s == pytest.approx(10 / (found.first_token_ms / 1000))


def test_an_older_request_is_tried_where_there_is_no_chat() -> None:
    assert speech("completions").text == "".join(WORDS)


def test_the_key_is_gone_from_what_is_said() -> None:
    found = ask("well", key="small")
    assert isinstance(found, Generation)
    assert found.text == "I am a [key] model, and I answer."


@pytest.mark.parametrize("how", ["silent", "drip", "half", "endless"])
def test_nobody_is_waited_for_for_ever(how: str) -> None:
    begun = time.monotonic()
    found = ask(how, first_s=1.0, token_s=1.0, all_s=1.5)
    assert isinstance(found, ServiceFailure)
    assert found.kind in ("silent", "foreign")
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "text",
    [
        "Error: CUDA out of memory",
        "[ERROR] no slot",
        "Internal Server Error",
        "internal server error: x",
        "Traceback (most recent call last):\n",
        "RuntimeError: shape",
        "OutOfMemoryError: CUDA",
    ],
)
def test_an_error_that_is_said(text: str) -> None:
    assert replace(SAID, text=text).is_error


@pytest.mark.parametrize(
    "text", ["I am.", "Errors are human.", "An error occurred to me once: I was young.", "To err is human: error."]
)
def test_an_answer_about_errors(text: str) -> None:
    assert not replace(SAID, text=text).is_error


def test_a_queue_of_connections_that_is_full_is_a_server_that_hangs() -> None:
    """Within one machine nothing else makes a connection wait: a program that listens and was stopped."""
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.settimeout(0)
            caller.connect_ex(full.getsockname())
        timeouts = Timeouts(until=time.monotonic() + 30, connect_s=0.5)
        found = list_models(Endpoint(url=f"http://127.0.0.1:{full.getsockname()[1]}"), timeouts)
    assert isinstance(found, ServiceFailure)
    assert (found.kind, "does not accept connections" in found.message) == ("silent", True)
