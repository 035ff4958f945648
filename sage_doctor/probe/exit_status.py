"""How a probe ended: from its transcript, its exit status and the kernel's counters to a `ProbeOutcome`."""

from __future__ import annotations

import re
import signal
from typing import Any

from sage_doctor.probe.limits import UNLIMITED, ProcessLimits
from sage_doctor.probe.outcome import ANSWERS, ProbeEnding, ProbeOutcome
from sage_doctor.probe.transcript import Transcript
from sage_doctor.system.frozen import frozen

# What native code prints before it aborts for want of memory; the last is Jetson's driver.
_OUT_OF_MEMORY = (
    "std::bad_alloc",
    "DefaultCPUAllocator: can't allocate",
    "memory allocation of ",
    "Cannot allocate memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "NvMapMemAllocInternalTagged",
)
_FRAME = re.compile(r'^  File "(?P<file>[^"\n]+)", line (?P<line>\d+) in (?P<name>\S+)$', re.MULTILINE)
_PACKAGES = re.compile(r"^.*/(?:site-packages|dist-packages|python3\.\d+)/")


@frozen
class ExitStatus:
    """How the process ended. `exit_code` is None if it could not be killed, negative for a signal."""

    exit_code: int | None
    duration_s: float
    deadline_s: float
    timed_out: bool
    stopped: bool  # by us, for whatever reason
    pid: int
    oom_kills: int  # counted by the kernel while the probe ran
    tail: str
    cpu_s: float = 0.0
    limits: ProcessLimits = UNLIMITED


def make_outcome(transcript: Transcript, exit_status: ExitStatus) -> ProbeOutcome:
    """Return the outcome. Never raises, whatever the child sent or did."""
    number = _signal_of(exit_status)
    failure = transcript.failure
    said = exit_status.tail + (f"\n{failure.type}: {failure.message}" if failure else "")
    overrun = exit_status.limits.overrun(number, exit_status.cpu_s, said) if not exit_status.stopped else ""
    ending, message = _ending(transcript, exit_status, number)
    if overrun in ("address-space", "data") and ending != "completed":
        ending = "out-of-memory"
    where = failure.where if failure else _stack(exit_status.tail)
    facts: dict[str, Any] = {
        "failure" if event == "failed" else event.replace("-", "_"): transcript.answers.get(event) for event in ANSWERS
    }
    return ProbeOutcome(
        ending=ending,
        message=message,
        duration_s=exit_status.duration_s,
        stage=transcript.stage,
        stages=transcript.stages(exit_status.duration_s),
        where=() if ending == "completed" else tuple(_PACKAGES.sub("", frame) for frame in where),
        signal=_name(number) if number and not transcript.finished and not exit_status.stopped else "",
        exit_code=exit_status.exit_code,
        limit="" if ending == "completed" else overrun,
        limits=exit_status.limits,
        abandoned_pid=exit_status.pid if exit_status.exit_code is None else None,
        output_tail=exit_status.tail,
        **facts,
    )


def _ending(transcript: Transcript, exit_status: ExitStatus, number: int) -> tuple[ProbeEnding, str]:
    stage = transcript.stage or "start"
    failure = transcript.failure
    if transcript.problem:
        return "protocol", f"the probe sent an invalid answer in stage {stage}: {transcript.problem}"
    if failure is not None:
        if failure.kind == "import-error" and failure.module:
            return "import-error", f"cannot import {failure.module}: {failure.type}: {failure.message}"
        return failure.kind, f"{failure.type} in stage {stage}: {failure.message}"
    if transcript.done:
        return "completed", "the probe completed every stage"
    if exit_status.timed_out:
        killed = exit_status.exit_code is not None
        left = "" if killed else f"; process {exit_status.pid} cannot be killed and is still running"
        return "deadline", f"not finished after {exit_status.deadline_s:g} s; it hung in stage {stage}{left}"
    if number == signal.SIGKILL and exit_status.oom_kills:
        return "out-of-memory", f"killed by SIGKILL in stage {stage}, probably by the kernel's out-of-memory killer"
    if exit_status.exit_code != 0 and any(mark in exit_status.tail for mark in _OUT_OF_MEMORY):
        return "out-of-memory", f"memory ran out in stage {stage}: {_last_line(exit_status.tail)}"
    if number:
        return "signal", f"crashed with {_name(number)} in stage {stage}"
    if not transcript.stage:
        return "spawn-failed", (
            f"the interpreter ended with status {exit_status.exit_code} before the probe began: "
            f"{_last_line(exit_status.tail)}"
        )
    return "protocol", f"ended with status {exit_status.exit_code} in stage {stage} without a message"


def _signal_of(exit_status: ExitStatus) -> int:
    """Return the signal the process died of, 0 for none. A shell in between reports 128 + the signal."""
    code = exit_status.exit_code or 0
    if code < 0:
        return -code
    return code - 128 if code - 128 in {int(s) for s in signal.Signals} else 0


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _stack(tail: str) -> tuple[str, ...]:
    """Return the frames faulthandler printed last, innermost first."""
    _, found, dump = tail.rpartition("(most recent call first):\n")
    if not found:
        return ()
    return tuple(f"{m['file']}:{m['line']} in {m['name']}" for m in list(_FRAME.finditer(dump))[:3])


def _last_line(tail: str) -> str:
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it printed nothing"
