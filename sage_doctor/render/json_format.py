"""The report as JSON, for programs. The schema is `sage_doctor/schemas/report.schema.json`."""

from __future__ import annotations

import json
import math
from typing import Any

from sage_doctor.render import Screen
from sage_doctor.report import Report


def render(report: Report, _screen: Screen) -> str:
    """Return the report as ASCII JSON. Text from disk stays intact, undecodable bytes as escapes of surrogates.

    JSON has no NaN and no infinity: such a measurement has the value null, such a budget is left out.
    """
    data = _finite(report.to_json())
    data["duration_s"] = data["duration_s"] or 0.0
    for check in data["checks"]:
        check["duration_s"] = check["duration_s"] or 0.0
    for measurement in data["measurements"]:
        if measurement.get("budget", 0) is None:
            del measurement["budget"]
    return json.dumps(data, indent=2, ensure_ascii=True, allow_nan=False, default=str) + "\n"


def _finite(value: Any) -> Any:
    """Return JSON values with every number that is not finite replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return value
