"""What one run found: the single typed value that every renderer, gate and repair reads.

`values` has what a report holds, `verdict` decides what follows from it. Three things are derived from a report when
they are asked for, and decided nowhere else: `subjects` groups it, `readiness` says which roles can run and what to
do first, `comparison` lays several reports side by side.
"""

from __future__ import annotations

from sage_doctor.report.values import (
    LEVELS,
    MACHINE,
    NOTHING_TO_DO,
    SCHEMA_VERSION,
    SEVERITIES,
    Change,
    CheckResult,
    Finding,
    Fix,
    Level,
    MachineInfo,
    Measurement,
    ModelInfo,
    Report,
    RoleInfo,
    Severity,
    Status,
    Verdict,
    finding_from_json,
    measurement_from_json,
)
from sage_doctor.report.verdict import (
    EXIT_HEALTHY,
    EXIT_INTERRUPTED,
    EXIT_UNHEALTHY,
    EXIT_UNKNOWN,
    EXIT_USAGE,
    FailOn,
    at_least,
    conclude,
    nagios_status,
    status_of,
)

__all__ = [
    "EXIT_HEALTHY",
    "EXIT_INTERRUPTED",
    "EXIT_UNHEALTHY",
    "EXIT_UNKNOWN",
    "EXIT_USAGE",
    "LEVELS",
    "MACHINE",
    "NOTHING_TO_DO",
    "SCHEMA_VERSION",
    "SEVERITIES",
    "Change",
    "CheckResult",
    "FailOn",
    "Finding",
    "Fix",
    "Level",
    "MachineInfo",
    "Measurement",
    "ModelInfo",
    "Report",
    "RoleInfo",
    "Severity",
    "Status",
    "Verdict",
    "at_least",
    "conclude",
    "finding_from_json",
    "measurement_from_json",
    "nagios_status",
    "status_of",
]
