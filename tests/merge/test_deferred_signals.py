"""Interrupts are held in the block, happen where they are let happen, and are never lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from sage_doctor.merge.deferred_signals import DeferredSignals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def test_an_interrupt_happens_where_it_is_let_happen() -> None:
    passed = []

    def work() -> None:
        with DeferredSignals() as interrupts:
            interrupts.raise_pending()
            interrupt()
            passed.append("after the signal")
            interrupts.raise_pending()
            passed.append("after it was let happen")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert passed == ["after the signal"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_is_never_let_happen_does_as_the_block_is_left() -> None:
    passed = []

    def work() -> None:
        with DeferredSignals():
            interrupt()
            passed.append("the whole block")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert passed == ["the whole block"]


def test_it_is_not_lost_where_something_else_goes_wrong() -> None:
    def work() -> None:
        with DeferredSignals():
            interrupt()
            raise ValueError("the disk is full")

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value.__context__, ValueError)


def test_several_are_one_after_the_other() -> None:
    def work() -> None:
        with DeferredSignals() as interrupts:
            interrupt()
            interrupt()
            with pytest.raises(KeyboardInterrupt):
                interrupts.raise_pending()

    with pytest.raises(KeyboardInterrupt):
        work()


def test_a_handler_that_raises_nothing_lets_the_block_go_on() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    with DeferredSignals() as interrupts:
        interrupt(signal.SIGTERM)
        assert heard == []
        interrupts.raise_pending()
        assert heard == [signal.SIGTERM]
    assert heard == [signal.SIGTERM]


def test_one_whose_handler_raises_nothing_hides_no_other() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def work() -> None:
        with DeferredSignals():
            interrupt()
            interrupt(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert heard == [signal.SIGINT]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_what_is_ignored_or_handled_by_the_system_stays_so(handler: signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, handler)
    with DeferredSignals():
        assert signal.getsignal(signal.SIGTERM) == handler
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == handler


def test_other_threads_hold_nothing() -> None:
    found: list[object] = []

    def work() -> None:
        with DeferredSignals() as interrupts:
            found.append(signal.getsignal(signal.SIGINT))
            interrupts.raise_pending()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def test_an_interrupt_while_the_handlers_are_given_back_leaves_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    real = signal.signal
    calls = []

    def torn(number: int, handler: object) -> object:
        done = real(number, handler)  # type: ignore[arg-type]
        calls.append(number)
        if len(calls) == 3:  # two are taken, and the first has just been given back
            interrupt()
        return done

    monkeypatch.setattr("sage_doctor.merge.deferred_signals.signal.signal", torn)
    with pytest.raises(KeyboardInterrupt), DeferredSignals():
        pass
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
