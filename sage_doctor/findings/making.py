"""Making a finding from its code: what the declaration says, and what was seen this time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sage_doctor.findings import catalogue
from sage_doctor.report import Finding, Fix, Severity


def finding(
    code: str,
    message: str,
    *,
    fix: Fix,
    evidence: Mapping[str, Any] | None = None,
    severity: Severity | None = None,
    subject: str = "",
) -> Finding:
    """Return a finding for the subject under examination, or for the one named (a check of many scripts does that).

    `severity` defaults to the declared one. Raises `ValueError` for a code of one's own that comes without one.
    """
    if severity is None:
        known = catalogue.find(code)
        if known is None:
            raise ValueError(
                f"finding code {code!r} is not declared: give its severity (a new family is also named "
                "in findings/catalogue.py)"
            )
        severity = known.severity
    return Finding(
        code=code, severity=severity, subject=subject, check="", message=message, evidence=evidence or {}, fix=fix
    )
