"""What to do about a service that failed, by the way in which it did."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

from sage_doctor.report import Fix
from sage_doctor.text import printable, shell_operand, shell_quote

if TYPE_CHECKING:
    from sage_doctor.services.endpoint import ServiceFailure
    from sage_doctor.subjects.service import Service

# What to do, by how the service failed; `down` and others may have a more exact cause in their evidence.
_FIXES = {
    "loading": "Wait until it has loaded its model. If that always takes so long, give it the time: load_s in its "
    "budget. If it never ends, look at its log.",
    "gateway": "Start the service behind the proxy and look at its log; the proxy itself runs. If it runs, correct the "
    "address that the proxy passes requests on to.",
    "busy": "Wait until other requests are answered, and see who sends them. If it is always so, let the service take "
    "more at once (Ollama: OLLAMA_NUM_PARALLEL, OLLAMA_MAX_QUEUE), or raise the limit of the key.",
    "silent": "Restart it. If it hangs again, see what it waits for: its log, the accelerator, a queue of other "
    "requests. Raise load_s and first_token_ms in its budget only if it is known to be that slow.",
    "slow": "See what slows it down: other processes on the accelerator or the CPU, swap, layers of the model that "
    "are on the CPU (its log says how many). If it is as fast as it can be, correct tokens_per_s in its budget.",
    "error": "Look at the service's log: memory, a model file, or a prompt that its chat template cannot take. "
    "`sage-doctor explain -` may recognise the message.",
}

# How `connect` ends where no machine answers; one that answers refuses.
_NOT_ON_THE_NETWORK = ("no connection in time", *map(os.strerror, (errno.EHOSTUNREACH, errno.ENETUNREACH)))
# Ollama, vLLM and llama.cpp, asked to generate with a model that makes embeddings.
_NO_TEXT = re.compile(
    r"does not support (?:generate|chat)\b|does not support (?:Chat )?Completions API|without `--embeddings?`"
)


def service_fix(service: Service, trouble: ServiceFailure) -> Fix:
    """Return what to do about a service that failed."""
    if trouble.kind == "down":
        return _about_down(service, trouble)
    if trouble.kind == "foreign":
        return Fix(
            summary="Check what answers there, and correct url or api in the manifest.",
            commands=(_curl(service),),
        )
    if trouble.kind == "tls" or "tls" in trouble.evidence:
        return _about_tls(service, trouble)
    if trouble.kind == "refused":
        return _about_refusal(service, trouble)
    if trouble.kind == "key":
        return Fix(summary=_about_key(service))
    if trouble.kind == "missing":
        return _other_model(service, trouble)
    if trouble.kind == "error":
        return Fix(summary=_about_error(trouble))
    hung = trouble.kind == "slow" and service.spec.budget.tokens_per_s is None  # nothing says how fast it should be
    return Fix(summary=_FIXES["silent" if hung else trouble.kind])


def _about_down(service: Service, trouble: ServiceFailure) -> Fix:
    if "host" in trouble.evidence:
        again = "See that the network is up: no name server answers. " if "emporary" in trouble.message else ""
        return Fix(summary=f"{again}Correct the host in url, or let its name be found here (DNS, /etc/hosts).")
    if trouble.evidence.get("reason") == "closed":
        return Fix(
            summary="Look at its log for why it ends connections, and restart it. If it expects TLS, url has to "
            "begin with https://.",
            commands=(_curl(service),),
        )
    if "status" in trouble.evidence:
        return Fix(
            summary="Something answers there, and says that it cannot serve now: look at its log, or at the log of "
            "the service behind it if it is a proxy."
        )
    if trouble.evidence.get("reason") in _NOT_ON_THE_NETWORK:
        return Fix(
            summary="Check the address in url, and that the network is up and the other machine is on; a firewall "
            "may drop what is sent there.",
            commands=("ip route", _curl(service)),
        )
    return Fix(
        summary="Start it and look at its log; after a reboot, check that it is enabled. If it runs elsewhere, "
        "correct url in the manifest.",
        commands=("systemctl list-units --failed", "ss -ltnp"),
    )


def _about_error(trouble: ServiceFailure) -> str:
    from sage_doctor.findings.recognition import sure_cause  # noqa: PLC0415 - compiles hundreds of patterns

    known = sure_cause(trouble.message, besides="service-")
    if known is not None:
        return f"{known.remediation} `sage-doctor explain {known.code}` says why."
    if _NO_TEXT.search(trouble.message):
        return "It is a model for embeddings, or was started as one. Name one that generates text."
    if 400 <= trouble.evidence.get("status", 0) < 500:
        return "Its message says what it does not accept; sessions that ask in the same way are refused as well."
    return _FIXES["error"]


# Of OpenSSL's X509_V_ERR_…: not yet valid and expired, and a certificate that is for another name or address.
_OUT_OF_DATE = (9, 10)
_OTHER_NAME = (62, 64)


def _about_tls(service: Service, trouble: ServiceFailure) -> Fix:
    code = trouble.evidence.get("verify_code")
    command = (_curl(service),)
    if trouble.kind == "silent":
        summary = "If it speaks plain HTTP, url has to begin with http://. Otherwise it hangs: restart it."
        return Fix(summary=summary, commands=command)
    if code is None:
        summary = "See in the service's log, or a proxy's, why it ends the connection: versions of TLS that it does "
        return Fix(
            summary=summary + "not share with Python here, or a client certificate that it asks for.", commands=command
        )
    if code in _OUT_OF_DATE:
        return Fix(
            summary="Renew the service's certificate, and check this machine's clock (`date`).", commands=command
        )
    if code in _OTHER_NAME:
        return Fix(
            summary="Write the name that the certificate is for into url, or give the service a certificate for this "
            "one. SSL_CERT_FILE does not help with that.",
            commands=command,
        )
    named = service.host.environ.get("SSL_CERT_FILE", "")
    state = f" It is {printable(named, limit=200)} now, which does not hold it." if named else ""
    return Fix(
        summary="If it is a certificate of your own, name the file of the authority that signed it in SSL_CERT_FILE, "
        f"for sessions as well (for `requests`: REQUESTS_CA_BUNDLE).{state}",
        commands=command,
    )


def _about_refusal(service: Service, trouble: ServiceFailure) -> Fix:
    reason = trouble.evidence.get("reason")
    if reason == "signin":
        return Fix(
            summary="Sign in where Ollama runs, as the user that it runs as, or name a model that is on that machine.",
            commands=("ollama signin",),
        )
    if reason == "password":
        return Fix(
            summary="That is a proxy before the service. Write the address of the service itself into url, or let the "
            "proxy pass this machine's requests without a password; sessions have to get through as well.",
        )
    if reason == "host":
        return Fix(
            summary="Ollama that listens on 127.0.0.1 accepts only localhost, its own host name and addresses. Write "
            "one of those into url, or let it listen for others (OLLAMA_HOST=0.0.0.0 in its unit, then restart it). "
            "For web pages it is OLLAMA_ORIGINS.",
        )
    return Fix(
        summary="See in the log of the service, or of the proxy before it, what it refuses: the host name in url "
        "(Ollama: OLLAMA_HOST, OLLAMA_ORIGINS), this machine's address, or a request without a key (api_key_env in the "
        "manifest).",
        commands=(_curl(service),),
    )


def _about_key(service: Service) -> str:
    name = service.spec.api_key_env
    if name is None:
        return "Name the environment variable that holds the key as api_key_env in the manifest."
    if (service.key or "")[:1] in ("'", '"'):
        return f"Write the value of {name} without quotation marks, which are sent as well (docker's --env-file)."
    if not service.key:
        return f"Set {name} where sage-doctor runs: cron and systemd do not read a shell's profile."
    return f"Check that {name} holds the right key."


def _other_model(service: Service, trouble: ServiceFailure) -> Fix:
    from sage_doctor.manifest.names import nearest  # noqa: PLC0415 - only where something is wrong

    names = [n for n in trouble.evidence.get("models", ()) if isinstance(n, str)]
    near = nearest(service.spec.model, names) or (names[0] if len(names) == 1 else None)
    hint = f' Did you mean model = "{printable(near, limit=100)}"?' if near else ""
    by_ollama = service.spec.api == "ollama" or "try pulling it first" in trouble.message
    pull = (f"ollama pull {shell_operand(service.spec.model)}",) if by_ollama else ()
    return Fix(
        summary=f"Load the model into the service, or name it in the manifest as the service does.{hint}",
        commands=pull,
    )


def _curl(service: Service) -> str:
    """Return the command that shows what answers in the place of the list of models."""
    from sage_doctor.services.endpoint import Endpoint  # noqa: PLC0415 - only where something is wrong

    endpoint = Endpoint(url=service.spec.url, api=service.spec.api)
    return f"curl -sv --max-time 5 {shell_quote(endpoint.listing_url)}"
