"""The report as JSON, for programs. The schema is `sage_doctor/schemas/report.schema.json`."""

from __future__ import annotations

import json
import math
from typing import Any

from sage_doctor.render import Screen
from sage_doctor.report import SCHEMA_VERSION, Report
from sage_doctor.report.comparison import Comparison


def render(report: Report, _screen: Screen) -> str:
    """Return the report as ASCII JSON. Text from disk stays intact, undecodable bytes as escapes of surrogates.

    JSON has no NaN and no infinity: such a measurement has the value null, such a budget is left out.
    """
    return _written(_report(report))


def compare(comparison: Comparison, _screen: Screen) -> str:
    """Return several reports side by side: `machines` with their reports, `silent` ones, `roles` with the answer."""
    labels = [m.label for m in comparison.machines]
    data = {
        "schema_version": SCHEMA_VERSION,
        "exit_code": comparison.exit_code,
        "machines": [{"label": m.label, "stale": m.stale, "report": _report(m.report)} for m in comparison.machines],
        "silent": [{"label": s.label, "state": s.state, "why": s.why} for s in comparison.silent],
        "roles": [
            {
                "role": role.role,
                "exit_code": role.exit_code,
                "sentence": role.sentence,
                "machines": [
                    {"label": label, "state": cell.state, "why": cell.why}
                    for label, cell in zip(labels, role.cells, strict=True)
                    if cell is not None
                ],
            }
            for role in comparison.roles
        ],
        "models": [
            {
                "name": row.name,
                "machines": [
                    {"label": label, "state": cell.state} for label, cell in zip(labels, row.cells, strict=True)
                ],
            }
            for row in comparison.models
        ],
        "copies": [
            {"model": c.model, "source": c.source, "target": c.target, "command": c.command} for c in comparison.copies
        ],
    }
    return _written(data)


def _report(report: Report) -> dict[str, Any]:
    data: dict[str, Any] = _finite(report.to_json())
    data["duration_s"] = data["duration_s"] or 0.0
    for check in data["checks"]:
        check["duration_s"] = check["duration_s"] or 0.0
    for measurement in data["measurements"]:
        if measurement.get("budget", 0) is None:
            del measurement["budget"]
    return data


def _written(data: Any) -> str:
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
