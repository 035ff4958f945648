"""Models behind HTTP: in which way a service fails, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.report import Finding, Fix
from sage_doctor.text import printable, shell_operand, shell_quote

if TYPE_CHECKING:
    from sage_doctor.services import ServiceFailure
    from sage_doctor.subjects.service import Service

TITLE = "Services"
DECLARATIONS = declare(
    Declaration(
        code="service-down",
        severity="error",
        title="The model service does not answer",
        cause="Nothing accepts connections at the URL, or the server there answers that it is unavailable.",
        remediation="Start the service and look at its log. After a reboot, check that it is enabled.",
        shows=(r"Connection refused", r"ConnectionRefusedError", r"Failed to establish a new connection"),
    ),
    Declaration(
        code="service-answer-invalid",
        severity="error",
        title="Something else answers where the service should be",
        cause="The server does not speak the API that sessions use: a web or login page, another program on that port, "
        "a redirect, or an answer that never ends.",
        remediation="Check with `curl` what answers. Correct url or api in the manifest, or move the program that took "
        "the port.",
    ),
    Declaration(
        code="service-key-missing",
        severity="error",
        title="The key for the service is not set",
        cause="cron and systemd do not read a shell's profile, so variables that it exports are not set there.",
        remediation="Set the variable in the unit (EnvironmentFile=) or the crontab.",
    ),
    Declaration(
        code="service-key-refused",
        severity="error",
        title="The service does not accept the key",
        cause="The service answers HTTP 401 or 403: it needs a key and got none, or a wrong one.",
        remediation="Name the variable with the key as api_key_env in the manifest, and check that it holds the right "
        "key.",
        shows=(r"Incorrect API key provided", r"invalid_api_key"),
    ),
    Declaration(
        code="service-model-missing",
        severity="error",
        title="The service does not have the model",
        cause="The model that sessions ask for is not in the service's list of models.",
        remediation="Pull or load the model into the service under the name that the manifest uses.",
        shows=(r"model ['\"]?[\w.:/-]{1,120}['\"]? not found", r"model .{1,120}? does not exist"),
    ),
    Declaration(
        code="service-hung",
        severity="error",
        title="The service accepts requests but does not answer",
        cause="The process accepts connections, or even lists its models, but generation is stuck.",
        remediation="Restart the service. If it hangs again, look at the accelerator and its driver.",
        shows=(r"Read timed out\. \(read timeout=", r"ReadTimeout\b"),
    ),
    Declaration(
        code="service-error",
        severity="error",
        title="The service answers with an error",
        cause="The service has the model but cannot generate with it. Some services send the error message as if it "
        "were an answer.",
        remediation="Look at the service's log, and paste its message into `sage-doctor explain -`.",
    ),
)


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
    """Return the finding for a service that failed."""
    url = service.spec.url
    code = CODES[trouble.kind]
    if trouble.kind == "slow" and service.spec.budget.tokens_per_s is None:
        code = "service-hung"  # no budget says how fast it should be, and the wait was long
    return finding(
        code,
        f"the service at {printable(url, limit=200)} {trouble.message}",
        evidence={"url": url, "api": service.spec.api, "model": service.spec.model, **trouble.evidence},
        fix=_fix(service, trouble),
    )


def _fix(service: Service, trouble: ServiceFailure) -> Fix:
    if trouble.kind == "down":
        return Fix(
            summary="Start it and look at its log; after a reboot, check that it is enabled. If it runs elsewhere, "
            "correct url in the manifest.",
            commands=("systemctl list-units --failed", "ss -ltnp"),
        )
    if trouble.kind in ("silent", "slow"):
        return Fix(
            summary="Restart it. If it hangs again, see what it waits for: its log, the accelerator, a queue of other "
            "requests. Raise load_s and first_token_ms in its budget only if it is known to be that slow.",
        )
    if trouble.kind == "foreign":
        return Fix(
            summary="Check what answers there, and correct url or api in the manifest.",
            commands=(f"curl -sv --max-time 5 {shell_quote(listing_url(service))}",),
        )
    if trouble.kind == "key":
        return Fix(summary=_about_key(service))
    if trouble.kind == "missing":
        return _other_model(service, trouble)
    return Fix(
        summary="Look at the service's log: memory, a model file, or a prompt that its chat template cannot take. "
        "`sage-doctor explain -` may recognise the message."
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
        return f"Set {name} where sage-doctor runs: cron and systemd do not read a shell's profile."
    return f"Check that {name} holds the right key."


def _other_model(service: Service, trouble: ServiceFailure) -> Fix:
    from sage_doctor.manifest.names import nearest  # noqa: PLC0415 - only where something is wrong

    names = [n for n in trouble.evidence.get("models", ()) if isinstance(n, str)]
    near = nearest(service.spec.model, names) or (names[0] if len(names) == 1 else None)
    hint = f' Did you mean model = "{printable(near, limit=100)}"?' if near else ""
    pull = (f"ollama pull {shell_operand(service.spec.model)}",) if service.spec.api == "ollama" else ()
    return Fix(
        summary=f"Load the model into the service, or name it in the manifest as the service does.{hint}",
        commands=pull,
    )
