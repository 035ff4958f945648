"""How a probe's bad end becomes a finding: the stage it ended in, why, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sage_doctor.findings.device import STAGES, device_finding, held_by
from sage_doctor.findings.making import finding
from sage_doctor.report import Finding, Fix
from sage_doctor.subjects.device import session_device
from sage_doctor.subjects.model import Model
from sage_doctor.text import printable, shell_quote

if TYPE_CHECKING:
    from sage_doctor.probe import ProbeOutcome

GENERATION = frozenset({"tokenizer", "forward", "warm-up", "generate"})
_MOST_TAIL = 2000


def in_generation(outcome: ProbeOutcome) -> bool:
    """Whether the probe ended after the model was loaded: the load is then no cause."""
    return outcome.stage in GENERATION and outcome.loaded is not None


def ended_badly(model: Model, outcome: ProbeOutcome, act: Literal["load", "generate"]) -> Finding:
    """Return the one finding for a probe that did not complete. `act` is what it was in the midst of."""
    evidence = {
        "ending": outcome.ending,
        "stage": outcome.stage,
        "where": list(outcome.where),
        "seconds": outcome.duration_s,
        "output": outcome.output_tail[-_MOST_TAIL:],
    }
    if outcome.stage in STAGES:
        # Examined once already for all models; a device may break, or fill up, between that and this load.
        broken = device_finding(model.host, session_device(model.host, model), outcome)
        if broken is not None:
            return broken
    stage = printable(outcome.stage or "start")
    message = printable(outcome.message, limit=600, keep="\n")
    doing = "loading it" if act == "load" else "generating"
    if outcome.ending == "deadline":
        abandoned = (
            f" Process {outcome.abandoned_pid} is stuck in the kernel and could not be killed."
            if outcome.abandoned_pid
            else ""
        )
        return finding(
            f"{act}-timeout",
            f"{doing} hung in stage {stage} for {outcome.stages[-1].seconds if outcome.stages else 0:.0f} s and was "
            "stopped."
            f"{abandoned}",
            evidence=evidence,
            fix=Fix(
                summary="A disk or driver that does not answer looks like this, and so does a machine that swaps. "
                "See what "
                "the machine waits for; raise --timeout only where the model is known to be slow.",
                commands=("vmstat 1 5", "ps -eo pid,stat,wchan:32,comm | awk '$2 ~ /D/'"),
            ),
        )
    if outcome.ending == "signal":
        return finding(
            "load-crashed" if act == "load" else "generate-failed",
            f"the interpreter crashed while {doing}: {message}",
            evidence={**evidence, "signal": outcome.signal},
            fix=Fix(
                summary="A crash in native code: a package built for another processor or driver, or mixed versions of "
                "torch and its companions. Reinstall them in the sessions' environment as the vendor says."
            ),
        )
    if outcome.ending == "out-of-memory":
        on_device = outcome.device is not None and outcome.device.used.startswith("cuda")
        return finding(
            "load-out-of-memory",
            f"memory ran out while {doing}: {message}",
            evidence={**evidence, **(held_by(model.host) if on_device else {})},
            fix=Fix(
                summary="End what else holds memory (a daemon may have the model loaded already), declare a smaller "
                "dtype, "
                "or run it on a larger machine.",
                commands=("free -h", "ps -eo pid,user,rss,comm --sort=-rss | head"),
            ),
        )
    if outcome.ending == "import-error":
        python = shell_quote(model.host.session.executable)
        return finding(
            "package-missing",
            f"the sessions' interpreter cannot import what loading takes: {message}",
            evidence=evidence,
            fix=Fix(
                summary="Install or repair that package in the sessions' environment.",
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
                summary="Something in the sessions' environment ended the process (a sitecustomize, a library calling "
                "exit). Run the session by hand and look at its output."
            ),
        )
    return finding(
        f"{act}-failed",
        f"{doing} failed in stage {stage}: {message}",
        evidence=evidence,
        fix=Fix(
            summary="This is the library's own message. `sage-doctor explain` on it may name the cause; look for what "
            "changed since it last worked: packages, files, configuration."
        ),
    )


def over(code: str, name: str, value: float, budget: float, unit: str) -> Finding:
    """Return the finding for a measurement outside its budget."""
    word = "under" if name == "tokens_per_s" else "over"
    return finding(
        code,
        f"{name} is {value:.3g} {unit}, {word} the budget of {budget:g} {unit}",
        evidence={"measurement": name, "value": round(value, 3), "budget": budget, "unit": unit},
        fix=Fix(
            summary="Is another process using the processor or the accelerator? Run the check again when the machine "
            "is quiet; "
            "if it stays so, something changed (power mode, a CPU build of torch, swap), or the budget was never real.",
            commands=("uptime", "ps -eo pid,user,pcpu,comm --sort=-pcpu | head"),
        ),
    )
