"""The probe: a child process, in the session's interpreter, that loads a model and generates.

`run_probe` starts `script.py` by path and returns a `ProbeOutcome`, whatever the child does. `admit` keeps parallel
probes from loading more than fits into memory.
"""

from __future__ import annotations

from sage_doctor.probe.degeneration import Degeneration, find_degeneration
from sage_doctor.probe.handle import run_probe
from sage_doctor.probe.memory_ledger import Admission, admit
from sage_doctor.probe.outcome import (
    Adapter,
    Device,
    Effect,
    Failure,
    Forward,
    Generation,
    KeyList,
    Keys,
    Loaded,
    NotApplicable,
    Packages,
    ProbeEnding,
    ProbeMemory,
    ProbeOutcome,
    Prompt,
    ShapeMismatch,
    Stage,
)
from sage_doctor.probe.protocol import ProbeRequest

__all__ = [
    "Adapter",
    "Admission",
    "Degeneration",
    "Device",
    "Effect",
    "Failure",
    "Forward",
    "Generation",
    "KeyList",
    "Keys",
    "Loaded",
    "NotApplicable",
    "Packages",
    "ProbeEnding",
    "ProbeMemory",
    "ProbeOutcome",
    "ProbeRequest",
    "Prompt",
    "ShapeMismatch",
    "Stage",
    "admit",
    "find_degeneration",
    "run_probe",
]
