"""Deciding how a probe ended, from its last words, its exit status, and what the kernel says."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Any

from sage_doctor.probe.outcome import ProbeEnding, ProbeOutcome
from sage_doctor.probe.protocol import ANSWERS
from sage_doctor.probe.transcript import Transcript

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


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How the process ended. `exit_code` is None where it could not be killed, negative for a signal."""

    exit_code: int | None
    duration_s: float
    deadline_s: float
    timed_out: bool
    stopped: bool  # by us, for whatever reason
    pid: int
    oom_kills: int  # counted by the kernel while the probe ran
    tail: str


def decide(said: Transcript, ended: Exit) -> ProbeOutcome:
    """Return the outcome. Never raises: the child may have said and done anything."""
    number = _signal_of(ended)
    ending, message = _ending(said, ended, number)
    failure = said.failure
    where = failure.where if failure else _stack(ended.tail)
    facts: dict[str, Any] = {
        "failure" if event == "failed" else event.replace("-", "_"): said.answers.get(event) for event in ANSWERS
    }
    return ProbeOutcome(
        ending=ending,
        message=message,
        duration_s=ended.duration_s,
        stage=said.stage,
        stages=said.stages(ended.duration_s),
        where=() if ending == "completed" else tuple(_PACKAGES.sub("", frame) for frame in where),
        signal=_name(number) if number and not said.finished and not ended.stopped else "",
        exit_code=ended.exit_code,
        abandoned_pid=ended.pid if ended.exit_code is None else None,
        output_tail=ended.tail,
        **facts,
    )


def _ending(said: Transcript, ended: Exit, number: int) -> tuple[ProbeEnding, str]:
    stage = said.stage or "start"
    failure = said.failure
    if said.problem:
        return "protocol", f"the probe said something that is no answer in stage {stage}: {said.problem}"
    if failure is not None:
        if failure.kind == "import-error" and failure.module:
            return "import-error", f"cannot import {failure.module}: {failure.type}: {failure.message}"
        return failure.kind, f"{failure.type} in stage {stage}: {failure.message}"
    if said.done:
        return "completed", "the probe went through every stage"
    if ended.timed_out:
        left = f"; process {ended.pid} cannot be killed and was left behind" if ended.exit_code is None else ""
        return "deadline", f"no end after {ended.deadline_s:g} s; it hung in stage {stage}{left}"
    if number == signal.SIGKILL and ended.oom_kills:
        return "out-of-memory", f"killed by SIGKILL in stage {stage}, probably by the kernel's out-of-memory killer"
    if ended.exit_code != 0 and any(mark in ended.tail for mark in _OUT_OF_MEMORY):
        return "out-of-memory", f"memory ran out in stage {stage}: {_last_line(ended.tail)}"
    if number:
        return "signal", f"crashed with {_name(number)} in stage {stage}"
    if not said.stage:
        return "spawn-failed", (
            f"the interpreter ended with status {ended.exit_code} before the probe began: {_last_line(ended.tail)}"
        )
    return "protocol", f"ended with status {ended.exit_code} in stage {stage} without a word"


def _signal_of(ended: Exit) -> int:
    """Return the signal the process died of, 0 for none. A shell in between reports 128 + the signal."""
    code = ended.exit_code or 0
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
