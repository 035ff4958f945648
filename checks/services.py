"""Models that are reached over HTTP: the service answers, has the model, and really generates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from sage_doctor.check import Finding, Fix, Notes, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.findings.budgets import over
from sage_doctor.findings.services import another_answers, in_trouble, proxied
from sage_doctor.subjects.service import Service
from sage_doctor.suite.service_prober import ServiceProber
from sage_doctor.text import printable

if TYPE_CHECKING:
    from sage_doctor.services.endpoint import ServiceFailure

ORDER = 180  # of the check files: causes before consequences

T = TypeVar("T")


@check("static")
def check_service_key(service: Service) -> Iterator[Finding]:
    """The key that the service wants is there to be sent."""
    name = service.spec.api_key_env
    if name is None:
        raise NotApplicable("no key is declared; a service is asked from level load on")
    key = service.key or ""
    if not key:
        problem = f"the environment variable {name}, which holds the service's key, is not set here"
    elif not key.isascii() or not key.isprintable():
        problem = f"the environment variable {name} holds characters that are not allowed in an HTTP header"
    else:
        return
    yield finding(
        "service-key-missing",
        problem,
        evidence={"variable": name},
        fix=Fix(
            summary=f"Write {name} again, without what is not part of the key: a line end comes from a file with "
            "Windows line ends, or with the text of a file."
            if key
            else f"Set {name} where sessions and sage-doctor run (EnvironmentFile= in a unit, a line in the crontab)."
        ),
    )


@check("load", after=["check_service_key"])
def check_service_reachable(service: Service, ask: ServiceProber) -> Iterator[Finding]:
    """The service answers where the manifest says it is."""
    _, trouble = _sorted(ask.listing(service))
    if trouble is not None:
        yield in_trouble(service, trouble)
    elif (past := proxied(service)) is not None:
        yield past


@check("load", after=["check_service_key", "check_service_reachable"])
def check_service_model(service: Service, ask: ServiceProber) -> Iterator[Finding]:
    """The service has the model that it will be asked for."""
    listing, _ = _sorted(ask.listing(service))
    if listing is not None and listing.problem:
        raise NotApplicable(f"its list of models fails, so only asking it shows ({printable(listing.problem)})")
    trouble = ask.missing(service)
    if trouble is not None:
        yield in_trouble(service, trouble)
    elif (answering := ask.instead(service)) is not None:
        yield another_answers(service, answering)


@check("generate", after=["*"])
def check_service_generates(service: Service, ask: ServiceProber, notes: Notes) -> Iterator[Finding]:
    """The service really generates, and what it says is an answer."""
    if not service.required:
        raise NotApplicable("not needed now: there is memory to load the model itself")
    speech, trouble = _sorted(ask.speech(service))
    if trouble is not None:
        yield in_trouble(service, trouble)
        return
    assert speech is not None  # one or the other
    if speech.is_error:
        yield finding(
            "service-error",
            f"the service sent an error message as its answer: {printable(speech.text, limit=200)}",
            evidence={"url": service.spec.url, "answer": speech.text[:500]},
            fix=Fix(summary="Look at the service's log: generation failed there."),
        )
        return
    notes.answer = speech.text
    if speech.degeneration is not None:
        yield finding(
            "generate-degenerate",
            f"the model {printable(speech.degeneration.description)}",
            evidence={"form": speech.degeneration.kind, "answer": speech.text[:500], "url": service.spec.url},
            fix=Fix(
                summary="Check the weights and the chat template that the service was started with, and compare with a "
                "machine where it answers."
                + (" If it only thought, and keeps that to itself: raise max_new_tokens." if not speech.text else "")
            ),
        )


@check("generate", after=["*", "check_service_generates"])
def check_service_speed(service: Service, ask: ServiceProber, notes: Notes) -> Iterator[Finding]:
    """The service is as fast as its budget asks."""
    if not service.required:
        raise NotApplicable("not needed now: there is memory to load the model itself")
    speech, _ = _sorted(ask.speech(service))
    if speech is None:
        raise NotApplicable("nothing was generated")
    budget = service.spec.budget
    notes.measure("load_s", speech.ready_s, "s", budget.load_s)
    if budget.load_s is not None and speech.ready_s > budget.load_s:
        yield over("load-over-budget", "load_s", speech.ready_s, budget.load_s, "s")
    limit = budget.first_token_ms
    notes.measure("first_token_ms", speech.first_token_ms, "ms", limit)
    if limit is not None and speech.first_token_ms > limit:
        yield over("latency-over-budget", "first_token_ms", speech.first_token_ms, limit, "ms")
    if speech.tokens_per_s is None:
        return
    least = budget.tokens_per_s
    notes.measure("tokens_per_s", speech.tokens_per_s, "tokens/s", least)
    if least is not None and speech.tokens_per_s < least:
        yield over("throughput-under-budget", "tokens_per_s", speech.tokens_per_s, least, "tokens/s")


def _sorted(found: T | ServiceFailure) -> tuple[T | None, ServiceFailure | None]:
    """Return what a service did, or the trouble it gave."""
    from sage_doctor.services.endpoint import ServiceFailure

    return (None, found) if isinstance(found, ServiceFailure) else (found, None)
