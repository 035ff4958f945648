"""How a probe that did not load the model, or got no answer from it, becomes a finding."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from sage_doctor.errors import Blocked
from sage_doctor.facts.package_files import AlteredPackage, altered_packages
from sage_doctor.findings.device import STAGES, device_finding
from sage_doctor.findings.endings import (
    WAITING,
    crash_advice,
    ended_from_outside,
    hung,
    raise_group_limit,
    within_group,
)
from sage_doctor.findings.making import finding
from sage_doctor.findings.memory import held_by
from sage_doctor.findings.packages import VENDORS
from sage_doctor.report import Finding, Fix
from sage_doctor.text import join_limited, printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.probe.outcome import ProbeOutcome
    from sage_doctor.subjects.model import Model

# What a damaged package may show as, and which packages a load needs.
_MAY_BE_A_PACKAGE = frozenset({"load-failed", "load-crashed", "package-missing", "library-unloadable"})
_LOADING = ("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "peft", "accelerate", "numpy")
GENERATION = frozenset({"tokenizer", "forward", "warm-up", "generate"})
_MOST_TAIL = 2000


def in_generation(outcome: ProbeOutcome) -> bool:
    """Whether the probe ended after the model was loaded: the load is then no cause."""
    return outcome.stage in GENERATION and outcome.loaded is not None


def own_code_refused(model: Model, outcome: ProbeOutcome) -> Finding | None:
    """Return that a probe ended at code of the model's own, which it never runs; None where it ended otherwise.

    Raises `Blocked` where the static check of such code has told of it.
    """
    if outcome.failure is None or "custom code which must be executed" not in outcome.failure.message:
        return None
    if model.kind != "adapter" and (model.config.auto_map or model.tree.matching(r".*\.py")):
        raise Blocked("custom-code")
    whose = "its base" if model.kind == "adapter" else "its tokenizer"
    return finding(
        "custom-code",
        f"{whose} is made by Python code of its own, which sage-doctor does not run: whether a session loads it was "
        "not examined",
        fix=Fix(summary="Read the code, and try it once in a session with trust_remote_code=True."),
    )


def ended_badly(model: Model, outcome: ProbeOutcome, act: Literal["load", "generate"]) -> Finding:
    """Return the one finding for a probe that did not complete. `act` is what it was doing."""
    found = _ended(model, outcome, act)
    if found.code not in _MAY_BE_A_PACKAGE:
        return found
    session = model.host.session
    altered = altered_packages(session.site_packages, {name: session.packages.get(name) for name in _LOADING})
    return replace(found, fix=_install_again(model, altered)) if altered else found


def _install_again(model: Model, altered: list[AlteredPackage]) -> Fix:
    told = [f"{p.name} {p.version} ({join_limited(list(p.files), most=2)})" for p in altered]
    python = shell_quote(model.host.session.executable)
    again = [shell_quote(f"{p.name}=={p.version}") for p in altered if p.name not in VENDORS]
    return Fix(
        summary=f"Install again what is not as it was installed: {printable('; '.join(told), limit=400)}. These files "
        "are missing or were changed, for instance by an upgrade that was cut off.",
        commands=(f"{python} -m pip install --force-reinstall --no-deps {' '.join(again)}",) if again else (),
    )


def _ended(model: Model, outcome: ProbeOutcome, act: Literal["load", "generate"]) -> Finding:
    from sage_doctor.subjects.device import session_device  # noqa: PLC0415 - only where something is wrong

    evidence = {
        "ending": outcome.ending,
        "stage": outcome.stage,
        "where": list(outcome.where),
        "seconds": outcome.duration_s,
        "output": outcome.output_tail[-_MOST_TAIL:],
    }
    doing = "loading it" if act == "load" else "generating"
    if outcome.stage in STAGES:
        # Examined once already for all models; a device may break, or fill up, between that and this load.
        broken = device_finding(model.host, session_device(model.host, model), outcome)
        if broken is not None:
            return broken
    outside = ended_from_outside(model.host, outcome, doing, evidence)
    if outside is not None:
        return outside
    stage = printable(outcome.stage or "start")
    message = printable(outcome.message, limit=600, keep="\n")
    if outcome.ending == "deadline":
        return finding(
            "load-timeout" if act == "load" else "generate-timeout",
            hung(outcome, f"{doing} hung in stage {stage}"),
            evidence=evidence,
            fix=Fix(
                summary="See what the machine is waiting for: a disk or driver that does not answer, or swap. Raise "
                "--timeout only if the model is known to be slow.",
                commands=("vmstat 1 5", WAITING),
            ),
        )
    if outcome.ending == "signal":
        return finding(
            "load-crashed" if act == "load" else "generate-failed",
            f"the interpreter crashed while {doing}: {message}",
            evidence={**evidence, "signal": outcome.signal},
            fix=crash_advice(outcome),
        )
    if outcome.ending == "out-of-memory":
        on_device = outcome.device is not None and outcome.device.used.startswith("cuda")
        return finding(
            "load-out-of-memory",
            f"memory ran out while {doing}{within_group(model.host)}: {message}",
            evidence={**evidence, **(held_by(model.host) if on_device else {})},
            fix=Fix(
                summary=raise_group_limit(model.host)
                + "End other processes that hold memory (a daemon may have the model loaded already), declare a "
                "smaller dtype, or run it on a larger machine.",
                commands=("free -h", "ps -eo pid,user,rss,comm --sort=-rss | head"),
            ),
        )
    if outcome.ending == "import-error":
        python = shell_quote(model.host.session.executable)
        return finding(
            "package-missing",
            f"the sessions' interpreter cannot import what loading needs: {message}",
            evidence=evidence,
            fix=Fix(
                summary=_about_import(model, outcome.message),
                commands=(f"{python} -m pip check",),
            ),
        )
    if outcome.ending == "spawn-failed":
        return finding(
            "interpreter-missing",
            f"the sessions' interpreter does not start: {message}",
            evidence=evidence,
            fix=Fix(summary="Correct python = … in the manifest."),
        )
    if outcome.ending == "protocol":
        return finding(
            "probe-protocol",
            f"the probe ended in stage {stage} without a result: {message}",
            evidence=evidence,
            fix=Fix(
                summary="Run a session by hand and look at its output: something in its environment may end the "
                "process (a sitecustomize, a library that calls exit)."
            ),
        )
    return finding(
        "load-failed" if act == "load" else "generate-failed",
        f"{doing} failed in stage {stage}: {message}",
        evidence=evidence,
        fix=Fix(summary=_about(outcome)),
    )


def _about(outcome: ProbeOutcome) -> str:
    from sage_doctor.findings.recognition import sure_cause  # noqa: PLC0415 - compiles hundreds of patterns

    failure = outcome.failure
    known = sure_cause(f"{failure.type}: {failure.message}" if failure else outcome.message, besides="load-")
    if known is not None:
        return f"{known.remediation} `sage-doctor explain {known.code}` says why."
    return (
        "`sage-doctor explain -` may recognise this message. Look for what changed since it last worked: packages, "
        "files, configuration."
    )


def _about_import(model: Model, message: str) -> str:
    libraries = model.host.environ.get("LD_LIBRARY_PATH", "").split(":")
    other = next((d for d in libraries if d and d in message), "")
    if other:
        return f"See what is in {printable(other, limit=200)}: LD_LIBRARY_PATH puts it before packages' own libraries."
    named = model.host.environ.get("PYTHONPATH", "")
    if named:
        return (
            f"See what PYTHONPATH ({printable(named, limit=200)}) brings: it comes before what is installed in the "
            "sessions' environment. Install or repair the package if it is not that."
        )
    return "Install or repair that package in the sessions' environment."
