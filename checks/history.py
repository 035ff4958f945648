"""What a model takes, against what it usually takes on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sage_doctor.check import Finding, Fix, check, finding
from sage_doctor.errors import NotApplicable
from sage_doctor.subjects.host import Host
from sage_doctor.subjects.model import Model
from sage_doctor.suite.model_prober import ModelProber
from sage_doctor.text import format_number, shell_quote

if TYPE_CHECKING:
    from sage_doctor.probe.outcome import ProbeOutcome

ORDER = 190  # of the check files: causes before consequences

NO_HISTORY = "no history is kept that this run can be compared with"
GIGABYTE = 1_000_000_000
UNITS = {"load_s": "s", "first_token_ms": "ms", "tokens_per_s": "tokens/s", "peak_memory_gb": "GB"}


@check("load", after=["*"])
def check_usual(model: Model, host: Host, probe: ModelProber) -> Iterator[Finding]:
    """Loading and answering take what they usually take on this machine."""
    if host.history_file is None:
        raise NotApplicable(NO_HISTORY)
    from sage_doctor.history import baseline  # SQLite costs time, and few runs keep a history

    past = baseline.baseline_of(host)
    if past is None:
        raise NotApplicable(NO_HISTORY)

    now = {n: v for n, v in _measured(probe(model)).items() if not _misses_budget(model, n, v)}
    earlier = past.values(model.name, host.machine.boot_id, probe.level)
    known = {n: baseline.usual(v) for n, v in earlier.items() if n in now and len(v) >= baseline.LEAST_RUNS}
    if not known:
        most = max((len(v) for v in earlier.values()), default=0)
        raise NotApplicable(f"{most} of the {baseline.LEAST_RUNS} earlier runs that tell what is usual")
    beyond = {n: u for n, u in known.items() if baseline.is_beyond(n, now[n], u)}
    if beyond:
        said = [
            f"{n} is {format_number(now[n])} {UNITS[n]}, usually {format_number(u.median)} (of {u.runs})"
            for n, u in beyond.items()
        ]
        yield finding(
            "latency-regressed",
            "; ".join(said),
            evidence={
                n: {
                    "value": round(now[n], 3),
                    "median": round(u.median, 3),
                    "limit": round(baseline.limit(n, u), 3),
                    "runs": u.runs,
                    "unit": UNITS[n],
                }
                for n, u in beyond.items()
            },
            fix=Fix(
                summary="Check for other processes on the CPU or the accelerator, and run the check again when the "
                "machine is quiet. If it stays like this, see what changed since the earlier runs. Accept it only if "
                "it is intended: until then this warning stays.",
                commands=("uptime", f"sage-doctor history {shell_quote(model.name)}"),
            ),
        )


def _measured(outcome: ProbeOutcome) -> Mapping[str, float]:
    """Return what `check_loads` and `check_speed` measure, by the names they give it."""
    found: dict[str, float | None] = {}
    if outcome.loaded is not None:
        found["load_s"] = outcome.loaded.seconds
    if outcome.memory is not None:
        found["peak_memory_gb"] = max(outcome.memory.peak_resident_bytes, outcome.memory.peak_device_bytes) / GIGABYTE
    if outcome.generation is not None:
        found["first_token_ms"] = outcome.generation.first_token_ms
        found["tokens_per_s"] = outcome.generation.tokens_per_s
    return {name: value for name, value in found.items() if value is not None}


def _misses_budget(model: Model, name: str, value: float) -> bool:
    """Return whether the budget is missed already: that is an error with a code of its own."""
    budget: float | None = getattr(model.spec.budget, name) if model.spec is not None else None
    if budget is None:
        return False
    return value < budget if name == "tokens_per_s" else value > budget
