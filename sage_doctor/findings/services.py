"""How a service that is none becomes a finding: in which way, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_doctor.findings.making import finding
from sage_doctor.manifest.names import nearest
from sage_doctor.report import Finding, Fix
from sage_doctor.subjects.service import Service
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.services import ServiceFailure

CODES = {
    "down": "service-down",
    "silent": "service-hung",
    "slow": "throughput-under-budget",
    "foreign": "service-answer-invalid",
    "key": "service-key-refused",
    "error": "service-error",
    "missing": "service-model-missing",
}


def in_trouble(service: Service, trouble: ServiceFailure) -> Finding:
    """Return the finding for a service that gave trouble."""
    url = service.spec.url
    code = CODES[trouble.kind]
    if trouble.kind == "slow" and service.spec.budget.tokens_per_s is None:
        code = "service-hung"  # nobody said how fast it should be, and one waited long
    return finding(
        code,
        f"the service at {printable(url, limit=200)} {trouble.message}",
        evidence={"url": url, "api": service.spec.api, "model": service.spec.model, **trouble.evidence},
        fix=_fix(service, trouble),
    )


def _fix(service: Service, trouble: ServiceFailure) -> Fix:
    if trouble.kind == "down":
        return Fix(
            summary="Start it and look at its log; after a reboot, see whether it is enabled. If it runs elsewhere, "
            "correct url in the manifest.",
            commands=("systemctl list-units --failed", "ss -ltnp"),
        )
    if trouble.kind in ("silent", "slow"):
        return Fix(
            summary="Restart it. If it hangs again, see what it waits for: its log, the accelerator, a queue of other "
            "requests. Raise load_s and first_token_ms in its budget only where it is known to be that slow.",
        )
    if trouble.kind == "foreign":
        return Fix(
            summary="Something else may listen there (another program, a proxy, a login page), or api is the wrong "
            "one. See what answers, and correct url or api in the manifest.",
            commands=(f"curl -sv --max-time 5 {shell_quote(listing_url(service))}",),
        )
    if trouble.kind == "key":
        return Fix(summary=_about_key(service))
    if trouble.kind == "missing":
        return _other_model(service, trouble)
    return Fix(
        summary="This is the service's own message. Its log says more: memory, a model file, or a prompt that its "
        "chat template cannot take. `sage-doctor explain` on the message may name the cause."
    )


def listing_url(service: Service) -> str:
    """Return the whole URL of the list of models."""
    root = service.spec.url.removesuffix("/v1")
    return root + ("/v1/models" if service.spec.api == "openai" else "/api/tags")


def _about_key(service: Service) -> str:
    name = service.spec.api_key_env
    if name is None:
        return "Name the environment variable that holds the key as api_key_env in the manifest."
    if not service.key:
        return f"Set {name} where the doctor runs: cron and systemd do not read a shell's profile."
    return f"See whether {name} holds the key that this service takes."


def _other_model(service: Service, trouble: ServiceFailure) -> Fix:
    names = [n for n in trouble.evidence.get("models", ()) if isinstance(n, str)]
    near = nearest(service.spec.model, names) or (names[0] if len(names) == 1 else None)
    hint = f' Did you mean model = "{printable(near, limit=100)}"?' if near else ""
    pull = (f"ollama pull {shell_quote(service.spec.model)}",) if service.spec.api == "ollama" else ()
    return Fix(
        summary=f"Load the model into the service, or name it in the manifest as the service does.{hint}",
        commands=pull,
    )
