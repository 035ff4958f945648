"""Threads beside the caller: what they return and raise arrives, and none outlives its block."""

from __future__ import annotations

import threading
import time

import pytest

from sage_doctor.merge.task_group import TaskGroup


def running() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("sage-merge")]


def endless(beside: TaskGroup) -> None:
    while True:
        time.sleep(0.001)
        beside.check_cancelled()


def test_what_a_thread_returns_arrives_and_the_caller_is_asked_meanwhile() -> None:
    def late(number: int) -> int:
        time.sleep(0.3)
        return number

    paused: list[int] = []
    with TaskGroup() as beside:
        later = beside.start(late, 7)
        assert beside.wait(later, lambda: paused.append(1)) == 7
        beside.check()
    assert paused


@pytest.mark.parametrize("error", [OSError(28, "no space"), TimeoutError(), ValueError("x")])
def test_what_a_thread_raises_arrives(error: Exception) -> None:
    def fail() -> None:
        raise error

    with TaskGroup() as beside:
        failed = beside.start(fail)
        with pytest.raises(type(error)):
            beside.wait(failed, lambda: None)
        with pytest.raises(type(error)):
            beside.check()


def test_leaving_the_block_ends_what_would_never_end() -> None:
    with TaskGroup() as beside:
        beside.start(endless, beside)
    assert running() == []


def test_an_interrupt_in_the_block_leaves_no_thread() -> None:
    beside = TaskGroup()
    with pytest.raises(KeyboardInterrupt):
        interrupted(beside)
    assert running() == []


def interrupted(beside: TaskGroup) -> None:
    with beside:
        for _ in range(4):
            beside.start(endless, beside)
        raise KeyboardInterrupt


def test_a_pause_that_raises_ends_the_waiting() -> None:
    def cancel() -> None:
        raise KeyError("cancelled")

    with pytest.raises(KeyError), TaskGroup() as beside:
        beside.wait(beside.start(endless, beside), cancel)
    assert running() == []
