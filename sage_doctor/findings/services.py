"""Models behind HTTP: in which way a service fails, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.findings.service_fixes import service_fix
from sage_doctor.report import Finding, Fix
from sage_doctor.text import printable

if TYPE_CHECKING:
    from sage_doctor.services.endpoint import ServiceFailure
    from sage_doctor.subjects.service import Service

TITLE = "Services"
DECLARATIONS = declare(
    Declaration(
        code="service-down",
        severity="error",
        title="The model service does not answer",
        cause="Nothing accepts connections at the URL, or the server there answers that it is unavailable.",
        remediation="Start the service and look at its log. After a reboot, check that it is enabled. One that still "
        "loads its model needs time: load_s in its budget.",
        shows=(
            r"error trying to connect: ",  # of Rust's HTTP
            *(r"\[Errno 111\] Connection refused", r"\[Errno 61\] Connection refused"),
            *(r"ConnectionRefusedError", r"Failed to establish a new connection: .{0,40}?Connection refused"),
            r"Failed to connect to .{1,200}? port \d{1,5}.{0,60}?(Connection refused|Could not connect)",
            r"dial tcp .{1,80}?: connect: connection refused",
            *(r"could not connect to ollama (server|app)", r"connect ECONNREFUSED \S", r"\[WinError 10061\]"),
            *(r"All connection attempts failed$", r"APIConnectionError: Connection error"),
            r"Cannot connect to host \S{1,200}:\d{1,5} ssl:.{1,80}?Connect call failed",
            r"Failed to connect to \S{1,200} port \d{1,5} after \d{1,9} ms: ",
        ),
        may_show=(*(r"Connection refused", r"Failed to establish a new connection"),),
    ),
    Declaration(
        code="service-answer-invalid",
        severity="error",
        title="Something else answers where the service should be",
        cause="The server does not speak the API that sessions use (a web or login page, another program on that port, "
        "a redirect, an answer that never ends), or cannot prove over TLS that it is the one in the URL.",
        remediation="Check with `curl` what answers. Correct url or api in the manifest, or move the program that took "
        "the port. For a certificate of one's own, name its authority's file in SSL_CERT_FILE.",
    ),
    Declaration(
        code="service-key-missing",
        severity="error",
        title="The key for the service is not set",
        cause="cron and systemd do not read a shell's profile, so variables that it exports are not set there.",
        remediation="Set the variable in the unit (EnvironmentFile=) or the crontab.",
    ),
    Declaration(
        code="service-refused",
        severity="error",
        title="The service refuses the request, and not for its key",
        cause="The service, or a proxy before it, does not accept the host name in the URL, the "
        "address that asks, or the account.",
        remediation="Use a name in url that the service accepts, or allow this one where it is configured.",
    ),
    Declaration(
        code="service-key-refused",
        severity="error",
        title="The service does not accept the key",
        cause="The service answers HTTP 401 or 403: it needs a key and got none, or a wrong one.",
        remediation="Name the variable with the key as api_key_env in the manifest, and check that it holds the right "
        "key.",
        shows=(
            *(r"unauthorized: access denied", r"Incorrect API key provided", r"\"error\":\"Unauthorized\""),
            *(r"invalid_api_key", r"Invalid API Key"),
        ),
    ),
    Declaration(
        code="service-model-missing",
        severity="error",
        title="The service does not have the model",
        cause="The model that sessions ask for is not in the service's list of models.",
        remediation="Pull or load the model into the service under the name that the manifest uses.",
        shows=(
            r"(the )?model \\?['\x22]?[\w.:/-]{1,120}\\?['\x22]? (was )?not found",
            *(r"The model `.{1,160}?` does not exist", r"model .{1,120}? does not exist"),
        ),
    ),
    Declaration(
        code="service-name-ignored",
        severity="warning",
        title="The service answers with another model",
        cause="A server with one model loaded answers every request with it, whatever name is asked for.",
        remediation="Name the model in the manifest as the service does, or start the service with the model or alias "
        "that sessions mean.",
    ),
    Declaration(
        code="service-proxied",
        severity="warning",
        title="Sessions ask a proxy for a service of this machine",
        cause="Most clients (requests, httpx, the OpenAI and Ollama packages, curl) follow http_proxy also for this "
        "machine's own addresses, and a proxy on another machine looks for those on its own.",
        remediation="Add 127.0.0.1 and localhost to no_proxy where sessions start.",
    ),
    Declaration(
        code="service-hung",
        severity="error",
        title="The service accepts requests but does not answer",
        cause="The process accepts connections, or even lists its models, but generation is stuck.",
        remediation="Restart the service. If it hangs again, look at the accelerator and its driver.",
        shows=(
            *(r"timed out waiting for (llama runner|llama-server|server) to start", r"RPC call to \w{1,60} timed out"),
            *(r"Timed out waiting for engines to send ?initial message", r"APITimeoutError: Request timed out"),
            *(r"Did not receive response from front-end process within", r"Read timed out\. \(read timeout="),
            r"ReadTimeout:\x20",
        ),
    ),
    Declaration(
        code="service-error",
        severity="error",
        title="The service answers with an error",
        cause="The service answers, but with an error instead of what the model says. Some services send the error "
        "message as if it were an answer.",
        remediation="The reason stands further up in the service's log, or in the log of the process that it started: "
        "paste that into `sage-doctor explain -`.",
        follows=(
            *(r"model failed to load, this may be due to resource limitations", r"llama runner process has terminated"),
            *(r"an (unknown )?error was encountered while running the model", r"model runner has unexpectedly stopped"),
            *(r"llama_model_load_from_file_impl: failed to load model$", r"llama runner process no longer running"),
            *(r"EngineCore encountered (an issue|a fatal error)", r"(POST predict|load request): Post .{1,80}?: EOF"),
            *(r"Engine core proc .{1,60}? died unexpectedly", r"llama-server process no longer running"),
            *(r"see the ollama server logs for details", r"Worker proc .{1,60}? died unexpectedly"),
            *(r"llama-server process has terminated", r"rpc error: code = \w{1,20} desc = ", r"AsyncEngineDeadError: "),
            *(r"exiting due to model loading error", r"Engine core initialization failed", r"failed to load model, '"),
            *(r"Engine process failed to start", r"server busy, please try again", r"error starting llama-server"),
            *(r"EngineCore failed to start", r"Worker failed with error '"),
            *(r"failed to load model '", r"error loading model: ", r"unable to load model", r"EngineDeadError:\x20"),
            *(r"MQEngineDeadError: ", r"ShardCannotStart"),
        ),
    ),
)


CODES = {
    "down": "service-down",
    "loading": "service-down",
    "gateway": "service-down",
    "silent": "service-hung",
    "slow": "throughput-under-budget",
    "foreign": "service-answer-invalid",
    "tls": "service-answer-invalid",
    "refused": "service-refused",
    "key": "service-key-refused",
    "busy": "service-error",
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
        fix=service_fix(service, trouble),
    )


def another_answers(service: Service, answering: str) -> Finding:
    """Return the finding for a service that answers every name with its one model.

    A manifest that gives no `model` says nothing about which one it means.
    """
    shown, wanted = printable(answering, limit=100), printable(service.spec.model, limit=100)
    return finding(
        "service-name-ignored",
        f"the service at {printable(service.spec.url, limit=200)} has no model {wanted}, and answers with {shown} "
        "instead",
        severity="info" if service.spec.model == service.name else None,
        evidence={"url": service.spec.url, "model": service.spec.model, "answering": answering},
        fix=Fix(
            summary=f'If it is the right one, write model = "{shown}" into the manifest; if not, start the service '
            "with the one that sessions need."
        ),
    )


def _is_here(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def proxied(service: Service) -> Finding | None:
    """Return the finding for a service of this machine that clients look for behind a proxy, or None."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - a run without services needs none of it

    parts, environ = urlsplit(service.spec.url), service.host.environ
    names = [n for name in (f"{parts.scheme}_proxy", "all_proxy") for n in (name, name.upper()) if environ.get(n)]
    host = parts.hostname or ""
    if not names or not _is_here(host) or _is_here(urlsplit(environ[names[0]]).hostname or "localhost"):
        return None
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # noqa: PLC0415 - http.client

    if proxy_bypass_environment(host, {"no": environ.get("no_proxy") or environ.get("NO_PROXY", "")}):
        return None
    return finding(
        "service-proxied",
        f"{names[0]} sends what sessions ask {printable(host)} to a proxy, and no_proxy does not name it",
        evidence={"url": service.spec.url, "variable": names[0]},
        fix=Fix(summary=f"Add {printable(host)} to no_proxy (and NO_PROXY) where sessions start."),
    )
