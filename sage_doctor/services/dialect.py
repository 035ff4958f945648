"""What a service understands of a request: the path, and the optional fields that some servers refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sage_doctor.services.endpoint import Endpoint

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
OLLAMA = "/api/generate"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """The path of the requests, and what to leave out: sessions may send less, so a refused extra is no fault."""

    path: str
    without: frozenset[str] = frozenset()

    @classmethod
    def first(cls, endpoint: Endpoint) -> Dialect:
        """Return the dialect to try first."""
        return cls(path=OLLAMA if endpoint.api == "ollama" else CHAT)

    def after_refusal(self, status: int, text: str) -> Dialect | None:
        """Return what to try after an error, None where it says nothing about the form of the request."""
        lower = text.lower()
        if self.path == CHAT and (status in (404, 405, 501) or "chat template" in lower):
            return replace(self, path=COMPLETIONS)
        if status not in (400, 422):
            return None
        # vLLM forbids unknown fields in its old versions, TGI a temperature of 0, OpenAI `max_tokens` and temperatures.
        refused = [f for f in ("stream_options", "temperature") if f in lower and f not in self.without]
        if "max_completion_tokens" in lower and "max_tokens" not in self.without:
            refused.append("max_tokens")
        return replace(self, without=self.without | set(refused)) if refused else None

    def body(self, model: str, prompt: str, most_tokens: int) -> Mapping[str, Any]:
        """Return the JSON of a request for a short, streamed answer."""
        if self.path == OLLAMA:
            options = {"num_predict": most_tokens, "temperature": 0}
            return {"model": model, "prompt": prompt, "stream": True, "options": options}
        limit = "max_completion_tokens" if "max_tokens" in self.without else "max_tokens"
        body: dict[str, Any] = {"model": model, limit: most_tokens, "stream": True}
        if "temperature" not in self.without:
            body["temperature"] = 0
        if "stream_options" not in self.without:
            body["stream_options"] = {"include_usage": True}
        if self.path == CHAT:
            return {**body, "messages": [{"role": "user", "content": prompt}]}
        return {**body, "prompt": prompt}
