"""Waiting for a service that says that it still loads its model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sage_doctor.services.endpoint import ServiceError, Timeouts

_PAUSE_S = 0.5

T = TypeVar("T")


def once_loaded(ask: Callable[[], T], timeouts: Timeouts) -> tuple[T, float]:
    """Ask until the service has loaded its model, and return what it answered and how long that took.

    It may take as long as a first token may: with other services it is the first request that loads. Raises what the
    last attempt raised.
    """
    started = time.monotonic()
    until = timeouts.within(timeouts.first_s)
    while True:
        try:
            answer = ask()
        except ServiceError as found:
            if found.failure.kind != "loading":
                raise
            if time.monotonic() + _PAUSE_S >= until:
                raise _still_loading(time.monotonic() - started, found, over=until >= timeouts.until) from found
            time.sleep(_PAUSE_S)
        else:
            return answer, time.monotonic() - started


def _still_loading(waited_s: float, found: ServiceError, *, over: bool) -> ServiceError:
    if over:
        return ServiceError("unfinished", "was still loading its model", **found.failure.evidence)
    return ServiceError(
        "loading", f"{found.failure.message}, after {waited_s:.0f} s of waiting", **found.failure.evidence
    )
