"""What loading and generating cost, against the budget and against earlier runs."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.making import finding
from sage_doctor.report import Finding, Fix

TITLE = "Budgets"
DECLARATIONS = declare(
    Declaration(
        code="load-over-budget",
        severity="error",
        title="Loading takes longer than its budget",
        cause="The model loads, but more slowly than the manifest allows.",
        remediation="Compare with earlier runs: a first load after a reboot reads from disk. Other processes and a "
        "full or slow disk are the usual reasons.",
    ),
    Declaration(
        code="latency-over-budget",
        severity="error",
        title="The first token takes longer than its budget",
        cause="The model answers, but starts more slowly than the manifest allows.",
        remediation="Look for other processes, power limits (`nvpmodel` on Jetson), and whether the model runs on the "
        "right device.",
    ),
    Declaration(
        code="throughput-under-budget",
        severity="error",
        title="The model generates more slowly than its budget",
        cause="The model answers, but with fewer tokens per second than the manifest asks for.",
        remediation="Look for other processes, power limits (`nvpmodel` on Jetson), heat, and whether the model runs "
        "on the right device.",
    ),
    Declaration(
        code="memory-over-budget",
        severity="error",
        title="The model needs more memory than its budget",
        cause="The peak while loading and generating is above what the manifest allows.",
        remediation="Check the dtype: float32 takes twice the memory of bfloat16. Raise the budget if the machine has "
        "room.",
    ),
    Declaration(
        code="latency-regressed",
        severity="warning",
        title="The model is slower or larger than usual here",
        cause="Something slowed it down since the earlier good runs: other processes, heat or a power limit, swap, "
        "another device, other libraries. It is still within the budget.",
        remediation="Run it again when the machine is quiet, and look at what changed (`sage-doctor history MODEL`). "
        "If this is how it should be from now on: `sage-doctor history MODEL --accept`.",
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
            summary="Check for other processes on the CPU or the accelerator, and run the check again when the machine "
            "is quiet. If it stays like this, look at power mode, swap and the build of torch, or correct the budget.",
            commands=("uptime", "ps -eo pid,user,pcpu,comm --sort=-pcpu | head"),
        ),
    )
