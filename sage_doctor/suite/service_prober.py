"""What services answered in one examination: each is asked once for all checks, and within bounded time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sage_doctor.errors import DoctorError, NotApplicable
from sage_doctor.report import at_least
from sage_doctor.subjects.selection import Request, Selection
from sage_doctor.subjects.service import Service
from sage_doctor.suite.model_prober import DEFAULT_DEADLINE_S, DEFAULT_PROMPT, LEFT_FOR_REPORT_S
from sage_doctor.text import join_limited, printable

if TYPE_CHECKING:
    from sage_doctor.services.endpoint import Endpoint, ServiceFailure, Timeouts
    from sage_doctor.services.generation import Generation
    from sage_doctor.services.listing import Listing

# How much slower than its budget a service may be before it counts as hung: until then it is slow, and measured.
_GRACE = 10.0
_LOAD_GRACE = 4.0
_LIST_S = 10.0
_LEAST_FIRST_S = 2.0
_LEAST_TOKEN_S = 10.0
_LEAST_REST_S = 20.0


class ServiceProber:
    """Hands out what each service lists and says, asking when that is first wanted.

    What did not come before the run's own time ended is no answer: the check that asks first fails to run, and those
    that ask later have nothing to judge.
    """

    def __init__(self, selection: Selection, request: Request) -> None:
        self._level = selection.level
        self._request = request
        self._services = {s.name: s for s in selection.services}
        self._listings: dict[str, Listing | ServiceFailure] = {}
        self._generations: dict[str, Generation | ServiceFailure] = {}
        self._unfinished: set[str] = set()

    def listing(self, service: Service) -> Listing | ServiceFailure:
        """Return which models the service lists. Never raises for the service."""
        if service.name not in self._listings:
            from sage_doctor.services.listing import Listing, list_models  # noqa: PLC0415 - a run without services needs no HTTP

            found = self._listings[service.name] = list_models(_endpoint(service), self._timeouts(service))
            if not isinstance(found, Listing) and found.has_no_list and self._generates(service):
                # A gateway without one, which sessions do not need.
                self._listings[service.name] = Listing(api=service.spec.api, problem=f"it {found.message}")
        self._raise_if_unfinished(service, self._listings[service.name])
        return self._listings[service.name]

    def speech(self, service: Service) -> Generation | ServiceFailure:
        """Return how a short generation went. Never raises for the service."""
        said = self._generation(service)
        self._raise_if_unfinished(service, said)
        return said

    def _generates(self, service: Service) -> bool:
        """Return whether the service generates, as far as the run asks it to."""
        from sage_doctor.services.generation import Generation  # noqa: PLC0415 - likewise

        asked = at_least(self._level, "generate") and service.required
        return asked and isinstance(self._generation(service), Generation)

    def _generation(self, service: Service) -> Generation | ServiceFailure:
        if service.name not in self._generations:
            from sage_doctor.services.generation import generate  # noqa: PLC0415 - likewise

            spec = service.spec
            said = generate(
                _endpoint(service),
                spec.model,
                spec.prompt or DEFAULT_PROMPT,
                most_tokens=spec.max_new_tokens,
                timeouts=self._timeouts(service),
            )
            self._generations[service.name] = self._wrong_model(service, said) or self._with_wait(service, said)
        return self._generations[service.name]

    def _raise_if_unfinished(self, service: Service, found: Listing | Generation | ServiceFailure) -> None:
        if getattr(found, "kind", "") != "unfinished":
            return
        if service.name in self._unfinished:
            raise NotApplicable("the time for this run ended before the service had answered")
        self._unfinished.add(service.name)
        raise DoctorError(
            f"the service at {printable(service.spec.url, limit=200)} {getattr(found, 'message', '')} when the time "
            "for this run ended; give it more (--timeout)"
        )

    def _with_wait(self, service: Service, said: Generation | ServiceFailure) -> Generation | ServiceFailure:
        """Add to the time until the service was ready what it took to load before it would even list its models."""
        waited_s = getattr(self._listings.get(service.name), "waited_s", 0.0)
        from sage_doctor.services.endpoint import ServiceFailure  # noqa: PLC0415 - likewise

        return said if isinstance(said, ServiceFailure) else replace(said, ready_s=said.ready_s + waited_s)

    def _wrong_model(self, service: Service, said: Generation | ServiceFailure) -> ServiceFailure | None:
        """Return that another model answered, where the list of models could not tell whether this one is there."""
        from sage_doctor.services.endpoint import ServiceFailure  # noqa: PLC0415 - likewise
        from sage_doctor.services.generation import Generation  # noqa: PLC0415
        from sage_doctor.services.listing import Listing  # noqa: PLC0415

        found, wanted = self.listing(service), service.spec.model
        if not isinstance(found, Listing) or found.has(wanted) != "unknown" or not isinstance(said, Generation):
            return None
        if found.one_for_all or not wanted.startswith("/") or not said.model or said.model.startswith(wanted):
            return None
        message = f"answers for {printable(wanted, limit=100)} with {printable(said.model, limit=100)}"
        return ServiceFailure(kind="missing", message=message, evidence={"models": [said.model]})

    def instead(self, service: Service) -> str | None:
        """Return which model answers under a name that the service does not list, or None where the name counts."""
        from sage_doctor.services.generation import Generation  # noqa: PLC0415 - likewise
        from sage_doctor.services.listing import Listing  # noqa: PLC0415

        found, wanted = self.listing(service), service.spec.model
        if not isinstance(found, Listing) or found.has(wanted) == "yes":
            return None
        if found.one_for_all:
            return found.models[0]
        if not self._is_to_be_asked(service, found):
            return None
        said = self.speech(service)
        if not isinstance(said, Generation):
            return None
        if found.has(wanted) == "unknown":
            return said.model if found.is_another(said.model, wanted) else None
        return found.models[0]

    def _is_to_be_asked(self, service: Service, found: Listing) -> bool:
        """Return whether asking shows more than a list without the name: many servers of one model take any name."""
        open_question = found.may_ignore_names or (found.has(service.spec.model) == "unknown" and not found.problem)
        return open_question and at_least(self._level, "generate") and service.required

    def missing(self, service: Service) -> ServiceFailure | None:
        """Return that the service does not have the model, where it lists others and not this one."""
        from sage_doctor.services.endpoint import ServiceFailure  # noqa: PLC0415 - likewise
        from sage_doctor.services.listing import Listing  # noqa: PLC0415

        found = self.listing(service)
        if not isinstance(found, Listing) or found.has(service.spec.model) != "no":
            return None
        if self.instead(service) is not None:
            return None
        wanted = printable(service.spec.model, limit=100)
        message = f"does not have {wanted}; it has {join_limited(list(found.models)) or 'no model at all'}"
        return ServiceFailure(kind="missing", message=message, evidence={"models": list(found.models[:200])})

    def service(self, name: str) -> Service:
        """Return the run's service of that name."""
        return self._services[name]

    def failure(self, service: Service) -> ServiceFailure | None:
        """Return what keeps the service from answering, as far as the run's level goes, or None where it answers."""
        from sage_doctor.services.endpoint import ServiceFailure  # noqa: PLC0415 - likewise

        found = self.listing(service)
        if isinstance(found, ServiceFailure):
            return found
        missing = self.missing(service)
        if missing is not None or not at_least(self._level, "generate"):
            return missing
        said = self.speech(service)
        return said if isinstance(said, ServiceFailure) and said.kind != "slow" else None

    def _timeouts(self, service: Service) -> Timeouts:
        """Return how long to wait: derived from the budget, within the run's deadline."""
        from sage_doctor.services.endpoint import Timeouts  # noqa: PLC0415 - likewise

        left = DEFAULT_DEADLINE_S
        if self._request.deadline is not None:
            left = max(1.0, self._request.deadline - time.monotonic() - LEFT_FOR_REPORT_S)
        until = time.monotonic() + left
        budget = service.spec.budget
        patience = Timeouts(until=until, list_s=_LIST_S)
        if budget.load_s is not None:
            first_s = _LEAST_FIRST_S + _LOAD_GRACE * budget.load_s + _GRACE * (budget.first_token_ms or 0) / 1000
            patience = replace(patience, first_s=first_s)
        if budget.tokens_per_s is not None:
            token_s = max(_LEAST_TOKEN_S, _GRACE / budget.tokens_per_s)
            all_s = max(_LEAST_REST_S, _GRACE * service.spec.max_new_tokens / budget.tokens_per_s)
            patience = replace(patience, token_s=token_s, all_s=all_s)
        return patience


def _endpoint(service: Service) -> Endpoint:
    from sage_doctor.services.endpoint import Endpoint  # noqa: PLC0415 - likewise

    return Endpoint(url=service.spec.url, api=service.spec.api, key=service.key or None)
