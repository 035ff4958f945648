"""Models that are reached over HTTP: what they list, and what they say, each within bounded time and bytes.

    listing = list_models(Endpoint(url="http://127.0.0.1:8000", api="openai"), patience)
    speech = generate(endpoint, "smollm2", "Who are you?", most_tokens=16, patience=patience)

Both return what happened, or a `ServiceFailure` that says in which way the service is none. `exchange` is one request
and its answer, `events` what a stream of an answer says, `speech` the conversation. Standard library only, no proxies,
and no redirect is followed.
"""

from __future__ import annotations

from sage_doctor.services.endpoint import Endpoint, ServiceFailure, Timeouts
from sage_doctor.services.generation import Generation, generate
from sage_doctor.services.listing import Listing, list_models

__all__ = ["Endpoint", "Generation", "Listing", "ServiceFailure", "Timeouts", "generate", "list_models"]
